import { fromBase64url, fromUtf8, toBase64url, utf8 } from './crypto/bytes.ts'
import {
  CryptoError,
  createReceiver,
  createSender,
  type DocumentKeys,
  envelopeFlag,
  envelopeKind,
  parseEnvelope,
  type Receiver,
  type Sender,
} from './crypto/index.ts'

/** What is said in a channel, on its way to a server that must not read it and back. */
export type ChannelSeal = {
  /** Many may be under way at once, and they come out in the order of the calls. */
  seal(name: string, data: unknown): Promise<unknown>
  /**
   * Opens what has just arrived. Waits up to a quarter of a minute for the key of a later epoch.
   *
   * @throws {CryptoError} also for what was opened before, and for what nobody sealed
   */
  open(name: string, data: unknown): Promise<unknown>
  /** Opens messages that were kept; what was opened before is no reason against it. In their order. */
  openKept<Message extends { name: string; data: unknown }>(messages: Message[]): Promise<Outcome<Message>[]>
  sealPresence(data: Record<string, unknown>): Promise<Record<string, unknown>>
  /** An empty object for what cannot be opened. */
  openPresence(data: unknown): Promise<Record<string, unknown>>
  /** The connection is over: what is said on the next one is sealed in a session of its own (E-2). */
  lost(): void
  end(): void
}

type Outcome<Message> = { message: Message; error?: unknown }

/** Events have names, so this is none of theirs: an event cannot be passed off as somebody's presence. */
const presenceName = ''
const waitsMs = [500, 1000, 2000, 4000, 8000]

/**
 * Seals in envelopes of kind 5 (C-6). The event's name is sealed along with its data, because the server sees the name and
 * could put another one before it.
 *
 * @param input.room the document's id
 */
export function createChannelSeal(input: { keys: DocumentKeys; room: string; padding: boolean }): ChannelSeal {
  const { keys, room } = input
  const flags = input.padding ? envelopeFlag.padded : 0
  const receiver = createReceiver({ keys, room })
  let sender: Sender | undefined
  let sealing: Promise<unknown> = Promise.resolve()
  let opening: Promise<unknown> = Promise.resolve()
  let end = () => {}
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })

  async function senderNow(): Promise<Sender> {
    const { epoch, key } = await keys.current()
    if (sender?.epoch !== epoch || sender.remaining === 0) sender = createSender({ key, epoch, room })
    return sender
  }

  function seal(name: string, data: unknown): Promise<{ sealed: string }> {
    const plaintext = utf8(JSON.stringify([name, data]))
    const mine = sealing.then(async () => {
      const envelope = await (await senderNow()).seal(envelopeKind.channel, plaintext, { flags })
      return { sealed: toBase64url(envelope) }
    })
    sealing = mine.catch(() => {})
    return mine
  }

  async function read(by: Receiver, name: string, data: unknown): Promise<unknown> {
    const { kind, plaintext } = await by.open(bytesOf(data))
    if (kind !== envelopeKind.channel) throw new CryptoError('malformed', 'not a message of a channel')
    const [sealedName, value] = JSON.parse(fromUtf8(plaintext)) as [unknown, unknown]
    if (sealedName !== name) throw new CryptoError('authentication', 'sealed under another name')
    return value
  }

  async function readWhenKeyComes(name: string, data: unknown): Promise<unknown> {
    for (const waitMs of [...waitsMs, undefined]) {
      try {
        return await read(receiver, name, data)
      } catch (error) {
        if (waitMs === undefined || !(await isAwaited(error, data)) || !(await pause(waitMs, ended))) throw error
      }
    }
  }

  /** Whether the key may still come: that of an epoch which is not ours yet. */
  async function isAwaited(error: unknown, data: unknown): Promise<boolean> {
    if (!(error instanceof CryptoError) || error.code !== 'unknown_key') return false
    const current = await keys.current().catch(() => undefined)
    return current === undefined || parseEnvelope(bytesOf(data)).epoch > current.epoch
  }

  return {
    seal,
    open(name, data) {
      // One after the other: what comes after a message that waits for its key would make that one a repetition.
      const mine = opening.then(() => readWhenKeyComes(name, data))
      opening = mine.catch(() => {})
      return mine
    },
    openKept(messages) {
      const by = createReceiver({ keys, room })
      return Promise.all(
        messages.map((message) =>
          read(by, message.name, message.data).then(
            (data) => ({ message: { ...message, data } }),
            (error: unknown) => ({ message, error }),
          ),
        ),
      )
    },
    sealPresence: (data) => seal(presenceName, data),
    async openPresence(data) {
      const value = await read(createReceiver({ keys, room }), presenceName, data).catch(() => undefined)
      return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
    },
    lost() {
      sender = undefined
    },
    end,
  }
}

function bytesOf(data: unknown): Uint8Array {
  const sealed = (data as { sealed?: unknown } | null)?.sealed
  if (typeof sealed !== 'string') throw new CryptoError('malformed', 'nobody sealed this')
  try {
    return fromBase64url(sealed)
  } catch {
    throw new CryptoError('malformed', 'no envelope')
  }
}

/** @returns false when it is over before */
function pause(ms: number, ended: Promise<void>): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(true), ms)
    ended.then(() => {
      clearTimeout(timer)
      resolve(false)
    })
  })
}
