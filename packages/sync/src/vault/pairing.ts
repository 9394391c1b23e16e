import { sha256 } from '@noble/hashes/sha2.js'
import { concat, equalBytes, fromBase64url, toBase64url, toHex, utf8 } from '../crypto/bytes.ts'
import { CryptoError } from '../crypto/errors.ts'
import { generateKeyPair, openFrom, sealTo } from '../crypto/hpke.ts'
import { linkText, parseLink } from '../crypto/link.ts'
import { qrSvg } from '../crypto/qr.ts'
import type { PairingJson, VaultApi, VaultJson } from './api.ts'
import { VaultError } from './errors.ts'
import { context } from './identity.ts'

/** A device that waits. */
export type DeviceRequest = {
  /** The text of the QR code, and the code itself. They hold a public key and nothing secret. */
  link: string
  svg: string
  /** Resolves once the other device has read the code: six digits that have to be the same on both. */
  digits: Promise<string>
  /** Resolves once the other device let this one in: the vault is open. @throws {VaultError} `pairing_refused` */
  done: Promise<void>
  cancel(): void
}

/** A device that is asked. */
export type DeviceApproval = {
  digits: string
  /** Somebody has seen the same digits on both. Within a minute. */
  confirm(): Promise<void>
}

const lifetimeMs = 10 * 60_000
const confirmWithinMs = 60_000
const pollMs = 500

const idOf = (reveal: Uint8Array) => sha256(concat(utf8('usher/pairing/v1\0'), reveal)).subarray(0, 16)

/**
 * Both randoms are in it. The old device's comes after the new one bound itself to its own by the id, and the new one's is
 * shown only after that: nobody in between can try keys until the digits fit.
 */
function pairingDigits(publicKey: Uint8Array, offer: Uint8Array, reveal: Uint8Array): string {
  const digest = sha256(concat(utf8('usher/digits/v1\0'), publicKey, offer, reveal))
  return (BigInt(`0x${toHex(digest)}`) % 1_000_000n).toString().padStart(6, '0')
}

const pairingContext = (vault: { instanceId: string; userId: string }, id: string, offer: string) =>
  context('pairing', vault.instanceId, vault.userId, id, offer)

const refused = (message: string) => new VaultError('pairing_refused', message)

/** Shows a code and waits until a device of the same person has let this one in. */
export async function requestApproval(input: {
  api: VaultApi
  url: string
  vault: VaultJson
  unlock: (userKey: Uint8Array) => Promise<unknown>
}): Promise<DeviceRequest> {
  const { api, vault } = input
  const keys = await generateKeyPair()
  const reveal = crypto.getRandomValues(new Uint8Array(32))
  const pairingId = idOf(reveal)
  const id = toBase64url(pairingId)
  const until = Date.now() + lifetimeMs
  const link = linkText({
    ...{ kind: 'device', publicKey: keys.publicKey, pairingId },
    ...{ epoch: 0, url: input.url, room: '', expiresAt: until },
  })
  await api('POST', '/pairings', { id })
  let cancelled = false
  const isOver = () => cancelled || Date.now() > until

  const offered = poll(isOver, async () => (await api<PairingJson>('GET', `/pairings/${id}`)).offer ?? undefined)
  const digits = offered.then(async (offer) => {
    await api('PUT', `/pairings/${id}/reveal`, { value: toBase64url(reveal) })
    return pairingDigits(keys.publicKey, fromBase64url(offer), reveal)
  })
  const done = digits.then(async () => {
    const sealed = await poll(isOver, async () => {
      const answer = await api<{ sealed: string | null }>('POST', `/pairings/${id}/take`)
      return answer.sealed ?? undefined
    })
    const bound = pairingContext({ instanceId: vault.instance_id, userId: vault.user_id }, id, await offered)
    await input.unlock(await openFrom(keys, fromBase64url(sealed), bound))
  })
  // Each is looked at by whom it concerns.
  for (const promise of [digits, done]) promise.catch(() => {})
  return {
    link,
    svg: qrSvg(link),
    digits,
    done,
    cancel() {
      cancelled = true
    },
  }
}

/** Reads the code of a new device. Nothing is handed over before `confirm`. */
export async function approveDevice(input: {
  api: VaultApi
  link: string
  instanceId: string
  userId: string
  userKey: Uint8Array
}): Promise<DeviceApproval> {
  const { api, userKey } = input
  const payload = parseLink(input.link)
  if (payload.kind !== 'device') throw new CryptoError('malformed', 'this is no code of a device')
  const { publicKey, pairingId } = payload
  const id = toBase64url(pairingId)
  const offer = crypto.getRandomValues(new Uint8Array(32))
  await api('PUT', `/pairings/${id}/offer`, { value: toBase64url(offer) })
  const startedAt = Date.now()
  const shown = await poll(
    () => Date.now() - startedAt > confirmWithinMs,
    async () => (await api<PairingJson>('GET', `/pairings/${id}`)).reveal ?? undefined,
  )
  const reveal = fromBase64url(shown)
  if (!equalBytes(idOf(reveal), pairingId)) throw refused('The other device is not the one whose code was read.')
  const shownAt = Date.now()
  return {
    digits: pairingDigits(publicKey, offer, reveal),
    async confirm() {
      if (Date.now() - shownAt > confirmWithinMs) throw refused('This took too long: begin again.')
      const bound = pairingContext(input, id, toBase64url(offer))
      await api('PUT', `/pairings/${id}/sealed`, { value: toBase64url(await sealTo(publicKey, userKey, bound)) })
    },
  }
}

async function poll<T>(isOver: () => boolean, ask: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    if (isOver()) throw refused('Nobody answered in time.')
    const answer = await ask()
    if (answer !== undefined) return answer
    await new Promise((resolve) => setTimeout(resolve, pollMs))
  }
}
