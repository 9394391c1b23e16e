import { FrameReader, varUint } from './protocol.ts'
import { MalformedUpdate } from './walk-update.ts'

export const protocolVersion = 1

/** What a client of an encrypted room says, one message a frame: a byte for its type, then numbers as in y-protocols. */
export type EncryptedMessage =
  | {
      type: 'hello'
      version: number
      /** Undefined: it does not know which log it saw. */
      incarnation: string | undefined
      lastSeq: number
      chain: Uint8Array
      /** It can make snapshots. */
      makesSnapshots: boolean
    }
  | { type: 'append'; cseq: number; envelope: Uint8Array }
  | { type: 'ephemeral'; envelope: Uint8Array }
  | SnapshotMessage
  | { type: 'fetch'; from: number; to: number }
  | { type: 'ping'; bytes: Uint8Array }
  | { type: 'key_params'; bytes: Uint8Array }

export type SnapshotOffer = {
  seq: number
  epoch: number
  size: number
  sha256: Uint8Array
  chain: Uint8Array
  chunks: number
}

export type SnapshotMessage =
  | ({ type: 'offer'; lease: number } & SnapshotOffer)
  | { type: 'chunk'; seq: number; n: number; envelope: Uint8Array }
  | { type: 'commit' | 'ok' | 'bad' | 'get'; seq: number }

const snapshotOps = ['offer', 'chunk', 'commit', 'ok', 'bad', 'get'] as const
const maxSessions = 16
const maxKeyParams = 1024

/** @throws {MalformedUpdate} for a frame that is cut short, of an unknown type, or with something behind its end */
export function decodeEncryptedFrame(frame: Uint8Array): EncryptedMessage {
  const reader = new FrameReader(frame)
  const message = decode(reader)
  if (!reader.done) throw new MalformedUpdate('trailing bytes')
  return message
}

function decode(reader: FrameReader): EncryptedMessage {
  switch (reader.uint()) {
    case 1: {
      const version = reader.uint()
      const incarnation = uuidOf(reader.raw(16))
      const lastSeq = reader.uint()
      const chain = reader.raw(32)
      const sessions = reader.uint()
      if (sessions > maxSessions) throw new MalformedUpdate('too many sessions')
      // Announced for those who want to check them; the log names each envelope's session itself.
      reader.raw(sessions * 16)
      return { type: 'hello', version, incarnation, lastSeq, chain, makesSnapshots: (reader.uint() & 1) === 1 }
    }
    case 2:
      return { type: 'append', cseq: reader.uint(), envelope: reader.remaining() }
    case 3:
      return { type: 'ephemeral', envelope: reader.remaining() }
    case 4:
      return decodeSnapshot(reader)
    case 5:
      return { type: 'fetch', from: reader.uint(), to: reader.uint() }
    case 7:
      return { type: 'ping', bytes: reader.raw(8) }
    case 8: {
      const bytes = reader.remaining()
      if (bytes.length === 0 || bytes.length > maxKeyParams) throw new MalformedUpdate('key parameters of no size')
      return { type: 'key_params', bytes }
    }
    default:
      throw new MalformedUpdate('unknown type of frame')
  }
}

function decodeSnapshot(reader: FrameReader): SnapshotMessage {
  const op = snapshotOps[reader.uint() - 1]
  if (op === undefined) throw new MalformedUpdate('unknown snapshot operation')
  const seq = reader.uint()
  if (op === 'chunk') return { type: op, seq, n: reader.uint(), envelope: reader.remaining() }
  if (op !== 'offer') return { type: op, seq }
  const [epoch, size] = [reader.uint(), reader.uint()]
  const [sha256, chain] = [reader.raw(32), reader.raw(32)]
  return { type: op, seq, epoch, size, sha256, chain, chunks: reader.uint(), lease: reader.uint() }
}

export type Welcome = {
  incarnation: string | undefined
  head: number
  chain: Uint8Array
  from: number
  resumed: boolean
  snapshot: SnapshotOffer | undefined
  keyEpoch: number
  access: 'read' | 'write'
  envelopeBytes: number
  snapshotBytes: number
  chunkBytes: number
  now: number
  ref: number
  keyParams: Uint8Array | undefined
}

type SentEntry = { ref: number; at: number; bytes: Uint8Array }
export type RosterEntry = { joined: boolean; ref: number; principal: string; access: 'read' | 'write' }
export type NackCode = 403 | 409 | 413 | 422 | 429 | 503
export type SnapshotRefusal = 403 | 404 | 409 | 413 | 422 | 429 | 503

/** Frames to clients of an encrypted room. */
export const encryptedFrames = {
  welcome: (w: Welcome) =>
    join(
      [0x81, ...varUint(protocolVersion)],
      bytesOfUuid(w.incarnation),
      varUint(w.head),
      w.chain,
      [...varUint(w.from), w.resumed ? 1 : 0, w.snapshot ? 1 : 0],
      w.snapshot ? snapshotBody(w.snapshot) : [],
      [...varUint(w.keyEpoch), w.access === 'write' ? 1 : 0],
      [w.envelopeBytes, w.snapshotBytes, w.chunkBytes, w.now, w.ref].flatMap(varUint),
      varUint(w.keyParams?.length ?? 0),
      w.keyParams ?? [],
    ),
  frames: (first: number, entries: readonly SentEntry[]) =>
    join(
      [0x82, ...varUint(first), ...varUint(entries.length)],
      ...entries.flatMap(({ ref, at, bytes }) => [
        [...varUint(ref), ...varUint(Math.max(0, Math.round(at))), ...varUint(bytes.length)],
        bytes,
      ]),
    ),
  ack: (cseq: number, seq: number) => join([0x83, ...varUint(cseq), ...varUint(seq)]),
  nack: (cseq: number, code: NackCode, retryAfterMs = 0) =>
    join([0x84, ...[cseq, code, retryAfterMs].flatMap(varUint)]),
  ephemeral: (ref: number, envelope: Uint8Array) => join([0x85, ...varUint(ref)], envelope),
  snapshotAccepted: (seq: number) => join([0x86, 1, ...varUint(seq)]),
  snapshotChunk: (seq: number, n: number, envelope: Uint8Array) =>
    join([0x86, 2, ...varUint(seq), ...varUint(n)], envelope),
  snapshotLive: (snapshot: SnapshotOffer) => join([0x86, 3], snapshotBody(snapshot)),
  snapshotRefused: (seq: number, code: SnapshotRefusal) => join([0x86, 4, ...varUint(seq), ...varUint(code)]),
  snapshotBad: (seq: number) => join([0x86, 5, ...varUint(seq)]),
  pong: (bytes: Uint8Array) => join([0x87], bytes),
  snapshotWanted: (lease: number, seq: number, ms: number) => join([0x88, ...[lease, seq, ms].flatMap(varUint)]),
  epoch: (epoch: number, seq: number) => join([0x89, ...varUint(epoch), ...varUint(seq)]),
  roster: (entries: readonly RosterEntry[]) =>
    join(
      [0x8a, ...varUint(entries.length)],
      ...entries.flatMap(({ joined, ref, principal, access }) => {
        const name = Buffer.from(principal)
        return [[joined ? 1 : 0, ...varUint(ref), ...varUint(name.length)], name, [access === 'write' ? 1 : 0]]
      }),
    ),
  keyParams: (bytes: Uint8Array) => join([0x8c], bytes),
}

function snapshotBody({ seq, epoch, size, sha256, chain, chunks }: SnapshotOffer): Uint8Array {
  return join([seq, epoch, size].flatMap(varUint), sha256, chain, varUint(chunks))
}

// The types above 127 are one byte each, not a number in groups of seven bits.
function join(...parts: (readonly number[] | Uint8Array)[]): Uint8Array {
  let size = 0
  for (const part of parts) size += part.length
  const frame = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    frame.set(part, at)
    at += part.length
  }
  return frame
}

const zeros = '00000000-0000-0000-0000-000000000000'

function uuidOf(bytes: Uint8Array): string | undefined {
  const hex = Buffer.from(bytes).toString('hex')
  const uuid = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  return uuid === zeros ? undefined : uuid
}

function bytesOfUuid(uuid: string = zeros): Uint8Array {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex')
}
