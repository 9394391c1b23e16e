import type { SQL } from 'bun'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import type { Log } from '../../kernel/log.ts'
import { channelLimits } from './limits.ts'
import type { Sender } from './message.ts'
import { type Append, type Appended, appendMessages, ensureChannels, type StoredChannel } from './store.ts'

const messagesAFlush = 1000
const bytesAFlush = 4 * 1024 * 1024
const longestPauseMs = 1000

/** A channel as the writer knows it: its row's id is found out at the first message. */
export type Target = { instanceId: string; name: string; id: number | undefined }

type NewMessage = {
  name: string
  payload: string
  from: Sender
  /** Repetitions within one channel are known by it. */
  key: string
  digest: string
  at: number
  expiresAt: number | null
}

type Waiting = NewMessage & {
  target: Target
  /** Milliseconds of the monotonic clock from which it is no longer tried. */
  deadline: number
  resolve: (stored: Appended) => void
  reject: (error: unknown) => void
}

/**
 * Group commit: while a flush is under way the next one gathers, and all of it is one statement. A flush that failed is
 * repeated; what the failed one may have written after all is known by its keys.
 */
export class ChannelWriter {
  private waiting: Waiting[] = []
  private flushing: Promise<void> | undefined
  private stopped = false

  private readonly sql: SQL
  private readonly log: Log
  private readonly onCommit: (seconds: number, messages: number) => void

  constructor(sql: SQL, log: Log, onCommit: (seconds: number, messages: number) => void) {
    this.sql = sql
    this.log = log
    this.onCommit = onCommit
  }

  /**
   * Resolves once the message is committed.
   *
   * @throws {UsherError} `unavailable` when it could not be stored in time; it may have been stored all the same
   */
  add(target: Target, message: NewMessage): Promise<Appended> {
    if (this.stopped) return Promise.reject(new UsherError('unavailable', 'The server is going away.'))
    const { promise, resolve, reject } = Promise.withResolvers<Appended>()
    const deadline = performance.now() + channelLimits.storeForMs
    this.waiting.push({ ...message, target, deadline, resolve, reject })
    // Not at once: what else arrives in this turn of the loop belongs to the same flush.
    this.flushing ??= Promise.resolve().then(() => this.run())
    return promise
  }

  /** Writes what waits, and nothing after that. */
  async stop(): Promise<void> {
    this.stopped = true
    while (this.flushing) await this.flushing
    await this.sql.close()
  }

  private async run(): Promise<void> {
    let pauseMs = 25
    while (this.waiting.length > 0) {
      const batch = this.gather()
      try {
        const startedAt = performance.now()
        const stored = await this.store(batch)
        this.onCommit((performance.now() - startedAt) / 1000, batch.length)
        const missing: Waiting[] = []
        batch.forEach((message, i) => {
          const result = stored[i]
          if (result) {
            message.resolve(result)
            return
          }
          // Its channel was deleted between two flushes: the next one makes it anew.
          message.target.id = undefined
          missing.push(message)
        })
        this.waiting.unshift(...missing)
        pauseMs = 25
      } catch (error) {
        this.waiting.unshift(...batch)
        // Somebody else wrote one of them at this moment: now it is known.
        if (isUniqueViolation(error)) continue
        this.log.warn({ err: error }, 'messages could not be stored; trying again')
        this.giveUp()
        await Bun.sleep(pauseMs)
        pauseMs = Math.min(longestPauseMs, pauseMs * 2)
      }
    }
    this.flushing = undefined
  }

  /** The oldest messages, but no two of one key: the second is a repetition once the first is written. */
  private gather(): Waiting[] {
    const batch: Waiting[] = []
    const later: Waiting[] = []
    const keys = new Set<string>()
    let bytes = 0
    let taken = 0
    for (const message of this.waiting) {
      if (batch.length >= messagesAFlush || bytes >= bytesAFlush) break
      taken++
      const { instanceId, name } = message.target
      const key = `${instanceId} ${name} ${message.key}`
      if (keys.has(key)) {
        later.push(message)
        continue
      }
      keys.add(key)
      batch.push(message)
      bytes += message.payload.length
    }
    this.waiting = [...later, ...this.waiting.slice(taken)]
    return batch
  }

  private async store(batch: readonly Waiting[]): Promise<(Appended | undefined)[]> {
    const unknown = new Map<string, Target[]>()
    for (const { target } of batch) {
      if (target.id !== undefined) continue
      const key = `${target.instanceId} ${target.name}`
      unknown.set(key, [...(unknown.get(key) ?? []), target])
    }
    if (unknown.size > 0) {
      const names = [...unknown.values()].flatMap(([t]) => (t ? [{ instanceId: t.instanceId, name: t.name }] : []))
      const made: (StoredChannel & { instanceId: string; name: string })[] = await ensureChannels(this.sql, names)
      for (const { instanceId, name, id } of made)
        for (const target of unknown.get(`${instanceId} ${name}`) ?? []) target.id = id
    }
    const appends: Append[] = batch.map(({ target, resolve: _, reject: __, deadline: ___, ...message }) => {
      return { ...message, channelId: target.id ?? 0, instanceId: target.instanceId, channel: target.name }
    })
    return appendMessages(this.sql, appends)
  }

  private giveUp() {
    const now = performance.now()
    const [late, rest]: [Waiting[], Waiting[]] = [[], []]
    for (const message of this.waiting) (this.stopped || message.deadline <= now ? late : rest).push(message)
    this.waiting = rest
    for (const message of late) message.reject(new UsherError('unavailable', 'The message could not be stored.'))
  }
}
