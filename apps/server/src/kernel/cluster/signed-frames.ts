import { timingSafeEqual } from 'node:crypto'

/**
 * The version of what nodes say to each other. Types of messages and fields may be added without another one, because
 * who does not know them passes over them; another one means that a node of before must not read it at all.
 */
export const frameVersion = 1
const tagBytes = 16
/** A message is refused when it is older than this, or as much ahead: what somebody recorded is of no use later. */
const freshMs = 30_000

/** Why a message is not listened to: it says nothing that this node knows, or nothing that a node said now. */
export type Refusal = 'version' | 'malformed' | 'signature' | 'old' | 'repeated'

type Options = {
  /** The first signs, each of them is believed. */
  keys: readonly Buffer[]
  nodeId: string
  /** Milliseconds by a clock that is the same for all nodes. */
  now: () => number
}

/**
 * Signs what this node says and checks what others said: HMAC-SHA-256, cut to 16 bytes, over where it is said, who says
 * it, its number, its time and its bytes. Whoever can write to Redis but has no key says nothing that is listened to;
 * what a node once said is listened to once, and not in another place.
 *
 * `version, bytes of the id, id of the node, number (8), time (8), tag (16), body`
 */
export class SignedFrames {
  private readonly options: Options
  private readonly id: Buffer
  private readonly startedAt = performance.now()
  private number = 0
  /** The last number of each node, and when it was said. */
  private readonly last = new Map<string, { number: number; at: number }>()

  constructor(options: Options) {
    this.options = options
    this.id = Buffer.from(options.nodeId, 'latin1')
  }

  /** @param place the channel that it is said on */
  sign(place: string, body: Uint8Array): Buffer {
    const headerEnd = 2 + this.id.length + 16
    const frame = Buffer.allocUnsafe(headerEnd + tagBytes + body.length)
    frame[0] = frameVersion
    frame[1] = this.id.length
    frame.set(this.id, 2)
    frame.writeDoubleBE(++this.number, headerEnd - 16)
    frame.writeDoubleBE(this.options.now(), headerEnd - 8)
    frame.set(body, headerEnd + tagBytes)
    frame.set(tagOf(this.options.keys[0] as Buffer, place, frame.subarray(0, headerEnd), body), headerEnd)
    return frame
  }

  /** Who said it. Believed only of what `open` opens. */
  static senderOf(frame: Uint8Array): string {
    return Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength).toString('latin1', 2, 2 + (frame[1] ?? 0))
  }

  /** @param place the channel that it was heard on */
  open(place: string, frame: Buffer): { nodeId: string; body: Buffer } | Refusal {
    if (frame[0] !== frameVersion) return 'version'
    const headerEnd = 2 + (frame[1] ?? 0) + 16
    if (frame.length < headerEnd + tagBytes) return 'malformed'
    const header = frame.subarray(0, headerEnd)
    const tag = frame.subarray(headerEnd, headerEnd + tagBytes)
    const body = frame.subarray(headerEnd + tagBytes)
    if (!this.isSigned(place, header, body, tag)) return 'signature'
    const nodeId = SignedFrames.senderOf(frame)
    const number = frame.readDoubleBE(headerEnd - 16)
    const at = frame.readDoubleBE(headerEnd - 8)
    const now = this.options.now()
    // Said before this process began: whom it has heard, it does not know any more.
    if (Math.abs(now - at) > freshMs || at < now - (performance.now() - this.startedAt)) return 'old'
    if (number <= (this.last.get(nodeId)?.number ?? 0)) return 'repeated'
    this.last.set(nodeId, { number, at })
    return { nodeId, body }
  }

  get nodeId(): string {
    return this.options.nodeId
  }

  /** Signs what stays in a place under this node's name, for so many milliseconds. */
  signValue(place: string, forMs: number, value: Uint8Array): Buffer {
    const header = this.valueHeader(this.options.nodeId, this.options.now() + forMs)
    const tag = tagOf(this.options.keys[0] as Buffer, place, header, value)
    return Buffer.concat([header.subarray(-9), tag, value])
  }

  /** @returns undefined when it is nobody's, over, or of another version */
  openValue(place: string, nodeId: string, stored: Buffer): Buffer | undefined {
    if (stored.length < 9 + tagBytes || stored[0] !== frameVersion) return undefined
    const until = stored.readDoubleBE(1)
    const value = stored.subarray(9 + tagBytes)
    const signed = this.isSigned(place, this.valueHeader(nodeId, until), value, stored.subarray(9, 9 + tagBytes))
    return signed && until > this.options.now() ? value : undefined
  }

  /** Forgets nodes that are gone for so long that nothing of theirs is fresh. */
  forgetOld(): void {
    const since = this.options.now() - 2 * freshMs
    for (const [nodeId, { at }] of this.last) if (at < since) this.last.delete(nodeId)
  }

  private valueHeader(nodeId: string, until: number): Buffer {
    const header = Buffer.alloc(1 + nodeId.length + 9)
    header[0] = nodeId.length
    header.write(nodeId, 1, 'latin1')
    header[1 + nodeId.length] = frameVersion
    header.writeDoubleBE(until, 2 + nodeId.length)
    return header
  }

  private isSigned(place: string, header: Buffer, body: Uint8Array, tag: Buffer): boolean {
    return this.options.keys.some((key) => timingSafeEqual(tagOf(key, place, header, body), tag))
  }
}

/** Each part is told from the next by its length; the lengths of header and body follow from the header. */
function tagOf(key: Buffer, place: string, header: Uint8Array, body: Uint8Array): Buffer {
  return new Bun.CryptoHasher('sha256', key)
    .update(`${Buffer.byteLength(place)}:${place}`)
    .update(header)
    .update(body)
    .digest()
    .subarray(0, tagBytes) as Buffer
}
