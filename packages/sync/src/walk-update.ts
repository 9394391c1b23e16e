/** A run of operations of one client: clocks `from` (inclusive) to `to` (exclusive). */
export type ClockRange = { client: number; from: number; to: number }

/** What an update holds. */
export type UpdateFacts = { ranges: ClockRange[]; hasDeletes: boolean }

/** Why {@link walkUpdate} refused. */
export class MalformedUpdate extends Error {
  override readonly name = 'MalformedUpdate'
}

/** Above this ceiling a run would use up its client id: yjs accepts 2^52 and then has no clocks left. */
const maxClock = 2 ** 32
/**
 * Every session of an editor writes under an id of its own, so an old document has tens of thousands of them, and a
 * client may send it whole. This many take yjs 0.4 s and 64 MB.
 */
const maxClientGroups = 100_000
/** Deeper values decode, and then overflow the stack when updates are merged or encoded again. */
const maxDepth = 64
const maxSafe = Number.MAX_SAFE_INTEGER

// Content kinds: the low five bits of a struct's first byte.
const gc = 0
const skip = 10
const hasOrigin = 0x80
const hasRightOrigin = 0x40
const hasParentSub = 0x20

/** Options that yjs writes for a subdocument, or reads without using them as a function or an id. */
const subdocumentOptions = new Set(['gc', 'autoLoad', 'shouldLoad', 'meta', 'collectionid'])

/**
 * The server's own look at a change, for documents that it cannot read: here members look after decryption. Both files say the
 * same (walk-update.test.ts).
 *
 * Reads an update (V1 encoding) once, from its first to its last byte, and refuses what could hurt a reader: numbers
 * that claim more elements than there are bytes, runs beyond 2^32, values nested deeper than 64, text that is not
 * UTF-8, JSON that does not parse, references to operations of its own client that come later, deletions out of order,
 * trailing bytes. What passes can be applied, merged and diffed by yjs 13.6 without throwing (tests/fuzz). What
 * contradicts other updates of the same document it cannot see: that takes a document.
 *
 * Allocates nothing by a claimed count. Only the JSON of embeds and formats is decoded.
 *
 * @returns the operations it contains (skips are not operations) and whether it deletes any
 * @throws {MalformedUpdate}
 */
export function walkUpdate(bytes: Uint8Array): UpdateFacts {
  const walker = new Walker(bytes)
  return walker.walk()
}

class Walker {
  private readonly bytes: Uint8Array
  private readonly end: number
  private at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.end = bytes.length
  }

  walk(): UpdateFacts {
    const ranges: ClockRange[] = []
    const groups = this.count()
    if (groups > maxClientGroups) throw new MalformedUpdate('too many client groups')
    // Writers sort clients downwards; only another order needs a memory of those seen.
    let previous = Number.POSITIVE_INFINITY
    let seen: Set<number> | undefined
    for (let i = 0; i < groups; i++) {
      const structs = this.count()
      const client = this.uint()
      if (client >= previous && !seen) seen = new Set(ranges.map((range) => range.client))
      // A second group of one client replaces the first in a reader's table: its operations would be lost.
      if (seen?.has(client)) throw new MalformedUpdate('a client appears twice')
      seen?.add(client)
      previous = Math.min(previous, client)
      this.group(client, structs, ranges)
    }
    const hasDeletes = this.deleteSet()
    if (this.at !== this.end) throw new MalformedUpdate('trailing bytes')
    return { ranges, hasDeletes }
  }

  private group(client: number, structs: number, ranges: ClockRange[]) {
    let clock = this.uint()
    let from = clock
    for (let i = 0; i < structs; i++) {
      const info = this.byte()
      const kind = info & 0x1f
      if (kind === skip && info !== skip) throw new MalformedUpdate('a skip with origins')
      const length = kind === gc || kind === skip ? this.uint() : this.item(info, kind, client, clock)
      if (length === 0) throw new MalformedUpdate('an empty struct')
      if (clock + length > maxClock) throw new MalformedUpdate('clock beyond 2^32')
      if (kind === skip) {
        if (clock > from) ranges.push({ client, from, to: clock })
        from = clock + length
      }
      clock += length
    }
    if (clock > from) ranges.push({ client, from, to: clock })
  }

  /** @returns the item's length in clocks */
  private item(info: number, kind: number, client: number, clock: number): number {
    if ((info & hasOrigin) !== 0) this.reference(client, clock)
    if ((info & hasRightOrigin) !== 0) this.reference(client, clock)
    if ((info & (hasOrigin | hasRightOrigin)) === 0) {
      if (this.uint() === 1) this.text()
      else this.reference(client, clock)
      if ((info & hasParentSub) !== 0) this.text()
    }
    return this.content(kind)
  }

  /** An id that an item refers to. An operation of the same client must come before it, or no reader can place it. */
  private reference(client: number, clock: number) {
    const referredClient = this.uint()
    const referredClock = this.uint()
    if (referredClock >= maxClock) throw new MalformedUpdate('clock beyond 2^32')
    if (referredClient === client && referredClock >= clock) throw new MalformedUpdate('an item refers to a later one')
  }

  private content(kind: number): number {
    switch (kind) {
      case 1: // deleted
        return this.uint()
      case 2: {
        const n = this.count()
        for (let i = 0; i < n; i++) this.json(true)
        return n
      }
      case 3: // binary
        this.skipBytes(this.uint())
        return 1
      case 4: // string; its length counts UTF-16 units
        return this.text()
      case 5: // embed
        this.json(false)
        return 1
      case 6: // format
        this.text()
        this.json(false)
        return 1
      case 7: {
        const type = this.uint()
        if (type > 6) throw new MalformedUpdate('unknown type')
        if (type === 3 || type === 5) this.text()
        return 1
      }
      case 8: {
        const n = this.count()
        for (let i = 0; i < n; i++) this.any(0)
        return n
      }
      case 9:
        this.text()
        this.subdocument()
        return 1
      default:
        throw new MalformedUpdate('unknown content')
    }
  }

  private deleteSet(): boolean {
    let hasDeletes = false
    const clients = this.count()
    const seen = new Set<number>()
    for (let i = 0; i < clients; i++) {
      const client = this.uint()
      if (seen.has(client)) throw new MalformedUpdate('deletions of a client appear twice')
      seen.add(client)
      const deletions = this.count()
      if (deletions > 0) hasDeletes = true
      let end = 0
      for (let j = 0; j < deletions; j++) {
        const clock = this.uint()
        const length = this.uint()
        if (length === 0) throw new MalformedUpdate('an empty deletion')
        if (clock + length > maxClock) throw new MalformedUpdate('clock beyond 2^32')
        // Writers sort and join them. Deletions that must wait are encoded as differences, and a negative one
        // would become the deletion of something else.
        if (clock < end) throw new MalformedUpdate('deletions out of order')
        end = clock + length
      }
    }
    return hasDeletes
  }

  private any(depth: number) {
    if (depth > maxDepth) throw new MalformedUpdate('nested too deep')
    switch (this.byte()) {
      case 127: // undefined
      case 126: // null
      case 121: // false
      case 120: // true
        return
      case 125:
        return this.varInt()
      case 124: // float32
        return this.skipBytes(4)
      case 123: // float64
      case 122: // bigint
        return this.skipBytes(8)
      case 119:
        this.text()
        return
      case 118: {
        const n = this.count()
        for (let i = 0; i < n; i++) {
          const units = this.text()
          // Readers assign it, so the bytes would become the object's prototype, and encoding that object would throw.
          if (this.bytes[this.at] === 116 && units === 9 && this.endsAtProto())
            throw new MalformedUpdate('bytes as a prototype')
          this.any(depth + 1)
        }
        return
      }
      case 117: {
        const n = this.count()
        for (let i = 0; i < n; i++) this.any(depth + 1)
        return
      }
      case 116:
        return this.skipBytes(this.uint())
      default:
        throw new MalformedUpdate('unknown value')
    }
  }

  private endsAtProto(): boolean {
    return decodeText(this.bytes.subarray(this.at - 9, this.at)) === '__proto__'
  }

  /** The options object of a subdocument. yjs spreads it over the new document's own fields, id and functions too. */
  private subdocument() {
    if (this.byte() !== 118) throw new MalformedUpdate('subdocument options are not an object')
    const n = this.count()
    for (let i = 0; i < n; i++) {
      const start = this.at
      this.text()
      const key = decodeText(this.bytes.subarray(start, this.at))
      // The varUint length stands before the key; an option's name is shorter than 128 bytes.
      if (!subdocumentOptions.has(key.slice(1))) throw new MalformedUpdate('unknown subdocument option')
      this.any(1)
    }
  }

  private json(undefinedAllowed: boolean) {
    const length = this.uint()
    if (length > this.end - this.at) throw new MalformedUpdate('unexpected end')
    const start = this.at
    const end = start + length
    this.validateUtf8(end)
    let depth = 0
    let inString = false
    for (let i = start; i < end; i++) {
      const c = this.bytes[i]
      if (inString) {
        if (c === 0x5c) i++
        else if (c === 0x22) inString = false
      } else if (c === 0x22) inString = true
      else if (c === 0x7b || c === 0x5b) {
        if (++depth > maxDepth) throw new MalformedUpdate('nested too deep')
      } else if (c === 0x7d || c === 0x5d) depth--
    }
    const text = decodeText(this.bytes.subarray(start, end))
    if (undefinedAllowed && text === 'undefined') return
    try {
      JSON.parse(text)
    } catch {
      throw new MalformedUpdate('JSON does not parse')
    }
  }

  /** Checks a length-prefixed UTF-8 text and returns its length in UTF-16 units. */
  private text(): number {
    const length = this.uint()
    if (length > this.end - this.at) throw new MalformedUpdate('unexpected end')
    return this.validateUtf8(this.at + length)
  }

  /** Moves to `end` and returns the number of UTF-16 units passed (WHATWG rules: no surrogates, no overlong forms). */
  private validateUtf8(end: number): number {
    const { bytes } = this
    let at = this.at
    let units = 0
    while (at < end) {
      const a = bytes[at++] as number
      units++
      if (a < 0x80) continue
      let more: number
      let low = 0x80
      let high = 0xbf
      if (a >= 0xc2 && a <= 0xdf) more = 1
      else if (a >= 0xe0 && a <= 0xef) {
        more = 2
        if (a === 0xe0) low = 0xa0
        else if (a === 0xed) high = 0x9f
      } else if (a >= 0xf0 && a <= 0xf4) {
        more = 3
        units++
        if (a === 0xf0) low = 0x90
        else if (a === 0xf4) high = 0x8f
      } else throw new MalformedUpdate('text is not UTF-8')
      if (at + more > end) throw new MalformedUpdate('text is not UTF-8')
      const b = bytes[at++] as number
      if (b < low || b > high) throw new MalformedUpdate('text is not UTF-8')
      for (; more > 1; more--)
        if (((bytes[at++] as number) & 0xc0) !== 0x80) throw new MalformedUpdate('text is not UTF-8')
    }
    this.at = end
    return units
  }

  private byte(): number {
    if (this.at >= this.end) throw new MalformedUpdate('unexpected end')
    return this.bytes[this.at++] as number
  }

  /** A number of elements that follow. Each takes at least one byte, so more than what is left is a lie. */
  private count(): number {
    const n = this.uint()
    if (n > this.end - this.at) throw new MalformedUpdate('more elements than bytes')
    return n
  }

  private uint(): number {
    let n = 0
    let scale = 1
    for (;;) {
      const b = this.byte()
      n += (b & 0x7f) * scale
      if (n > maxSafe) throw new MalformedUpdate('number out of range')
      if (b < 0x80) return n
      scale *= 128
      if (scale > maxSafe) throw new MalformedUpdate('number out of range')
    }
  }

  private varInt() {
    if (this.byte() < 0x80) return
    for (let i = 0; i < 7; i++) if (this.byte() < 0x80) return
    throw new MalformedUpdate('number out of range')
  }

  private skipBytes(n: number) {
    if (n > this.end - this.at) throw new MalformedUpdate('unexpected end')
    this.at += n
  }
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

function decodeText(bytes: Uint8Array): string {
  return utf8.decode(bytes)
}
