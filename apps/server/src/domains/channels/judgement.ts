import type { ChannelType } from '../instances/index.ts'
import type { CloseReason } from '../sync/index.ts'
import type { Rights } from './rules.ts'

/** What somebody may do in a channel; undefined: nothing. */
export type ChannelVerdict = { type: ChannelType; rights: Rights } | undefined

/** What somebody may do in all the channels that were asked about, at one moment. */
export type Judgement = {
  /** False: the session has ended, or the person is gone or banned. */
  isSignedIn: boolean
  /** By name of the channel; undefined: no right. */
  verdicts: Map<string, ChannelVerdict>
  /** Why nothing goes on at all, where it is another reason than the end of the session. */
  ended?: { reason: CloseReason; message: string }
}
