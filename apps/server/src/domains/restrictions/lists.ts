import { count, desc, eq } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import type { Page } from '../../kernel/pagination.ts'
import { parseListedIdentifier } from './identifiers.ts'
import { allowlistIdentifiers, blocklistIdentifiers } from './tables.ts'

/** An entry of the allow-list or the block-list. */
export type ListedIdentifier = typeof blocklistIdentifiers.$inferSelect & { invitationId?: string | null }

/**
 * Admits an address, a phone number or `*@domain` to sign-up where the allow-list is on.
 *
 * @throws {UsherError} `form_param_format_invalid` or `duplicate_record`
 */
export function addAllowlistIdentifier(
  ctx: Ctx | Tx,
  input: { identifier: unknown; invitationId?: string | null },
): Promise<ListedIdentifier> {
  const listed = parseListedIdentifier(input.identifier)
  return transaction(ctx, async (tx) => {
    const now = tx.now()
    const row = { ...listed, instanceId: tx.instance.id, invitationId: input.invitationId ?? null }
    const values = { ...row, id: newId('allowlistIdentifier'), createdAt: now, updatedAt: now }
    return unlessListed(async () => (await tx.db.insert(allowlistIdentifiers).values(values).returning())[0])
  })
}

/**
 * Keeps an address, a phone number or `*@domain` out where the block-list is on.
 *
 * @throws {UsherError} `form_param_format_invalid` or `duplicate_record`
 */
export function addBlocklistIdentifier(ctx: Ctx | Tx, input: { identifier: unknown }): Promise<ListedIdentifier> {
  const listed = parseListedIdentifier(input.identifier)
  return transaction(ctx, async (tx) => {
    const now = tx.now()
    const values = {
      ...listed,
      id: newId('blocklistIdentifier'),
      instanceId: tx.instance.id,
      createdAt: now,
      updatedAt: now,
    }
    return unlessListed(async () => (await tx.db.insert(blocklistIdentifiers).values(values).returning())[0])
  })
}

async function unlessListed(insert: () => Promise<ListedIdentifier | undefined>): Promise<ListedIdentifier> {
  try {
    return (await insert()) as ListedIdentifier
  } catch (error) {
    if (!isUniqueViolation(error)) throw error
    throw new UsherError('duplicate_record', 'This identifier is on the list already.', { param: 'identifier' })
  }
}

/** @throws {UsherError} `resource_not_found` */
export function removeAllowlistIdentifier(ctx: Ctx | Tx, id: string): Promise<void> {
  return transaction(ctx, async (tx) => {
    const gone = await tx.db.delete(allowlistIdentifiers).where(eq(allowlistIdentifiers.id, id)).returning()
    if (gone.length === 0) throw notListed()
  })
}

/** @throws {UsherError} `resource_not_found` */
export function removeBlocklistIdentifier(ctx: Ctx | Tx, id: string): Promise<void> {
  return transaction(ctx, async (tx) => {
    const gone = await tx.db.delete(blocklistIdentifiers).where(eq(blocklistIdentifiers.id, id)).returning()
    if (gone.length === 0) throw notListed()
  })
}

const notListed = () => new UsherError('resource_not_found', 'There is no such entry on the list.')

/** Newest first. */
export function listAllowlistIdentifiers(
  ctx: Ctx | Tx,
  page: { limit: number; offset: number },
): Promise<Page<ListedIdentifier>> {
  return list(ctx, allowlistIdentifiers, page)
}

/** Newest first. */
export function listBlocklistIdentifiers(
  ctx: Ctx | Tx,
  page: { limit: number; offset: number },
): Promise<Page<ListedIdentifier>> {
  return list(ctx, blocklistIdentifiers, page)
}

function list(
  ctx: Ctx | Tx,
  table: typeof allowlistIdentifiers | typeof blocklistIdentifiers,
  { limit, offset }: { limit: number; offset: number },
): Promise<Page<ListedIdentifier>> {
  return transaction(ctx, async (tx) => {
    const data = await tx.db
      .select()
      .from(table)
      .orderBy(desc(table.createdAt), desc(table.id))
      .limit(limit)
      .offset(offset)
    const [total] = await tx.db.select({ n: count() }).from(table)
    return { data, totalCount: total?.n ?? 0 }
  })
}
