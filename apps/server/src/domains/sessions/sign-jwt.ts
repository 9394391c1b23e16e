import { createHmac, createPrivateKey, createSecretKey, type KeyObject, sign } from 'node:crypto'
import { UsherError } from '../../kernel/errors.ts'
import type { Instance } from '../instances/index.ts'
import type { signingAlgorithms } from './tables.ts'

/** `iss` of everything that an instance signs. The SDKs compare it with the host in the publishable key. */
export function issuerOf(instance: Instance): string {
  return `https://${instance.host}`
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

type Header = { typ: string; cat?: string }

/** Signs with the instance's active key, off the event loop. */
export async function signJwt(instance: Instance, header: Header, payload: Record<string, unknown>): Promise<string> {
  const key = instance.signingKeys.find((k) => k.state === 'active')
  if (!key) throw new UsherError('internal_error', 'The instance has no signing key.')
  const input = `${encode({ alg: key.algorithm, ...header, kid: key.kid })}.${encode(payload)}`
  const signature = await crypto.subtle.sign('RSASSA-PKCS1-v1_5', key.privateKey, Buffer.from(input))
  return `${input}.${Buffer.from(signature).toString('base64url')}`
}

/** Bytes that the JSON of a payload may have, for a token of at most so many characters. */
export function payloadBytesWithin(instance: Instance, header: Header, maxLength: number): number {
  const key = instance.signingKeys.find((k) => k.state === 'active')
  const headerLength = encode({ alg: key?.algorithm, ...header, kid: key?.kid }).length
  // Keys have 2048 bits, signatures 256 bytes; four characters stand for three bytes.
  return Math.floor(((maxLength - headerLength - 342 - 2) * 3) / 4)
}

export type SigningAlgorithm = (typeof signingAlgorithms)[number]

/** A key of the application's own, ready to sign. */
export type CustomKey = { algorithm: SigningAlgorithm; key: KeyObject }

const curves: Record<string, string> = { ES256: 'prime256v1', ES384: 'secp384r1', ES512: 'secp521r1' }

/**
 * Reads a key for an algorithm: a shared secret as text for HS…, a private key in PEM for the others.
 *
 * @throws {UsherError} `form_param_value_invalid` when it is none, too short (RFC 7518 §3.2, §3.3) or of another kind
 */
export function parseCustomKey(algorithm: SigningAlgorithm, text: string): CustomKey {
  const invalid = (message: string) => new UsherError('form_param_value_invalid', message, { param: 'signing_key' })
  if (algorithm.startsWith('HS')) {
    const bytes = Number(algorithm.slice(2)) / 8
    if (Buffer.byteLength(text) < bytes) throw invalid(`A secret for ${algorithm} has at least ${bytes} bytes.`)
    return { algorithm, key: createSecretKey(text, 'utf8') }
  }
  let key: KeyObject
  try {
    key = createPrivateKey(text)
  } catch {
    throw invalid('The signing key is not a private key in PEM.')
  }
  const { namedCurve, modulusLength = 0 } = key.asymmetricKeyDetails ?? {}
  if (algorithm.startsWith('RS')) {
    if (key.asymmetricKeyType !== 'rsa' || modulusLength < 2048)
      throw invalid(`${algorithm} takes an RSA key of 2048 bits or more.`)
  } else if (key.asymmetricKeyType !== 'ec' || namedCurve !== curves[algorithm])
    throw invalid(`${algorithm} takes a key on the curve ${curves[algorithm]}.`)
  return { algorithm, key }
}

/** Signs with a key of the application's own: who verifies has to know it, so it is in no key set. */
export async function signWithCustomKey(
  { algorithm, key }: CustomKey,
  header: Header,
  payload: Record<string, unknown>,
): Promise<string> {
  const input = `${encode({ alg: algorithm, ...header })}.${encode(payload)}`
  const hash = `sha${algorithm.slice(2)}`
  if (algorithm.startsWith('HS')) return `${input}.${createHmac(hash, key).update(input).digest('base64url')}`
  const signature = await new Promise<Buffer>((resolve, reject) =>
    sign(hash, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }, (error, bytes) =>
      error ? reject(error) : resolve(bytes),
    ),
  )
  return `${input}.${signature.toString('base64url')}`
}
