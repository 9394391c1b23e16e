import { z } from 'zod'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { channelMessages } from '../../kernel/metrics.ts'
import { checkEvent } from './check-event.ts'
import type { Published } from './hub.ts'
import { channelsOf } from './hub-of.ts'
import { channelLimits } from './limits.ts'
import { ChannelName, isEventName } from './names.ts'
import { isReserved, typeFor } from './rules.ts'

export const PublishInput = z.object({
  channel: ChannelName,
  name: z.string().refine(isEventName, 'This is not the name of an event.'),
  data: z.unknown(),
  /** A repetition under the same key is taken once; another message under it is refused. */
  key: z
    .string()
    .regex(/^[\x21-\x7e]{1,128}$/)
    .optional(),
})
export type PublishInput = z.input<typeof PublishInput>

/**
 * Says something in a channel, as the application's server. Answers when it is as safe as the channel's history is.
 *
 * @throws {UsherError} `forbidden` for anybody else and in channels of this server's own, `form_param_format_invalid` for
 *   what the channel's type does not accept, `conflict` for another message under the same key, `unavailable`
 */
export async function publishMessage(ctx: Ctx, input: PublishInput): Promise<Published> {
  if (ctx.actor.type !== 'backend') throw new UsherError('forbidden', 'Only the application’s server may do this.')
  const { channel, name, data = null, key } = PublishInput.parse(input)
  if (isReserved(channel)) throw new UsherError('forbidden', 'Nobody but this server speaks in this channel.')
  const payload = JSON.stringify(data)
  if (Buffer.byteLength(payload) > channelLimits.dataBytes)
    throw new UsherError('request_too_large', `Data has ${channelLimits.dataBytes} bytes at most.`)
  const type = typeFor(ctx.instance.settings.channels.types, channel)
  const fault = checkEvent(type, name, data)
  if (fault !== undefined) throw new UsherError('form_param_format_invalid', fault, { param: 'data' })
  channelMessages.inc({ via: 'api' })
  const from = { user: null, conn: null }
  return channelsOf(ctx.database).send({ instanceId: ctx.instance.id, channel, type, name, payload, from, key })
}
