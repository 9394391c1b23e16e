import type { ServerWebSocket } from 'bun'
import type { ChannelPrincipal, ChannelSession } from '../../domains/channels/index.ts'
import { Bucket, type CloseReason } from '../../domains/sync/index.ts'

/**
 * One socket at `/realtime`. `waiting`: it has not shown who it is. `live`: it takes part. `closing`: it is told why and
 * gone; nothing that it says counts.
 */
export class RealtimeSocket {
  state: 'waiting' | 'live' | 'closing' = 'waiting'
  socket: ServerWebSocket<RealtimeSocket> | undefined = undefined
  principal: ChannelPrincipal | undefined = undefined
  session: ChannelSession | undefined = undefined
  /** Why it was let in only to be told. */
  refusal: { reason: CloseReason; message: string } | undefined = undefined
  /** Milliseconds of the monotonic clock: when its token ends, and when that was announced. */
  endsAt: number | undefined = undefined
  announceAt: number | undefined = undefined
  openedAt = performance.now()
  /** Since when it has not taken what is sent to it. */
  laggingSince = 0
  isPaused = false
  /** A token is being looked at. */
  isJudging = false
  /** What it sent before it was known. */
  earlyBytes = 0
  earlyFrames = 0
  /** How many changes of rights there had been when it was judged. */
  judgedAt = 0
  readonly messages: Bucket
  readonly bytes: Bucket
  readonly ip: string
  readonly host: string
  readonly origin: string | undefined

  constructor(
    from: { ip: string; host: string; origin: string | undefined },
    bursts: { messages: number; bytes: number },
  ) {
    this.ip = from.ip
    this.host = from.host
    this.origin = from.origin
    this.messages = new Bucket(bursts.messages, this.openedAt)
    this.bytes = new Bucket(bursts.bytes, this.openedAt)
  }
}
