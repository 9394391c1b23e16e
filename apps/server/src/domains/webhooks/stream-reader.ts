import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { findHead, listEvents, type StreamEvent } from '../events/index.ts'

/**
 * Says what events tell, in their order: the `data` of each, or undefined when what it told of is gone. A face does it,
 * with few queries for many events.
 */
export type PresentEvents = (ctx: Ctx, events: StreamEvent[]) => Promise<(object | undefined)[]>

/** Events of one read, and where the stream had come to. */
export type Part = {
  events: StreamEvent[]
  /** Every event up to this position is among them, or was before. */
  end: number
  /** Whether the stream went no further at that moment. */
  atHead: boolean
}

type Block = Part & { bodies: Map<number, Promise<string | undefined>>; readAt: number }

const blockSize = 256
/** Blocks in memory: what endpoints that keep up with each other read together is read and presented once. */
const maxBlocks = 32
/** A block that still grows is read again after this. */
const freshMs = 10
/** Blocks that are presented at a time, so that sign-ins find connections free. */
const maxPresenting = 2

/** Reads streams for all lanes of a node. */
export class StreamReader {
  private readonly ctxOf: (instanceId: string) => Ctx | undefined
  private readonly present: PresentEvents
  private readonly blocks = new Map<string, Promise<Block>>()
  private presenting = 0
  private readonly queue: (() => void)[] = []

  constructor(options: { ctxOf: (instanceId: string) => Ctx | undefined; present: PresentEvents }) {
    this.ctxOf = options.ctxOf
    this.present = options.present
  }

  /** What comes after a position: not necessarily all of it. */
  async read(instanceId: string, after: number): Promise<Part> {
    const { events, end, atHead } = await this.blockAt(instanceId, Math.floor(after / blockSize))
    return { events: events.filter((e) => e.position > after), end, atHead }
  }

  /** The bodies of events, in their order: what is signed and sent. Undefined: there is nothing left to tell. */
  async bodies(instanceId: string, events: StreamEvent[]): Promise<(string | undefined)[]> {
    const [first] = events
    if (!first) return []
    const block = await this.blockAt(instanceId, Math.floor((first.position - 1) / blockSize))
    const missing = events.filter((e) => !block.bodies.has(e.position))
    if (missing.length > 0) {
      const made = this.make(instanceId, missing)
      for (const [i, { position }] of missing.entries())
        block.bodies.set(
          position,
          made.then((bodies) => bodies[i]),
        )
      made.catch(() => {
        for (const { position } of missing) block.bodies.delete(position)
      })
    }
    return Promise.all(events.map((e) => block.bodies.get(e.position)))
  }

  /** Bodies of events from anywhere in the stream, for attempts that are made again. */
  async make(instanceId: string, events: StreamEvent[]): Promise<(string | undefined)[]> {
    const ctx = this.ctxOf(instanceId)
    if (!ctx) return events.map(() => undefined)
    if (this.presenting >= maxPresenting) await new Promise<void>((next) => this.queue.push(next))
    this.presenting += 1
    try {
      const data = await this.present(ctx, events)
      return events.map((event, i) => data[i] && JSON.stringify(envelope(event, data[i])))
    } finally {
      this.presenting -= 1
      this.queue.shift()?.()
    }
  }

  private blockAt(instanceId: string, number: number): Promise<Block> {
    const key = `${instanceId} ${number}`
    const known = this.blocks.get(key)
    const block = known ? known.then((b) => (isFresh(b) ? b : this.again(key, known))) : this.load(key)
    return block
  }

  /** Of several who find a block grown old, one reads it. */
  private async again(key: string, old: Promise<Block>): Promise<Block> {
    const current = this.blocks.get(key)
    return current && current !== old ? current : this.load(key, (await old).bodies)
  }

  private load(key: string, bodies: Block['bodies'] = new Map()): Promise<Block> {
    const [instanceId = '', number = ''] = key.split(' ')
    const loading = this.readBlock(instanceId, Number(number), bodies)
    this.blocks.delete(key)
    this.blocks.set(key, loading)
    for (const oldest of this.blocks.keys()) {
      if (this.blocks.size <= maxBlocks) break
      this.blocks.delete(oldest)
    }
    loading.catch(() => {
      if (this.blocks.get(key) === loading) this.blocks.delete(key)
    })
    return loading
  }

  private async readBlock(instanceId: string, number: number, bodies: Block['bodies']): Promise<Block> {
    const ctx = this.ctxOf(instanceId)
    const after = number * blockSize
    const last = after + blockSize
    if (!ctx) return { events: [], end: after, atHead: true, bodies, readAt: Date.now() }
    return transaction(ctx, async (tx) => {
      const head = await findHead(tx)
      const { data } = await listEvents(tx, { after, before: Math.min(last, head) + 1, limit: blockSize })
      return {
        events: data,
        end: Math.max(after, Math.min(last, head)),
        atHead: head <= last,
        bodies,
        readAt: Date.now(),
      }
    })
  }
}

const isFresh = (block: Block) => !block.atHead || Date.now() - block.readAt < freshMs

/** What every delivery looks like. `sequence` rises from event to event: of two about one thing the higher is the later. */
export function envelope(event: StreamEvent, data: object) {
  return {
    data,
    event_attributes: {
      http_request: { client_ip: event.context?.ip ?? '', user_agent: event.context?.user_agent ?? '' },
      event_id: messageIdOf(event),
      sequence: event.position,
    },
    instance_id: event.instanceId,
    object: 'event',
    timestamp: event.createdAt.getTime(),
    type: event.type,
  }
}

/** The id of an event outside: the same wherever and however often it is told. */
export function messageIdOf(event: Pick<StreamEvent, 'id'>): string {
  return `evt_${event.id}`
}
