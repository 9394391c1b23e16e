import type { Instance } from '../instances/index.ts'

/**
 * What a JWT of one class says, if this instance signed it. The algorithm is the key's and not the token's to choose,
 * keys are looked up among the instance's own, and only the class that is asked for passes (RFC 8725 §3.1, §3.11).
 * What the claims mean, and until when, is for the caller to look at.
 *
 * @param tokenClass `cat` of the header
 */
export async function openJwt(
  instance: Instance,
  token: unknown,
  tokenClass: string,
): Promise<Record<string, unknown> | undefined> {
  if (typeof token !== 'string' || token.length > 16_384) return undefined
  const [head = '', body = '', signature = '', ...rest] = token.split('.')
  const header = decode(head)
  if (rest.length > 0 || header?.alg !== 'RS256' || header.typ !== 'JWT' || header.cat !== tokenClass) return undefined
  if ('crit' in header || typeof header.kid !== 'string') return undefined
  const key = instance.signingKeys.find((k) => k.kid === header.kid)
  const bytes = Buffer.from(signature, 'base64url')
  // One signature has one spelling: no other alphabet, padding or spare bits.
  if (!key || bytes.toString('base64url') !== signature) return undefined
  const valid = await crypto.subtle.verify('RSASSA-PKCS1-v1_5', key.publicKey, bytes, Buffer.from(`${head}.${body}`))
  return valid ? decode(body) : undefined
}

/** An object as this server writes it: what names one claim twice reads differently elsewhere. */
function decode(part: string): Record<string, unknown> | undefined {
  try {
    const text = Buffer.from(part, 'base64url').toString('utf8')
    const value = JSON.parse(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    return JSON.stringify(value) === text ? value : undefined
  } catch {
    return undefined
  }
}
