import { availableParallelism } from 'node:os'
import { UsherError } from '../../kernel/errors.ts'

/**
 * How many passwords are hashed at a time. Each one keeps a core busy for some thirty milliseconds; more at once finish
 * none of them sooner, and everything else that runs beside them (signing tokens above all) would wait its turn.
 */
const atOnce = Math.max(1, availableParallelism() - 1)
/** Beyond this the last one would wait for longer than people do. */
const maxWaiting = 2000

const waiting: (() => void)[] = []
let running = 0

/**
 * Runs one hash when its turn comes.
 *
 * @throws {UsherError} `unavailable` when too many wait already
 */
export async function hashing<T>(work: () => Promise<T>): Promise<T> {
  if (running >= atOnce) {
    if (waiting.length >= maxWaiting)
      throw new UsherError('unavailable', 'Too many people are signing in at this moment. Please try again.', {
        retryAfterSeconds: 5,
      })
    await new Promise<void>((turn) => waiting.push(turn))
  } else running += 1
  try {
    return await work()
  } finally {
    const next = waiting.shift()
    if (next) next()
    else running -= 1
  }
}
