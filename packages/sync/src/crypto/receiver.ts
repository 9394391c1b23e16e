import { concat, equalBytes, owned, toHex } from './bytes.ts'
import type { DocumentKeys } from './document-keys.ts'
import { type Envelope, type EnvelopeHeader, envelopeFlag, parseEnvelope } from './envelope.ts'
import { CryptoError } from './errors.ts'
import { inOrder } from './in-order.ts'
import { unpad } from './padding.ts'
import { nonceOf, signedBytes } from './sender.ts'
import { deriveSessionKey, importDocumentKey, roomBytes, type SessionKey } from './session-key.ts'

export type Opened = {
  kind: number
  epoch: number
  sessionId: Uint8Array
  counter: number
  plaintext: Uint8Array
  /** How many envelopes of the session are missing before this one: omitted, or lost on the way. */
  missing: number
  /** Who signed it, as `verify` names them; undefined without a signature or without `verify`. */
  signer: string | undefined
}

export type Receiver = {
  /**
   * Opens an envelope; many may be under way at once, and they come out in the order of the calls.
   *
   * @throws {CryptoError} `malformed`, `unknown_key`, `commitment`, `authentication`, `signature` or `repeated`
   */
  open(envelope: Uint8Array): Promise<Opened>
}

/** Derived keys that are kept: those of the sessions heard last. */
const keptKeys = 512

/**
 * Opens what senders of a room sealed. Each session has to show first that it was made with our key (E-3); what was
 * opened once is refused the second time, and gaps are told (E-4). Use one for the log and one for ephemeral frames.
 *
 * @param input.verify gives the name of whoever made the signature, or undefined if nobody known did
 * @param input.mustBeSigned kinds of envelopes that are refused without a valid signature
 */
export function createReceiver(input: {
  keys: Pick<DocumentKeys, 'get' | 'refresh'>
  room: string
  verify?: (message: Uint8Array, signature: Uint8Array, header: EnvelopeHeader) => Promise<string | undefined>
  mustBeSigned?: (kind: number) => boolean
}): Receiver {
  const { keys, room, verify } = input
  const nameOfRoom = roomBytes(room)
  const documentKeys = new Map<number, Promise<CryptoKey>>()
  const sessions = new Map<string, Promise<SessionKey>>()
  /** Last counter opened, of each session. */
  const opened = new Map<string, number>()
  const queue = inOrder()
  let refreshing: Promise<void> | undefined

  function documentKey(epoch: number): Promise<CryptoKey> {
    let key = documentKeys.get(epoch)
    if (!key) {
      key = findKey(epoch).then(importDocumentKey)
      documentKeys.set(epoch, key)
      // Not found is no answer for ever: the key may come later.
      key.catch(() => documentKeys.delete(epoch))
    }
    return key
  }

  async function findKey(epoch: number): Promise<Uint8Array> {
    const held = await keys.get(epoch)
    if (held) return held
    if (keys.refresh) {
      refreshing ??= keys.refresh().finally(() => {
        refreshing = undefined
      })
      await refreshing
      const found = await keys.get(epoch)
      if (found) return found
    }
    throw new CryptoError('unknown_key', `no key of epoch ${epoch} is held`)
  }

  function sessionKey({ epoch, sessionId }: Envelope, id: string): Promise<SessionKey> {
    const held = sessions.get(id)
    sessions.delete(id)
    const key = held ?? documentKey(epoch).then((key) => deriveSessionKey(key, { sessionId, room, epoch }))
    sessions.set(id, key)
    if (!held) key.catch(() => sessions.get(id) === key && sessions.delete(id))
    for (const oldest of sessions.keys()) {
      if (sessions.size <= keptKeys) break
      sessions.delete(oldest)
    }
    return key
  }

  async function decrypt(envelope: Envelope, id: string): Promise<Omit<Opened, 'missing'>> {
    const { kind, flags, epoch, sessionId, counter } = envelope
    const { key, commitment } = await sessionKey(envelope, id)
    if (envelope.commitment && !equalBytes(envelope.commitment, commitment))
      throw new CryptoError('commitment', 'made under another key, or for another room or epoch')
    const additionalData = concat(envelope.header, nameOfRoom)
    let plaintext: Uint8Array
    try {
      plaintext = new Uint8Array(
        await crypto.subtle.decrypt(
          { name: 'AES-GCM', iv: nonceOf(counter), additionalData },
          key,
          owned(envelope.ciphertext),
        ),
      )
    } catch {
      throw new CryptoError('authentication', 'altered, or made for another place')
    }
    if (flags & envelopeFlag.padded) plaintext = unpad(plaintext)
    const signer = await signerOf(envelope, additionalData)
    return { kind, epoch, sessionId, counter, plaintext, signer }
  }

  async function signerOf(envelope: Envelope, additionalData: Uint8Array): Promise<string | undefined> {
    const needed = input.mustBeSigned?.(envelope.kind) ?? false
    if (!envelope.signature || !verify) {
      if (needed) throw new CryptoError('signature', 'not signed')
      return undefined
    }
    const signer = await verify(signedBytes(additionalData, envelope.ciphertext), envelope.signature, envelope)
    if (signer === undefined) throw new CryptoError('signature', 'not signed by anybody known')
    return signer
  }

  return {
    async open(bytes) {
      const envelope = parseEnvelope(bytes.slice())
      const id = `${envelope.epoch}/${toHex(envelope.sessionId)}`
      const work = decrypt(envelope, id)
      // A forgery must not take the place of what it imitates: only what was authentic counts, in the order of the calls.
      return queue(work).then((result) => {
        const last = opened.get(id)
        if (last === undefined && !envelope.commitment)
          throw new CryptoError('commitment', 'the session has not shown which key it uses')
        if (last !== undefined && result.counter <= last) throw new CryptoError('repeated', 'this was opened before')
        opened.set(id, result.counter)
        return { ...result, missing: last === undefined ? 0 : result.counter - last - 1 }
      })
    },
  }
}
