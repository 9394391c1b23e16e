import { asc, count, desc, eq, ilike, inArray, or } from 'drizzle-orm'
import { escapeLike, type Tx, takeTurn, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import type { Page, Pagination } from '../../kernel/pagination.ts'
import { checkName } from '../../kernel/plain-name.ts'
import { requireApplication } from '../../kernel/require-application.ts'
import { emit } from '../events/index.ts'
import { addScopes, findScopedMachines } from './scopes.ts'
import { insertSecretKey } from './secret-keys.ts'
import { machines } from './tables.ts'

type Row = typeof machines.$inferSelect
export type Machine = Row & {
  /** Machines that it may talk to. */
  scopedMachines: Row[]
}

/** More than an application has parts; each may be named in another's scopes. */
const maxMachines = 1000
const defaultTtl = 3600
/** Seconds: a year. What lives longer should be rotated and is not. */
export const maxTokenTtl = 365 * 24 * 3600

export type MachineOrder = { by: 'name' | 'created_at'; descending: boolean }

/**
 * Adds a machine.
 *
 * @param input.scopedMachines ids of machines that it may talk to
 * @returns the machine, and its secret key
 * @throws {UsherError} `forbidden`, `conflict` when there are too many, `form_param_value_invalid` or `resource_not_found`
 */
export async function createMachine(
  ctx: Ctx | Tx,
  input: { name: string; defaultTokenTtl?: number | undefined; scopedMachines?: string[] | undefined },
): Promise<{ machine: Machine; secretKey: string }> {
  requireApplication(ctx)
  return transaction(ctx, async (tx) => {
    await takeTurn(tx, 'machines')
    const existing = await tx.db.$count(machines)
    if (existing >= maxMachines) throw new UsherError('conflict', `There are ${maxMachines} machines already.`)
    const now = tx.now()
    const id = newId('machine')
    await tx.db.insert(machines).values({
      id,
      instanceId: tx.instance.id,
      name: checkName(input.name),
      defaultTokenTtl: checkTtl(input.defaultTokenTtl ?? defaultTtl, 'default_token_ttl'),
      createdAt: now,
      updatedAt: now,
    })
    await addScopes(tx, id, input.scopedMachines ?? [])
    const secretKey = await insertSecretKey(tx, id)
    emit(tx, { type: 'machine.created', subject: id, data: { name: input.name } })
    return { machine: await getMachine(tx, id), secretKey }
  })
}

/** @throws {UsherError} `forbidden`, `resource_not_found` or `form_param_value_invalid` */
export async function updateMachine(
  ctx: Ctx | Tx,
  input: { id: string; name?: string | undefined; defaultTokenTtl?: number | undefined },
): Promise<Machine> {
  requireApplication(ctx)
  const { name, defaultTokenTtl } = input
  return transaction(ctx, async (tx) => {
    const [changed] = await tx.db
      .update(machines)
      .set({
        ...(name !== undefined && { name: checkName(name) }),
        ...(defaultTokenTtl !== undefined && { defaultTokenTtl: checkTtl(defaultTokenTtl, 'default_token_ttl') }),
        updatedAt: tx.now(),
      })
      .where(eq(machines.id, input.id))
      .returning()
    if (!changed) throw notFound()
    emit(tx, { type: 'machine.updated', subject: input.id, data: { name: changed.name } })
    return getMachine(tx, input.id)
  })
}

/** Deletes a machine with its keys, scopes and tokens: from the commit on nothing of it opens anything. */
export async function deleteMachine(ctx: Ctx | Tx, id: string): Promise<Machine> {
  requireApplication(ctx)
  return transaction(ctx, async (tx) => {
    const known = await getMachine(tx, id)
    const gone = await tx.db.delete(machines).where(eq(machines.id, id)).returning({ id: machines.id })
    if (gone.length === 0) throw notFound()
    emit(tx, { type: 'machine.deleted', subject: id, data: { name: known.name } })
    return known
  })
}

/** @throws {UsherError} `forbidden` or `resource_not_found` */
export async function getMachine(ctx: Ctx | Tx, id: string): Promise<Machine> {
  requireApplication(ctx)
  return transaction(ctx, async (tx) => {
    const [found] = await withScopes(tx, await tx.db.select().from(machines).where(eq(machines.id, id)))
    if (!found) throw notFound()
    return found
  })
}

/** Machines of the instance; `query` is part of a name or an id. */
export async function listMachines(
  ctx: Ctx | Tx,
  input: Pagination & { query?: string | undefined; order?: MachineOrder | undefined },
): Promise<Page<Machine>> {
  requireApplication(ctx)
  const pattern = input.query && `%${escapeLike(input.query)}%`
  const where = pattern ? or(ilike(machines.name, pattern), ilike(machines.id, pattern)) : undefined
  const { by, descending } = input.order ?? { by: 'created_at', descending: true }
  const column = by === 'name' ? machines.name : machines.createdAt
  return transaction(ctx, async (tx) => {
    const [total] = await tx.db.select({ n: count() }).from(machines).where(where)
    const rows = await tx.db
      .select()
      .from(machines)
      .where(where)
      .orderBy(descending ? desc(column) : asc(column), machines.id)
      .limit(input.limit)
      .offset(input.offset)
    return { data: await withScopes(tx, rows), totalCount: total?.n ?? 0 }
  })
}

async function withScopes(tx: Tx, rows: Row[]): Promise<Machine[]> {
  const targets = await findScopedMachines(
    tx,
    rows.map(({ id }) => id),
  )
  const ids = [...new Set([...targets.values()].flat())]
  const known = ids.length ? await tx.db.select().from(machines).where(inArray(machines.id, ids)) : []
  const byId = new Map(known.map((machine) => [machine.id, machine]))
  return rows.map((row) => ({
    ...row,
    scopedMachines: (targets.get(row.id) ?? []).flatMap((id) => byId.get(id) ?? []),
  }))
}

/** @throws {UsherError} `form_param_value_invalid` */
export function checkTtl(seconds: number, param: string): number {
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > maxTokenTtl)
    throw new UsherError('form_param_value_invalid', `A token lives 1 to ${maxTokenTtl} seconds.`, { param })
  return seconds
}

const notFound = () => new UsherError('resource_not_found', 'There is no such machine.')
