import { desc, eq } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { redirectUrls } from './tables.ts'

export type RedirectUrl = typeof redirectUrls.$inferSelect

/** Schemes that run or show what a link holds instead of leading anywhere. */
const dangerous = /^(javascript|data|vbscript|file|blob|about|view-source|filesystem):$/

/**
 * Adds a place that sign-ins may lead back to.
 *
 * @throws {UsherError} `form_param_format_invalid` or `duplicate_record`
 */
export async function createRedirectUrl(ctx: Ctx | Tx, url: string): Promise<RedirectUrl> {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (!parsed || url.length > 2048 || dangerous.test(parsed.protocol) || parsed.username || parsed.password)
    throw new UsherError('form_param_format_invalid', 'This is not a URL that people can be sent to.', { param: 'url' })
  return transaction(ctx, async (tx) => {
    const now = tx.now()
    const row = { id: newId('redirectUrl'), instanceId: tx.instance.id, url, createdAt: now, updatedAt: now }
    try {
      const [made] = await tx.db.insert(redirectUrls).values(row).returning()
      return made as RedirectUrl
    } catch (error) {
      if (!isUniqueViolation(error)) throw error
      throw new UsherError('duplicate_record', 'This redirect URL is there already.', { param: 'url' })
    }
  })
}

/** Newest first. There are few. */
export function listRedirectUrls(ctx: Ctx | Tx): Promise<RedirectUrl[]> {
  return transaction(ctx, (tx) => tx.db.select().from(redirectUrls).orderBy(desc(redirectUrls.createdAt)).limit(500))
}

/** @throws {UsherError} `resource_not_found` */
export async function getRedirectUrl(ctx: Ctx | Tx, id: string): Promise<RedirectUrl> {
  const [found] = await transaction(ctx, (tx) => tx.db.select().from(redirectUrls).where(eq(redirectUrls.id, id)))
  if (!found) throw new UsherError('resource_not_found', 'There is no such redirect URL.')
  return found
}

/** @throws {UsherError} `resource_not_found` */
export async function deleteRedirectUrl(ctx: Ctx | Tx, id: string): Promise<void> {
  await transaction(ctx, async (tx) => {
    const gone = await tx.db.delete(redirectUrls).where(eq(redirectUrls.id, id)).returning({ id: redirectUrls.id })
    if (gone.length === 0) throw new UsherError('resource_not_found', 'There is no such redirect URL.')
  })
}

/** Whether somebody may be sent to this very URL: by whole text, query and all. */
export async function isListedRedirectUrl(ctx: Ctx | Tx, url: string): Promise<boolean> {
  const [found] = await transaction(ctx, (tx) =>
    tx.db.select({ id: redirectUrls.id }).from(redirectUrls).where(eq(redirectUrls.url, url)),
  )
  return found !== undefined
}
