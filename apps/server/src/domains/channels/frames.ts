import type { Since } from './hub.ts'
import type { Rights } from './rules.ts'

/** Why something that a client asked for was not done. */
export type ChannelErrorCode =
  | 'malformed'
  | 'forbidden'
  | 'not_subscribed'
  | 'already_subscribed'
  | 'too_many_channels'
  | 'too_large'
  | 'unknown_event'
  | 'invalid_data'
  | 'not_available'
  | 'rate_limited'
  | 'conflict'
  | 'unavailable'

export type ChannelFrame = { t: string; [key: string]: unknown }

/** What an answer repeats of its question. */
export const isId = (id: unknown): id is number | string =>
  (typeof id === 'number' && Number.isFinite(id)) || (typeof id === 'string' && id.length <= 128)

/** @returns null for something that is no place */
export function sinceOf(value: unknown): Since | undefined | null {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'object') return null
  const { epoch, offset } = value as Record<string, unknown>
  if (typeof epoch !== 'string' || epoch.length > 64) return null
  return Number.isSafeInteger(offset) && (offset as number) >= 0 ? { epoch, offset: offset as number } : null
}

/** Rights as they are told. */
export function can({ publish, history, presence }: Rights): string[] {
  return [...(publish ? ['pub'] : []), ...(history ? ['history'] : []), ...(presence ? ['presence'] : [])]
}

export function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((part) => isDeeperThan(part, levels - 1))
}
