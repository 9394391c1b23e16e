import { MalformedUpdate } from './walk-update.ts'

/** What a client says, one message a frame (y-protocols 1; 102 is the sync status of y-sweet's client). */
export type ClientMessage =
  | { type: 'sync_step_1'; vector: Uint8Array }
  | { type: 'sync_step_2'; update: Uint8Array }
  | { type: 'update'; update: Uint8Array }
  | { type: 'awareness'; payload: Uint8Array }
  | { type: 'query_awareness' }
  | { type: 'sync_status'; payload: Uint8Array }
  | { type: 'unknown' }

const sync = 0
const awareness = 1
const auth = 2
const queryAwareness = 3
const syncStatus = 102

/** Three bytes that change nothing: the stock client's watchdog counts data messages only, not pings. */
export const keepaliveFrame = Uint8Array.from([awareness, 1, 0])

/** A SyncStep2 without content: everything has been sent before it. */
export const emptyStep2Frame = Uint8Array.from([sync, 1, 2, 0, 0])

/** @throws {MalformedUpdate} when the frame is cut short, claims more than it holds or has something behind it */
export function decodeFrame(frame: Uint8Array): ClientMessage {
  const reader = new FrameReader(frame)
  switch (reader.uint()) {
    case sync: {
      const step = reader.uint()
      const body = reader.rest()
      if (step === 0) return { type: 'sync_step_1', vector: body }
      if (step === 1) return { type: 'sync_step_2', update: body }
      if (step === 2) return { type: 'update', update: body }
      throw new MalformedUpdate('unknown sync step')
    }
    case awareness:
      return { type: 'awareness', payload: reader.rest() }
    case queryAwareness:
      return { type: 'query_awareness' }
    case syncStatus:
      return { type: 'sync_status', payload: frame }
    default:
      return { type: 'unknown' }
  }
}

export const step1Frame = (vector: Uint8Array) => frameOf([sync, 0], vector)
export const updateFrame = (update: Uint8Array) => frameOf([sync, 2], update)

/** The frame of an update that is yet to be written into it: a large one should not be in memory twice. */
export function emptyUpdateFrame(length: number): { frame: Uint8Array; update: Uint8Array } {
  const head = [sync, 2, ...varUint(length)]
  const frame = new Uint8Array(head.length + length)
  frame.set(head)
  return { frame, update: frame.subarray(head.length) }
}
export const awarenessFrame = (payload: Uint8Array) => frameOf([awareness], payload)
/** Permission denied, for people: the stock client only logs it. */
export const deniedFrame = (reason: string) => frameOf([auth, 0], Buffer.from(reason))

function frameOf(head: number[], body: Uint8Array): Uint8Array {
  const start = [...head, ...varUint(body.length)]
  const frame = new Uint8Array(start.length + body.length)
  frame.set(start)
  frame.set(body, start.length)
  return frame
}

/** 7 bits a byte, least significant first, the high bit says that more follow. */
export function varUint(value: number): number[] {
  const out: number[] = []
  let n = value
  while (n >= 128) {
    out.push((n % 128) | 128)
    n = Math.floor(n / 128)
  }
  out.push(n)
  return out
}

export function varUintLength(value: number): number {
  let length = 1
  for (let n = value; n >= 128; n = Math.floor(n / 128)) length++
  return length
}

/** @returns where the next byte belongs */
export function writeVarUint(bytes: Uint8Array, at: number, value: number): number {
  let to = at
  let n = value
  for (; n >= 128; n = Math.floor(n / 128)) bytes[to++] = (n % 128) | 128
  bytes[to++] = n
  return to
}

/** Reads what a peer sent: bounds are checked, nothing is copied. */
export class FrameReader {
  private readonly bytes: Uint8Array
  private at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  get done(): boolean {
    return this.at === this.bytes.length
  }

  uint(): number {
    let n = 0
    let scale = 1
    for (;;) {
      const b = this.bytes[this.at++]
      if (b === undefined) throw new MalformedUpdate('unexpected end')
      n += (b & 127) * scale
      if (n > Number.MAX_SAFE_INTEGER) throw new MalformedUpdate('number out of range')
      if (b < 128) return n
      scale *= 128
    }
  }

  /** Bytes with their length before them. */
  block(): Uint8Array {
    return this.raw(this.uint())
  }

  /** That many bytes. */
  raw(length: number): Uint8Array {
    if (length > this.bytes.length - this.at) throw new MalformedUpdate('unexpected end')
    this.at += length
    return this.bytes.subarray(this.at - length, this.at)
  }

  /** Everything that is left. */
  remaining(): Uint8Array {
    const left = this.bytes.subarray(this.at)
    this.at = this.bytes.length
    return left
  }

  /** A block that must be the last thing in the frame. */
  rest(): Uint8Array {
    const block = this.block()
    if (!this.done) throw new MalformedUpdate('trailing bytes')
    return block
  }
}
