import { and, desc, eq } from 'drizzle-orm'
import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { messages } from './tables.ts'

export type Message = typeof messages.$inferSelect

/**
 * The newest emails of a development instance, for its inbox.
 *
 * @throws {UsherError} `forbidden` in production: emails hold codes and links that are for their recipients only
 */
export async function listMessages(ctx: Ctx, input: { to?: string | undefined; limit: number }): Promise<Message[]> {
  refuseProduction(ctx)
  const wanted = input.to === undefined ? undefined : eq(messages.toAddress, input.to.toLowerCase())
  return transaction(ctx, (tx) =>
    tx.db
      .select()
      .from(messages)
      .where(and(wanted))
      .orderBy(desc(messages.createdAt), desc(messages.id))
      .limit(input.limit),
  )
}

/** @throws {UsherError} `forbidden` in production, `resource_not_found` */
export async function getMessage(ctx: Ctx, id: string): Promise<Message> {
  refuseProduction(ctx)
  const [message] = await transaction(ctx, (tx) => tx.db.select().from(messages).where(eq(messages.id, id)))
  if (!message) throw new UsherError('resource_not_found', 'There is no such message.')
  return message
}

function refuseProduction(ctx: Ctx) {
  if (ctx.instance.environment === 'production')
    throw new UsherError('forbidden', 'The inbox is for development instances.')
}
