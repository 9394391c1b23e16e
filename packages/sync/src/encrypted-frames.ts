import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'

/** Frames of `usher.encrypted.v1`, as `docs/realtime-protocol.md` lists them. */
export const version = 1

export type Snapshot = {
  seq: number
  epoch: number
  size: number
  sha256: Uint8Array
  chain: Uint8Array
  chunks: number
}

export type Welcome = {
  type: 'welcome'
  incarnation: Uint8Array
  head: number
  /** Value of the chain at `head`, as the server says. */
  chain: Uint8Array
  /** Frames begin after this one. */
  from: number
  resumed: boolean
  snapshot: Snapshot | undefined
  epoch: number
  access: 'read' | 'write'
  envelopeBytes: number
  snapshotBytes: number
  chunkBytes: number
  serverTime: number
  connection: number
  keyParams: Uint8Array | undefined
}

export type ServerFrame =
  | Welcome
  | { type: 'frames'; first: number; frames: { connection: number; at: number; envelope: Uint8Array }[] }
  | { type: 'ack'; cseq: number; seq: number }
  | { type: 'nack'; cseq: number; code: number; retryAfterMs: number }
  | { type: 'ephemeral'; connection: number; envelope: Uint8Array }
  | { type: 'snapshot-accepted'; seq: number }
  | { type: 'snapshot-chunk'; seq: number; n: number; envelope: Uint8Array }
  | { type: 'snapshot-live'; snapshot: Snapshot }
  | { type: 'snapshot-refused'; seq: number; code: number }
  | { type: 'snapshot-bad'; seq: number }
  | { type: 'snapshot-wanted'; lease: number; seq: number; ms: number }
  | { type: 'epoch'; epoch: number; seq: number }
  | { type: 'roster'; entries: { joined: boolean; connection: number; principal: string; access: 'read' | 'write' }[] }
  | { type: 'key-params'; params: Uint8Array }
  | { type: 'unknown' }

/** @throws for a frame that is cut short */
export function decodeServerFrame(bytes: Uint8Array<ArrayBuffer>): ServerFrame {
  const decoder = decoding.createDecoder(bytes)
  const uint = () => decoding.readVarUint(decoder)
  const raw = (length: number) => decoding.readUint8Array(decoder, length).slice()
  const rest = () => raw(bytes.length - decoder.pos)
  const snapshot = (): Snapshot => ({
    seq: uint(),
    epoch: uint(),
    size: uint(),
    sha256: raw(32),
    chain: raw(32),
    chunks: uint(),
  })
  switch (decoding.readUint8(decoder)) {
    case 0x81: {
      if (uint() !== version) throw new Error('the server speaks another version')
      const welcome = { incarnation: raw(16), head: uint(), chain: raw(32), from: uint(), resumed: uint() === 1 }
      const found = uint() === 1 ? snapshot() : undefined
      const further = {
        epoch: uint(),
        access: uint() === 1 ? ('write' as const) : ('read' as const),
        envelopeBytes: uint(),
        snapshotBytes: uint(),
        chunkBytes: uint(),
        serverTime: uint(),
        connection: uint(),
      }
      const params = decoding.readVarUint8Array(decoder).slice()
      const keyParams = params.length > 0 ? params : undefined
      return { type: 'welcome', ...welcome, snapshot: found, ...further, keyParams }
    }
    case 0x82: {
      const first = uint()
      const count = uint()
      const frames = []
      for (let i = 0; i < count; i++)
        frames.push({ connection: uint(), at: uint(), envelope: decoding.readVarUint8Array(decoder).slice() })
      return { type: 'frames', first, frames }
    }
    case 0x83:
      return { type: 'ack', cseq: uint(), seq: uint() }
    case 0x84:
      return { type: 'nack', cseq: uint(), code: uint(), retryAfterMs: uint() }
    case 0x85:
      return { type: 'ephemeral', connection: uint(), envelope: rest() }
    case 0x86:
      switch (uint()) {
        case 1:
          return { type: 'snapshot-accepted', seq: uint() }
        case 2:
          return { type: 'snapshot-chunk', seq: uint(), n: uint(), envelope: rest() }
        case 3:
          return { type: 'snapshot-live', snapshot: snapshot() }
        case 4:
          return { type: 'snapshot-refused', seq: uint(), code: uint() }
        case 5:
          return { type: 'snapshot-bad', seq: uint() }
      }
      return { type: 'unknown' }
    case 0x88:
      return { type: 'snapshot-wanted', lease: uint(), seq: uint(), ms: uint() }
    case 0x89:
      return { type: 'epoch', epoch: uint(), seq: uint() }
    case 0x8a: {
      const entries = []
      for (let left = uint(); left > 0; left--) {
        const joined = uint() === 1
        const connection = uint()
        const principal = new TextDecoder().decode(decoding.readVarUint8Array(decoder))
        entries.push({ joined, connection, principal, access: uint() === 1 ? ('write' as const) : ('read' as const) })
      }
      return { type: 'roster', entries }
    }
    case 0x8c:
      return { type: 'key-params', params: rest() }
    default:
      return { type: 'unknown' }
  }
}

function frame(type: number, write: (encoder: encoding.Encoder) => void): Uint8Array<ArrayBuffer> {
  return encoding.encode((encoder) => {
    encoding.writeUint8(encoder, type)
    write(encoder)
  }) as Uint8Array<ArrayBuffer>
}

const uints =
  (...values: number[]) =>
  (encoder: encoding.Encoder) => {
    for (const value of values) encoding.writeVarUint(encoder, value)
  }

export type Place = { incarnation: Uint8Array; seq: number; chain: Uint8Array }

/** @param place where this client is in the log; undefined: at its start */
export const helloFrame = (place: Place | undefined, sessionIds: Uint8Array[], canMakeSnapshots: boolean) =>
  frame(0x01, (encoder) => {
    encoding.writeVarUint(encoder, version)
    encoding.writeUint8Array(encoder, place?.incarnation ?? new Uint8Array(16))
    encoding.writeVarUint(encoder, place?.seq ?? 0)
    encoding.writeUint8Array(encoder, place && place.seq > 0 ? place.chain : new Uint8Array(32))
    encoding.writeVarUint(encoder, sessionIds.length)
    for (const id of sessionIds) encoding.writeUint8Array(encoder, id)
    encoding.writeVarUint(encoder, canMakeSnapshots ? 1 : 0)
  })

export const appendFrame = (cseq: number, envelope: Uint8Array) =>
  frame(0x02, (encoder) => {
    encoding.writeVarUint(encoder, cseq)
    encoding.writeUint8Array(encoder, envelope)
  })

export const ephemeralFrame = (envelope: Uint8Array) =>
  frame(0x03, (encoder) => encoding.writeUint8Array(encoder, envelope))

export const keyParamsFrame = (params: Uint8Array) =>
  frame(0x08, (encoder) => encoding.writeUint8Array(encoder, params))

export const snapshotOfferFrame = (snapshot: Snapshot, lease: number) =>
  frame(0x04, (encoder) => {
    uints(1, snapshot.seq, snapshot.epoch, snapshot.size)(encoder)
    encoding.writeUint8Array(encoder, snapshot.sha256)
    encoding.writeUint8Array(encoder, snapshot.chain)
    uints(snapshot.chunks, lease)(encoder)
  })

export const snapshotChunkFrame = (seq: number, n: number, envelope: Uint8Array) =>
  frame(0x04, (encoder) => {
    uints(2, seq, n)(encoder)
    encoding.writeUint8Array(encoder, envelope)
  })

export const snapshotCommitFrame = (seq: number) => frame(0x04, uints(3, seq))
export const snapshotOkFrame = (seq: number) => frame(0x04, uints(4, seq))
export const snapshotBadFrame = (seq: number) => frame(0x04, uints(5, seq))
export const snapshotGetFrame = (seq: number) => frame(0x04, uints(6, seq))
