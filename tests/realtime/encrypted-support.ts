import { createHash } from 'node:crypto'
import { createReceiver, createSender, envelopeKind, fixedDocumentKey } from '@usher/sync/crypto'
import {
  appendFrame,
  decodeServerFrame,
  helloFrame,
  type Place,
  type ServerFrame,
  snapshotChunkFrame,
  snapshotCommitFrame,
  snapshotOfferFrame,
  type Welcome,
} from '../../packages/sync/src/encrypted-frames.ts'
import { until } from './support.ts'

export const documentKey = Uint8Array.from({ length: 32 }, (_, i) => i)
const keys = fixedDocumentKey(documentKey)

export const sealer = (docId: string, epoch = 0) => createSender({ key: documentKey, epoch, room: docId })
export type Sealer = ReturnType<typeof sealer>

export const opened = async (docId: string, envelopes: Uint8Array[]): Promise<Uint8Array[]> => {
  const receiver = createReceiver({ keys, room: docId })
  const all = await Promise.all(envelopes.map((envelope) => receiver.open(envelope)))
  return all.map(({ plaintext }) => plaintext)
}

const sha256 = (...parts: Uint8Array[]) => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}
const text = (value: string) => new Uint8Array(Buffer.from(value))

/** The chain by the letter of E-4, beside the two implementations. */
export const chainOver = (docId: string, envelopes: readonly Uint8Array[]) =>
  envelopes.reduce(
    (chain, envelope, i) => {
      const n = Buffer.alloc(8)
      n.writeBigUInt64BE(BigInt(i + 1))
      return sha256(chain, n, sha256(envelope))
    },
    sha256(text('usher/e2ee/v1/chain\0'), text(docId)),
  )

type FrameOf<T extends ServerFrame['type']> = Extract<ServerFrame, { type: T }>

type Options = {
  headers?: Record<string, string>
  token?: string
  place?: Place
  makesSnapshots?: boolean
  /** Say nothing by itself. */
  silent?: boolean
}

/** A member of an encrypted room that writes down everything it hears. */
export function member(url: string, docId: string, options: Options = {}) {
  const { headers, token, place, makesSnapshots = false, silent = false } = options
  const bearer = token === undefined ? [] : [`bearer.${Buffer.from(token).toString('base64url')}`]
  const socket = new WebSocket(`${url}/${docId}`, { headers, protocols: ['usher.encrypted.v1', ...bearer] } as never)
  socket.binaryType = 'arraybuffer'
  const heard: ServerFrame[] = []
  const raw: Uint8Array[] = []
  const log = new Map<number, Uint8Array>()
  let head = place?.seq ?? 0
  let closing: { code: number; reason: string } | undefined
  let cseq = 0
  const sender = sealer(docId)
  socket.onmessage = ({ data }) => {
    if (typeof data === 'string') return
    raw.push(new Uint8Array(data))
    const frame = decodeServerFrame(new Uint8Array(data))
    heard.push(frame)
    if (frame.type === 'welcome') head = frame.from
    if (frame.type !== 'frames') return
    frame.frames.forEach(({ envelope }, i) => {
      log.set(frame.first + i, envelope)
      if (frame.first + i > head + 1) throw new Error(`a gap: ${frame.first + i} after ${head}`)
      head = Math.max(head, frame.first + i)
    })
  }
  const isOpen = new Promise<void>((resolve) => {
    socket.onopen = () => {
      if (!silent) socket.send(helloFrame(place, [sender.sessionId], makesSnapshots))
      resolve()
    }
  })
  const isClosed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.onclose = ({ code, reason }) => {
      closing = { code, reason }
      resolve(closing)
    }
  })
  const all = <T extends ServerFrame['type']>(type: T) => heard.filter((frame) => frame.type === type) as FrameOf<T>[]
  const self = {
    socket,
    sender,
    heard,
    raw,
    log,
    isOpen,
    isClosed,
    all,
    get closing() {
      return closing
    },
    get head() {
      return head
    },
    send: (frame: Uint8Array<ArrayBuffer>) => socket.send(frame),
    /** The next frame of a type that was not given out before. */
    next: async <T extends ServerFrame['type']>(type: T): Promise<FrameOf<T>> => {
      await until(() => closing !== undefined || heard.some((frame) => frame.type === type), `told "${type}"`)
      const at = heard.findIndex((frame) => frame.type === type)
      if (at < 0) throw new Error(`closed with ${closing?.code} ${closing?.reason}`)
      return heard.splice(at, 1)[0] as FrameOf<T>
    },
    welcome: (): Promise<Welcome> => self.next('welcome'),
    append: (envelope: Uint8Array) => {
      socket.send(appendFrame(++cseq, envelope))
      return cseq
    },
    write: async (content: string, by: Sealer = sender) => {
      const envelope = await by.seal(envelopeKind.update, text(content))
      return { envelope, cseq: self.append(envelope) }
    },
    acked: (number: number) =>
      until(() => all('ack').some((ack) => ack.cseq >= number), `an acknowledgement of ${number}`),
    reached: (seq: number) => until(() => head >= seq, `entry ${seq}`),
    envelopes: () => [...log.entries()].sort(([a], [b]) => a - b).map(([, envelope]) => envelope),
    /** What it read, in order. */
    read: async () => (await opened(docId, self.envelopes())).map((bytes) => Buffer.from(bytes).toString()),
    place: (incarnation: Uint8Array, chain: Uint8Array): Place => ({ incarnation, seq: head, chain }),
    [Symbol.dispose]: () => socket.close(),
  }
  return self
}
export type Member = ReturnType<typeof member>

/** Uploads a snapshot of what a member has. @returns what the server makes of it */
export async function upload(
  by: Member,
  docId: string,
  options: {
    seq?: number
    chain?: Uint8Array
    chunks?: Uint8Array[]
    epoch?: number
    wrongHash?: boolean
    lease?: number
  } = {},
): Promise<FrameOf<'snapshot-live'> | FrameOf<'snapshot-refused'>> {
  const seq = options.seq ?? by.head
  const chunks =
    options.chunks ??
    (await Promise.all(['one', 'two'].map((part) => by.sender.seal(envelopeKind.snapshot, text(part)))))
  const whole = Buffer.concat(chunks)
  const sha = sha256(new Uint8Array(whole), ...(options.wrongHash ? [text('!')] : []))
  const chain = options.chain ?? chainOver(docId, by.envelopes().slice(0, seq))
  const snapshot = { seq, epoch: options.epoch ?? 0, size: whole.length, sha256: sha, chain, chunks: chunks.length }
  by.send(snapshotOfferFrame(snapshot, options.lease ?? 0))
  const answer = await answerTo(by, seq, 'snapshot-accepted')
  if (answer.type === 'snapshot-refused') return answer
  chunks.forEach((chunk, n) => {
    by.send(snapshotChunkFrame(seq, n, chunk))
  })
  by.send(snapshotCommitFrame(seq))
  return await answerTo(by, seq, 'snapshot-live')
}

/** The answer to an upload, or its refusal. Others' snapshots are announced as well. */
async function answerTo<T extends 'snapshot-accepted' | 'snapshot-live'>(
  by: Member,
  seq: number,
  type: T,
): Promise<FrameOf<T> | FrameOf<'snapshot-refused'>> {
  const isAnswer = (frame: ServerFrame) =>
    // 404: the commit that was on its way when an upload before this one was refused.
    (frame.type === 'snapshot-refused' && frame.seq === seq && frame.code !== 404) ||
    (frame.type === type && (frame.type === 'snapshot-live' ? frame.snapshot.seq : frame.seq) === seq)
  await until(() => by.heard.some(isAnswer), `told about the snapshot at ${seq}`)
  return by.heard.splice(by.heard.findIndex(isAnswer), 1)[0] as FrameOf<T> | FrameOf<'snapshot-refused'>
}
