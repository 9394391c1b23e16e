import { errors, jwtVerify, SignJWT } from 'jose'
import { UsherError } from '../../kernel/errors.ts'
import { randomBase62 } from '../../kernel/ids.ts'
import type { Instance } from '../instances/index.ts'
import { readCompact } from './compact-token.ts'
import type { Access } from './connection.ts'

/** A kind of its own: no session token opens a document and no sync token signs anybody in. */
const tokenType = 'usher-sync+jwt'
const audienceOf = (instance: Instance) => `usher-sync:${instance.id}`
export const longestLifetimeSeconds = 300
const skewSeconds = 5

export type SyncClaims = {
  room: string
  access: Access
  userId: string
  /** `backend`: granted by the application's server, whatever the rules say. */
  grantedBy: 'session' | 'backend'
  /** The session that it ends with, if any. */
  sessionId: string | undefined
  organizationId: string | undefined
  /** What the person could do in the organization when it was granted: see `versionOf`. */
  permissionVersion: string
  /** Origin of the page that it was made for; undefined: it is for no page in particular. */
  origin?: string | undefined
}

export async function signSyncToken(
  instance: Instance,
  claims: SyncClaims,
  now: Date,
  lifetimeSeconds: number,
): Promise<{ token: string; expiresAt: Date }> {
  const key = instance.signingKeys.find((k) => k.state === 'active')
  if (!key) throw new UsherError('unavailable', 'This instance has no signing key.')
  const issuedAt = Math.floor(now.getTime() / 1000)
  const expiresAt = issuedAt + lifetimeSeconds
  const {
    room,
    access,
    sessionId: sid,
    organizationId: org_id,
    grantedBy: by,
    permissionVersion: pv,
    origin: azp,
  } = claims
  const token = await new SignJWT({
    room,
    access,
    by,
    pv,
    ...(sid && { sid }),
    ...(org_id && { org_id }),
    ...(azp && { azp }),
  })
    .setProtectedHeader({ alg: key.algorithm, kid: key.kid, typ: tokenType })
    .setAudience(audienceOf(instance))
    .setSubject(claims.userId)
    .setJti(randomBase62(22))
    .setIssuedAt(issuedAt)
    .setExpirationTime(expiresAt)
    .sign(key.privateKey)
  return { token, expiresAt: new Date(expiresAt * 1000) }
}

export type VerifiedSyncToken = SyncClaims & { expiresAt: number; jti: string }

/** @returns the claims; undefined for a token that is malformed, expired, of another kind or of another instance */
export async function verifySyncToken(
  instance: Instance,
  token: string,
  now: Date,
): Promise<VerifiedSyncToken | undefined> {
  // Before anything of it is computed.
  if (readCompact(token)?.header.typ !== tokenType) return undefined
  try {
    const { payload } = await jwtVerify(
      token,
      ({ kid }) => {
        const key = instance.signingKeys.find((k) => k.kid === kid)
        if (!key) throw new errors.JWKSNoMatchingKey()
        return key.publicKey
      },
      {
        algorithms: ['RS256'],
        typ: tokenType,
        audience: audienceOf(instance),
        currentDate: now,
        clockTolerance: skewSeconds,
        requiredClaims: ['sub', 'exp', 'iat', 'jti', 'room', 'access'],
      },
    )
    const { sub, exp, iat, jti, room, access, by, pv, sid, org_id, azp } = payload
    if (typeof room !== 'string' || (access !== 'read' && access !== 'write') || !exp || !iat) return undefined
    if (typeof sub !== 'string' || sub === '' || typeof jti !== 'string') return undefined
    if ((by !== 'session' && by !== 'backend') || typeof pv !== 'string') return undefined
    if (exp - iat > longestLifetimeSeconds || iat > now.getTime() / 1000 + skewSeconds) return undefined
    return {
      room,
      access,
      userId: sub,
      grantedBy: by,
      permissionVersion: pv,
      sessionId: typeof sid === 'string' ? sid : undefined,
      organizationId: typeof org_id === 'string' ? org_id : undefined,
      origin: typeof azp === 'string' ? azp : undefined,
      expiresAt: exp,
      jti,
    }
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError) return undefined
    throw error
  }
}
