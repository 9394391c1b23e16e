import { and, asc, eq, inArray, lte, sql } from 'drizzle-orm'
import { createTransport, type Transporter } from 'nodemailer'
import type { Database } from '../../database/index.ts'
import type { Log } from '../../kernel/log.ts'
import { messages } from './tables.ts'

/** Waits before the next attempt, in seconds; after the last one the message has failed. */
const backoffSeconds = [5, 30, 120, 600, 3600, 4 * 3600, 12 * 3600]
const pollMs = 5_000
/** Messages taken at a time, each on a connection of its own: none waits in line while its claim runs out. */
const batch = 10
/** How long a message belongs to the node that took it. A node that dies leaves it to the others after this. */
const claimSeconds = 300
/** No exchange with a mail server lasts as long as a claim does. */
const patience = { connectionTimeout: 10_000, greetingTimeout: 10_000, socketTimeout: 60_000 }

const senders = new WeakMap<Database, EmailSender>()

export function hasMailServer(database: Database): boolean {
  return senders.has(database)
}

/** Sends at once what a commit has just queued, instead of at the next round. */
export function wakeSender(database: Database): void {
  senders.get(database)?.wake()
}

/** Sends queued emails through the mail server of `SMTP_URL`. Several nodes share the queue without sending twice. */
export class EmailSender {
  private timer: ReturnType<typeof setTimeout> | undefined
  private round: Promise<void> | undefined
  private again = false
  private stopped = false
  private readonly transport: Transporter

  private readonly database: Database
  private readonly from: string
  private readonly log: Log

  constructor(database: Database, { smtpUrl, from }: { smtpUrl: string; from: string }, log: Log) {
    this.database = database
    this.from = from
    this.log = log
    this.transport = createTransport({ url: smtpUrl, pool: true, maxConnections: batch, ...patience } as never)
    senders.set(database, this)
  }

  start(): void {
    this.wake()
  }

  /** Lets what is being sent finish. */
  async stop(): Promise<void> {
    this.stopped = true
    clearTimeout(this.timer)
    await this.round
    this.transport.close()
  }

  wake(): void {
    if (this.stopped) return
    if (this.round) {
      this.again = true
      return
    }
    clearTimeout(this.timer)
    this.round = this.sendDue()
      .catch((error) => this.log.warn({ err: error }, 'emails could not be sent; trying again'))
      .finally(() => {
        this.round = undefined
        if (this.stopped) return
        if (this.again) {
          this.again = false
          this.wake()
        } else this.timer = setTimeout(() => this.wake(), pollMs)
      })
  }

  private async sendDue(): Promise<void> {
    while (!this.stopped) {
      const claimed = await this.claim()
      if (claimed.length === 0) return
      // All of them are waited for, so that stopping leaves none half-way.
      const outcomes = await Promise.allSettled(claimed.map((message) => this.send(message)))
      const lost = outcomes.find((outcome) => outcome.status === 'rejected')
      if (lost) throw lost.reason
    }
  }

  /** Takes due messages for this node: until the claim runs out they are due for nobody. */
  private claim() {
    const { system } = this.database
    const due = system
      .select({ id: messages.id })
      .from(messages)
      .where(and(eq(messages.state, 'queued'), lte(messages.nextAttemptAt, sql`now()`)))
      .orderBy(asc(messages.nextAttemptAt))
      .limit(batch)
      .for('update', { skipLocked: true })
    return system
      .update(messages)
      .set({ attempts: sql`${messages.attempts} + 1`, nextAttemptAt: inSeconds(claimSeconds) })
      .where(inArray(messages.id, due))
      .returning()
  }

  private async send(message: typeof messages.$inferSelect): Promise<void> {
    const outcome = await this.deliver(message)
    const done = outcome.state === 'queued' ? {} : withoutContent
    await this.database.system
      .update(messages)
      .set({ ...outcome, ...done })
      .where(eq(messages.id, message.id))
  }

  private async deliver({ id, attempts, toAddress, subject, html, text }: typeof messages.$inferSelect) {
    try {
      await this.transport.sendMail({ from: this.from, to: { name: '', address: toAddress }, subject, html, text })
      return { state: 'sent' as const, sentAt: new Date(), lastError: null }
    } catch (error) {
      const wait = backoffSeconds[attempts - 1]
      const last = attempts >= backoffSeconds.length || wait === undefined
      const lastError = (error as { code?: string }).code ?? 'unknown'
      this.log.warn(
        { message: id, attempt: attempts, reason: lastError },
        last ? 'an email was given up' : 'an email was not accepted',
      )
      return last
        ? { state: 'failed' as const, lastError }
        : { state: 'queued' as const, lastError, nextAttemptAt: inSeconds(wait) }
    }
  }
}

/** What was sent holds codes and links: they stay for the inbox of a development instance, and nowhere else. */
const isDevelopment = sql`exists (select 1 from instances i where i.id = messages.instance_id and i.environment = 'development')`
const keepFor = (column: 'subject' | 'html' | 'text') =>
  sql<string>`case when ${isDevelopment} then ${messages[column]} else '' end`
const withoutContent = { subject: keepFor('subject'), html: keepFor('html'), text: keepFor('text') }

const inSeconds = (seconds: number) => sql`now() + ${seconds} * interval '1 second'`
