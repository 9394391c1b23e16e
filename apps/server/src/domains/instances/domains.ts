import { desc, eq } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { domains } from './tables.ts'

/** A domain of the instance. The primary one is its own host. */
export type Domain = { id: string; name: string; proxyUrl: string | null; isSatellite: boolean }

/** The primary domain first, then satellites, newest first. */
export async function listDomains(ctx: Ctx | Tx): Promise<Domain[]> {
  const satellites = await transaction(ctx, (tx) =>
    tx.db.select().from(domains).orderBy(desc(domains.createdAt)).limit(500),
  )
  return [primaryDomainOf(ctx), ...satellites.map((row) => ({ ...row, isSatellite: true }))]
}

function primaryDomainOf({ instance }: Ctx | Tx): Domain {
  return { id: `dmn_${instance.id}`, name: instance.host, proxyUrl: null, isSatellite: false }
}

/**
 * Adds a satellite domain.
 *
 * @throws {UsherError} `form_param_format_invalid` or `duplicate_record`
 */
export async function addDomain(ctx: Ctx | Tx, input: { name: string; proxyUrl?: string | null }): Promise<Domain> {
  const name = parseDomain(ctx, input.name)
  return transaction(ctx, async (tx) => {
    if (name === tx.instance.host) throw taken()
    const now = tx.now()
    const row = { id: newId('domain'), instanceId: tx.instance.id, name, proxyUrl: input.proxyUrl ?? null }
    return unlessTaken(() =>
      tx.db
        .insert(domains)
        .values({ ...row, createdAt: now, updatedAt: now })
        .returning(),
    )
  })
}

/** @throws {UsherError} `resource_not_found`, `system_record_immutable`, `form_param_format_invalid`, `duplicate_record` */
export async function updateDomain(
  ctx: Ctx | Tx,
  { id, ...input }: { id: string; name?: string; proxyUrl?: string | null },
): Promise<Domain> {
  refusePrimary(ctx, id, 'The primary domain is the host of the instance; it is changed by the operator.')
  const name = input.name === undefined ? undefined : parseDomain(ctx, input.name)
  return transaction(ctx, (tx) =>
    unlessTaken(() =>
      tx.db
        .update(domains)
        .set({
          ...(name !== undefined && { name }),
          ...(input.proxyUrl !== undefined && { proxyUrl: input.proxyUrl }),
          updatedAt: tx.now(),
        })
        .where(eq(domains.id, id))
        .returning(),
    ),
  )
}

/** @throws {UsherError} `resource_not_found` or `system_record_immutable` for the primary domain */
export async function deleteDomain(ctx: Ctx | Tx, id: string): Promise<void> {
  refusePrimary(ctx, id, 'The primary domain cannot be deleted.')
  await transaction(ctx, async (tx) => {
    const gone = await tx.db.delete(domains).where(eq(domains.id, id)).returning({ id: domains.id })
    if (gone.length === 0) throw new UsherError('resource_not_found', 'There is no such domain.')
  })
}

function refusePrimary(ctx: Ctx | Tx, id: string, message: string): void {
  if (id === primaryDomainOf(ctx).id) throw new UsherError('system_record_immutable', message)
}

/** In production a name with a dot; in development also a host with a port. */
function parseDomain({ instance }: Ctx | Tx, value: string): string {
  const name = value.trim().toLowerCase()
  const labels = /^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/
  const [host = '', port, ...rest] = name.split(':')
  const withPort = port === undefined || (instance.environment === 'development' && /^\d{1,5}$/.test(port))
  const known = labels.test(host) || (instance.environment === 'development' && host === 'localhost')
  if (!known || !withPort || rest.length > 0)
    throw new UsherError('form_param_format_invalid', 'This is not a domain name.', { param: 'name' })
  return name
}

const taken = () => new UsherError('duplicate_record', 'This domain is there already.', { param: 'name' })

async function unlessTaken(write: () => PromiseLike<(typeof domains.$inferSelect)[]>): Promise<Domain> {
  try {
    const [row] = await write()
    if (!row) throw new UsherError('resource_not_found', 'There is no such domain.')
    return { ...row, isSatellite: true }
  } catch (error) {
    throw isUniqueViolation(error) ? taken() : error
  }
}
