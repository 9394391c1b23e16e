import { createHash, timingSafeEqual } from 'node:crypto'
import { Buckets, type Principal } from '../../domains/sync/index.ts'
import { ipKey } from '../../kernel/rate-limit.ts'
import { type Gate, isLoopbackOrigin } from './credentials.ts'

/** Instance of the rooms of a stand-alone server. */
export const standaloneInstance = 'standalone'

const principal = (kind: 'anonymous' | 'static', fingerprint?: string): Principal => ({
  instanceId: standaloneInstance,
  kind,
  userId: undefined,
  sessionId: undefined,
  organizationId: undefined,
  permissionVersion: fingerprint,
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

export type StaticGate = {
  gate: Gate
  /** Puts other tokens in the place of all. Whoever came in with one that is gone is no longer held: see `holds`. */
  replace: (tokens: readonly string[]) => void
  /** Whether the token that a principal came in with still counts. */
  holds: (principal: Principal) => boolean
}

/**
 * The second gradation: shared tokens, several while one takes over from another. Hashes are compared, each time with
 * all of them and in constant time; an address that guesses wrong too often in a minute is not listened to, whatever
 * it says then.
 */
export function staticGate(options: { tokens: readonly string[]; wrongTokensPerMinute: number }): StaticGate {
  let holders = holdersOf(options.tokens)
  const wrong = new Buckets(options.wrongTokensPerMinute / 60, options.wrongTokensPerMinute)
  return {
    gate: ({ origin, token, ip }) => {
      if (origin === 'null') return { admitted: false, status: 403, message: 'Pages of this origin may not connect.' }
      if (token === undefined)
        return { admitted: false, reason: 'unauthenticated', message: 'a token is needed', missing: true }
      const now = performance.now()
      // An IPv6 customer has a whole network of addresses to guess from.
      const address = ipKey(ip)
      if (wrong.isEmpty(address, now))
        return { admitted: false, status: 429, message: 'Too many wrong tokens.', retryAfterSeconds: 60 }
      const given = digest(token)
      let found: Principal | undefined
      for (const holder of holders) if (timingSafeEqual(given, holder.digest)) found = holder.principal
      if (found) return { admitted: true, principal: found, access: 'write', granted: 'write' }
      wrong.take(address, now)
      return { admitted: false, reason: 'unauthenticated', message: 'the token is wrong' }
    },
    replace: (tokens) => {
      holders = holdersOf(tokens)
    },
    holds: ({ permissionVersion }) =>
      holders.some((holder) => holder.principal.permissionVersion === permissionVersion),
  }
}

function holdersOf(tokens: readonly string[]) {
  return tokens.map((token) => ({
    digest: digest(token),
    principal: principal('static', digest(token).toString('base64url').slice(0, 12)),
  }))
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
