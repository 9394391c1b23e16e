import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { channelsOf } from './hub-of.ts'
import { ChannelName } from './names.ts'
import { typeFor } from './rules.ts'

export type ChannelHistory = {
  epoch: string
  /** Offset of the last message. */
  offset: number
  /** JSON of each message, oldest first. */
  messages: string[]
}

/**
 * What was said in a channel, as far as it is kept: the newest messages, or those before an offset.
 *
 * @throws {UsherError} `forbidden` for anybody but the application's server
 */
export async function listChannelMessages(
  ctx: Ctx,
  input: { channel: string; before?: number | undefined; limit: number },
): Promise<ChannelHistory> {
  if (ctx.actor.type !== 'backend') throw new UsherError('forbidden', 'Only the application’s server may do this.')
  const name = ChannelName.parse(input.channel)
  const hub = channelsOf(ctx.database)
  const channel = await hub.open(ctx.instance.id, name, typeFor(ctx.instance.settings.channels.types, name))
  const held = await hub.history(channel, input.before, input.limit)
  return { epoch: channel.epoch, offset: channel.delivered, messages: held.map(({ body }) => `{${body}}`) }
}
