import { createHash, timingSafeEqual } from 'node:crypto'
import { Buckets, type Principal } from '../../domains/sync/index.ts'
import { type Gate, isLoopbackOrigin } from './credentials.ts'

/** Instance of the rooms of a stand-alone server. */
export const standaloneInstance = 'standalone'

const principal = (kind: 'anonymous' | 'static'): Principal => ({
  instanceId: standaloneInstance,
  kind,
  userId: undefined,
  sessionId: undefined,
  organizationId: undefined,
  permissionVersion: undefined,
})

/**
 * The first gradation: whoever reaches the URL is in. On loopback the pages of other sites, which a browser would let
 * through to it, stay out; a server that the operator opened to the network takes every page.
 */
export function openGate(options: { isLoopback: boolean }): Gate {
  const everybody = principal('anonymous')
  return ({ origin }) =>
    origin !== undefined && (origin === 'null' || (options.isLoopback && !isLoopbackOrigin(origin)))
      ? { admitted: false, status: 403, message: 'Pages of this origin may not connect.' }
      : { admitted: true, principal: everybody, access: 'write', granted: 'write' }
}

/**
 * The second gradation: one shared token. Hashes are compared, in constant time; an address that guesses wrong too
 * often in a minute is not listened to, whatever it says then.
 */
export function staticGate(options: { token: string; wrongTokensPerMinute: number }): Gate {
  const expected = digest(options.token)
  const holder = principal('static')
  const wrong = new Buckets(options.wrongTokensPerMinute / 60, options.wrongTokensPerMinute)
  return ({ origin, token, ip }) => {
    if (origin === 'null') return { admitted: false, status: 403, message: 'Pages of this origin may not connect.' }
    if (token === undefined)
      return { admitted: false, reason: 'unauthenticated', message: 'a token is needed', missing: true }
    const now = performance.now()
    if (wrong.isEmpty(ip, now))
      return { admitted: false, status: 429, message: 'Too many wrong tokens.', retryAfterSeconds: 60 }
    if (timingSafeEqual(digest(token), expected))
      return { admitted: true, principal: holder, access: 'write', granted: 'write' }
    wrong.take(ip, now)
    return { admitted: false, reason: 'unauthenticated', message: 'the token is wrong' }
  }
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
