import { errors, type JWTPayload, jwtVerify } from 'jose'
import type { UsherServer } from './usher-server.ts'

/** Who a credential speaks for, and until when. */
export type Claims = {
  userId: string
  /** Undefined for a token of the application's own server that ends with no session. */
  sessionId: string | undefined
  organizationId: string | undefined
  /** Milliseconds since 1970. */
  expiresAt: number
  /** Origin of the page that it was made for; undefined: for no page in particular. */
  origin?: string
  /** What a sync token opens; undefined for others. */
  document?: { room: string; access: 'read' | 'write' }
}

const sessionClass = 'cl_B7d4PD111AAA'
const syncType = 'usher-sync+jwt'
const skewSeconds = 5

/**
 * Checks a session token, or a sync token for one document, by the instance's public keys.
 *
 * @returns undefined for one that is malformed, expired, of another instance or of another kind
 * @throws {UsherUnavailable} the keys cannot be had
 */
export async function verifyToken(server: UsherServer, token: string): Promise<Claims | undefined> {
  if (token.length > 16_384) return undefined
  try {
    const { payload, protectedHeader } = await jwtVerify(token, server.key, {
      algorithms: ['RS256'],
      clockTolerance: skewSeconds,
      requiredClaims: ['sub', 'exp', 'iat'],
    })
    if (protectedHeader.typ === syncType) return syncClaims(payload)
    if (protectedHeader.cat === sessionClass) return sessionClaims(payload)
    return undefined
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError) return undefined
    throw error
  }
}

function sessionClaims({ sub, sid, exp, sts, o, azp }: JWTPayload): Claims | undefined {
  // Somebody who still has a task to do (`pending`) is not signed in.
  if (!sub || typeof sid !== 'string' || !exp || sts === 'pending') return undefined
  const organization = o as { id?: unknown } | undefined
  return {
    userId: sub,
    sessionId: sid,
    organizationId: typeof organization?.id === 'string' ? organization.id : undefined,
    expiresAt: exp * 1000,
    ...(typeof azp === 'string' && { origin: azp }),
  }
}

function syncClaims({ sub, sid, exp, aud, org_id, room, access, azp }: JWTPayload): Claims | undefined {
  if (!sub || !exp || typeof aud !== 'string' || !aud.startsWith('usher-sync:')) return undefined
  if (typeof room !== 'string' || (access !== 'read' && access !== 'write')) return undefined
  return {
    userId: sub,
    sessionId: typeof sid === 'string' ? sid : undefined,
    organizationId: typeof org_id === 'string' ? org_id : undefined,
    expiresAt: exp * 1000,
    document: { room, access },
    ...(typeof azp === 'string' && { origin: azp }),
  }
}
