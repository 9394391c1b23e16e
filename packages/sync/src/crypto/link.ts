import { concat, equalBytes, fromBase64url, fromUtf8, toBase64url, u16, u32, utf8 } from './bytes.ts'
import { decodeKeyParameters, encodeKeyParameters, type KeyParameters } from './derive.ts'
import { CryptoError } from './errors.ts'
import { publicKeyLength } from './hpke.ts'
import { recoveryChecksum } from './recovery-code.ts'

type Place = {
  /** Milliseconds since 1970, kept in whole minutes; undefined: it lasts. */
  expiresAt?: number | undefined
  epoch: number
  /** The server's, and the document's. */
  url: string
  room: string
}

/** What a QR code or a link carries. */
export type LinkPayload = Place &
  (
    | { kind: 'secret'; secret: Uint8Array; check: Uint8Array }
    | { kind: 'passphrase'; parameters: KeyParameters }
    | { kind: 'device'; publicKey: Uint8Array; pairingId: Uint8Array }
    | { kind: 'recovery'; secret: Uint8Array }
  )

const kinds = { secret: 1, passphrase: 2, device: 3, recovery: 4 } as const
const prefix = 'usher:1:'
const minuteMs = 60_000

function bodyOf(payload: LinkPayload): Uint8Array {
  switch (payload.kind) {
    case 'secret':
      return concat(payload.secret, payload.check)
    case 'passphrase':
      return encodeKeyParameters(payload.parameters)
    case 'device':
      return concat(payload.publicKey, payload.pairingId)
    case 'recovery':
      return concat(payload.secret, recoveryChecksum(payload.secret))
  }
}

const bodyLengths = { 1: 36, 2: 24, 3: publicKeyLength + 16, 4: 22 } as const

/** `1 | kind | flags 0 | epoch u32 | expiry u32 (minutes) | body | u16 server URL | u16 room` */
export function encodeLinkPayload(payload: LinkPayload): Uint8Array {
  const [url, room] = [utf8(payload.url), utf8(payload.room)]
  const expiry = payload.expiresAt === undefined ? 0 : Math.ceil(payload.expiresAt / minuteMs)
  const head = concat(new Uint8Array([1, kinds[payload.kind], 0]), u32(payload.epoch), u32(expiry))
  const body = bodyOf(payload)
  if (body.length !== bodyLengths[kinds[payload.kind]]) throw new RangeError('a part of the link has a wrong length')
  return concat(head, body, u16(url.length), url, u16(room.length), room)
}

/** The text of a QR code. */
export const linkText = (payload: LinkPayload) => prefix + toBase64url(encodeLinkPayload(payload))

/** An address of the application with the payload behind `#k=`, which browsers send to no server. */
export function linkUrl(appUrl: string, payload: LinkPayload): string {
  const url = new URL(appUrl)
  url.hash = `k=${toBase64url(encodeLinkPayload(payload))}`
  return url.href
}

/**
 * Reads the text of a QR code, or an address with its fragment. A page that opens one takes the fragment out of its
 * history before anything else.
 *
 * @param now milliseconds since 1970
 * @throws {CryptoError} `malformed` or `expired`
 */
export function parseLink(text: string, now = Date.now()): LinkPayload {
  const encoded = text.startsWith(prefix) ? text.slice(prefix.length) : text.match(/#(?:.*&)?k=([\w-]+)$/)?.[1]
  if (!encoded) throw new CryptoError('malformed', 'this is no link of a room')
  let payload: LinkPayload
  try {
    payload = decode(fromBase64url(encoded))
  } catch (error) {
    if (error instanceof CryptoError) throw error
    throw new CryptoError('malformed', 'this is no link of a room')
  }
  if (payload.expiresAt !== undefined && payload.expiresAt <= now)
    throw new CryptoError('expired', 'this link is not valid any more')
  return payload
}

function decode(bytes: Uint8Array): LinkPayload {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const kind = view.getUint8(1)
  if (view.getUint8(0) !== 1 || view.getUint8(2) !== 0 || !(kind in bodyLengths))
    throw new CryptoError('malformed', 'made by another version')
  let at = 11
  const take = (length: number) => {
    if (at + length > bytes.length) throw new CryptoError('malformed', 'cut short')
    at += length
    return bytes.slice(at - length, at)
  }
  const body = take(bodyLengths[kind as keyof typeof bodyLengths])
  const text = () => {
    const [high, low] = take(2) as unknown as [number, number]
    return fromUtf8(take(high * 256 + low))
  }
  const minutes = view.getUint32(7)
  const place: Place = {
    epoch: view.getUint32(3),
    expiresAt: minutes === 0 ? undefined : minutes * minuteMs,
    url: text(),
    room: text(),
  }
  if (at !== bytes.length) throw new CryptoError('malformed', 'longer than it says')
  switch (kind) {
    case 1:
      return { ...place, kind: 'secret', secret: body.slice(0, 32), check: body.slice(32) }
    case 2:
      return { ...place, kind: 'passphrase', parameters: decodeKeyParameters(body) }
    case 3:
      return { ...place, kind: 'device', publicKey: body.slice(0, publicKeyLength), pairingId: body.slice(-16) }
    default: {
      const secret = body.slice(0, 20)
      if (!equalBytes(body.subarray(20), recoveryChecksum(secret))) throw new CryptoError('malformed', 'altered')
      return { ...place, kind: 'recovery', secret }
    }
  }
}
