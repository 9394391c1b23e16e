import { and, asc, eq, inArray, lte, sql } from 'drizzle-orm'
import type { Database } from '../../database/index.ts'
import type { Log } from '../../kernel/log.ts'
import type { Channel } from './catalog.ts'
import { messages } from './tables.ts'

/** Waits before the next attempt, in seconds; after the last one the message has failed. */
const backoffSeconds = [5, 30, 120, 600, 3600, 4 * 3600, 12 * 3600]
const pollMs = 5_000
/** Messages under way at a time. A slow one keeps one place, and the others go on. */
export const places = 10
/** How long a message belongs to the node that took it. A node that dies leaves it to the others after this. */
const claimSeconds = 300

export type Message = typeof messages.$inferSelect

/** What came of an attempt. A `reason` is a code, never a text of the other side: it could repeat a secret. */
export type Outcome =
  | { result: 'sent' }
  /** Worth another attempt. @property afterSeconds what the other side asked for */
  | { result: 'later'; reason: string; afterSeconds?: number | undefined }
  /** Will be refused again. */
  | { result: 'refused'; reason: string }

/** A way out for messages. It gives up well before a claim runs out, and never throws. */
export type Transport = {
  channel: Channel
  deliver: (message: Message) => Promise<Outcome>
  close: () => void
}

const senders = new WeakMap<Database, Map<Channel, MessageSender>>()

export function hasSender(database: Database, channel: Channel): boolean {
  return senders.get(database)?.has(channel) ?? false
}

/** Sends at once what a commit has just queued, instead of at the next round. */
export function wakeSender(database: Database, channel: Channel): void {
  senders.get(database)?.get(channel)?.wake()
}

/** Sends the queued messages of one channel. Several nodes share the queue without sending twice. */
export class MessageSender {
  private timer: ReturnType<typeof setTimeout> | undefined
  private round: Promise<void> | undefined
  private readonly underWay = new Set<Promise<void>>()
  /** Whether more is due, or may be, than there were places for. */
  private more = false
  private stopped = false

  private readonly database: Database
  private readonly transport: Transport
  private readonly log: Log

  constructor(database: Database, transport: Transport, log: Log) {
    this.database = database
    this.transport = transport
    this.log = log
    const ofDatabase = senders.get(database) ?? new Map<Channel, MessageSender>()
    senders.set(database, ofDatabase.set(transport.channel, this))
  }

  start(): void {
    this.wake()
  }

  /** Lets what is being sent finish. */
  async stop(): Promise<void> {
    this.stopped = true
    clearTimeout(this.timer)
    await this.round
    await Promise.all(this.underWay)
    this.transport.close()
  }

  wake(): void {
    if (this.stopped) return
    if (this.round) {
      this.more = true
      return
    }
    clearTimeout(this.timer)
    this.round = this.sendDue()
      .catch((error) => this.log.warn({ err: error }, 'messages could not be sent; trying again'))
      .finally(() => {
        this.round = undefined
        if (this.stopped) return
        if (this.more && this.underWay.size < places) this.wake()
        else this.timer = setTimeout(() => this.wake(), pollMs)
      })
  }

  private async sendDue(): Promise<void> {
    this.more = false
    const free = places - this.underWay.size
    if (free <= 0) {
      this.more = true
      return
    }
    const claimed = await this.claim(free)
    this.more ||= claimed.length === free
    for (const message of claimed) {
      const sending = this.send(message)
        .catch((error) => this.log.warn({ err: error }, 'what came of a message could not be written down'))
        .finally(() => {
          this.underWay.delete(sending)
          if (this.more) this.wake()
        })
      this.underWay.add(sending)
    }
  }

  /** Takes due messages for this node: until the claim runs out they are due for nobody. */
  private async claim(limit: number): Promise<Message[]> {
    const { system } = this.database
    const queued = and(eq(messages.state, 'queued'), eq(messages.channel, this.transport.channel))
    // A code that comes after it is worthless only confuses.
    await system
      .update(messages)
      .set({ state: 'failed', lastError: sql`coalesce(${messages.lastError}, 'expired')`, ...withoutContent })
      .where(and(queued, lte(messages.expiresAt, sql`now()`), lte(messages.nextAttemptAt, sql`now()`)))
    const due = system
      .select({ id: messages.id })
      .from(messages)
      .where(and(queued, lte(messages.nextAttemptAt, sql`now()`)))
      .orderBy(asc(messages.nextAttemptAt))
      .limit(limit)
      .for('update', { skipLocked: true })
    return system
      .update(messages)
      .set({ attempts: sql`${messages.attempts} + 1`, nextAttemptAt: inSeconds(claimSeconds) })
      .where(inArray(messages.id, due))
      .returning()
  }

  private async send(message: Message): Promise<void> {
    const next = this.judge(message, await this.transport.deliver(message))
    await this.database.system
      .update(messages)
      .set({ ...next, ...(next.state !== 'queued' && withoutContent) })
      .where(eq(messages.id, message.id))
  }

  private judge({ id, channel, attempts, expiresAt }: Message, outcome: Outcome) {
    if (outcome.result === 'sent') return { state: 'sent' as const, sentAt: new Date(), lastError: null }
    const { reason } = outcome
    const pause = attempts < backoffSeconds.length ? backoffSeconds[attempts - 1] : undefined
    const wait =
      outcome.result === 'later' && pause !== undefined ? Math.max(pause, outcome.afterSeconds ?? 0) : undefined
    const inTime = wait !== undefined && !(expiresAt && expiresAt.getTime() <= Date.now() + wait * 1000)
    this.log.warn(
      { message: id, channel, attempt: attempts, reason },
      inTime ? 'a message was not accepted' : 'a message was given up',
    )
    return inTime
      ? { state: 'queued' as const, lastError: reason, nextAttemptAt: inSeconds(wait) }
      : { state: 'failed' as const, lastError: reason }
  }
}

/** What was sent holds codes and links: they stay for the inbox of a development instance, and nowhere else. */
const isDevelopment = sql`exists (select 1 from instances i where i.id = messages.instance_id and i.environment = 'development')`
const keepFor = (column: 'subject' | 'html' | 'text') =>
  sql<string>`case when ${isDevelopment} then ${messages[column]} else '' end`
const withoutContent = { subject: keepFor('subject'), html: keepFor('html'), text: keepFor('text') }

const inSeconds = (seconds: number) => sql`now() + ${seconds} * interval '1 second'`
