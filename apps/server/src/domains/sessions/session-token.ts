import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { randomBase62 } from '../../kernel/ids.ts'
import { type AccessClaims, encodeAccessClaims, standingOf } from '../access/index.ts'
import type { MembershipRecord } from '../organizations/index.ts'
import { sessionClaimsOf } from './claims.ts'
import { openJwt } from './open-jwt.ts'
import type { SessionState } from './session-state.ts'
import { activeOrganizationOf, isSignedIn, sessionTasksOf } from './session-status.ts'
import { issuerOf, payloadBytesWithin, signJwt } from './sign-jwt.ts'
import { noteActivity } from './touch-session.ts'

/** Says in the header that a token is a session's; other kinds of tokens carry another class or none. */
const sessionClass = 'cl_B7d4PD111AAA'
const sessionHeader = { typ: 'JWT', cat: sessionClass }

export type SessionClaims = {
  iss: string
  sub: string
  sid: string
  iat: number
  nbf: number
  exp: number
  jti: string
  v: 2
  sts: 'active' | 'pending'
  /** Minutes since the first and the second factor; -1: there is none. */
  fva: [number, number]
  azp?: string
  act?: { sub: string; iss?: string }
  o?: { id: string; slg?: string; rol?: string; per?: string; fpm?: string }
  fea?: string
  pla?: string
  /** `partial`: roles, permissions and features did not all fit. */
  acc?: 'partial'
}

type Mint = {
  /** Organization to speak for. Null: none. Undefined: the session's active one. */
  organizationId?: string | null
  /** Origin of the application that asks. */
  azp?: string | undefined
  /** Seconds until it expires, if not as many as usual; never later than the session. */
  lifetime?: number | undefined
}

/**
 * Mints a short-lived session token (version 2 claims, RS256). Reads nothing but its arguments.
 *
 * @throws {UsherError} `signed_out` or `organization_not_found_or_unauthorized`
 */
export async function mintSessionToken(ctx: Ctx, session: SessionState, mint: Mint = {}): Promise<string> {
  const now = ctx.now()
  if (!isSignedIn(session, now)) throw new UsherError('signed_out', 'This session has ended.')
  keepAlive(ctx, session, now)
  const iat = Math.floor(now.getTime() / 1000)
  const organizationId = organizationOf(ctx, session, mint.organizationId)
  const membership = session.memberships.find((m) => m.organizationId === organizationId)
  const custom = sessionClaimsOf(ctx, session, membership)
  const own: SessionClaims = {
    ...(mint.azp && { azp: mint.azp }),
    exp: expiryOf(ctx, session, iat, mint.lifetime),
    fva: [
      minutesSince(session.firstFactorAt, now),
      session.secondFactorAt ? minutesSince(session.secondFactorAt, now) : -1,
    ],
    iat,
    iss: issuerOf(ctx.instance),
    jti: randomBase62(20),
    nbf: iat - 10,
    sid: session.id,
    sts: sessionTasksOf(ctx.instance, { ...session, lastActiveOrganizationId: organizationId }).length
      ? 'pending'
      : 'active',
    sub: session.userId,
    v: 2,
    ...(session.actor && { act: session.actor }),
  }
  // The application's claims come before the others, which win.
  const claims = { ...custom, ...own, ...accessClaimsOf(ctx, session, membership, own, custom) }
  const token = await signJwt(ctx.instance, sessionHeader, claims)
  if (custom && token.length > maxTokenLength)
    throw new UsherError('token_too_large', 'The custom claims make the session token larger than a cookie can be.')
  return token
}

/** What memberships and people have, encoded whole: memory holds one object for many mints. */
const encoded = new WeakMap<object, { of: readonly string[]; claims: AccessClaims; bytes: number }>()

/** Roles, permissions and features, as far as the cookie has room for them. */
function accessClaimsOf(
  ctx: Ctx,
  { user }: SessionState,
  membership: MembershipRecord | undefined,
  own: SessionClaims,
  custom: Record<string, unknown> | undefined,
): AccessClaims {
  const roomBeside = (claims: object, maxLength: number) =>
    payloadBytesWithin(ctx.instance, sessionHeader, maxLength) - Buffer.byteLength(JSON.stringify(claims))
  const room = roomBeside(own, maxOwnLength)
  const roomWithCustom = custom ? roomBeside({ ...custom, ...own }, maxTokenLength) : room
  const holder = membership ?? user
  let whole = encoded.get(holder)
  if (whole?.of !== user.features) {
    const claims = encodeAccessClaims(membership?.organization, standingOf(membership, user.features))
    whole = { of: user.features, claims, bytes: Buffer.byteLength(JSON.stringify(claims)) }
    encoded.set(holder, whole)
  }
  const fitting = Math.min(room, roomWithCustom)
  if (whole.bytes <= fitting) return whole.claims
  return encodeAccessClaims(membership?.organization, standingOf(membership, user.features), fitting)
}

/** No token outlives its session. */
function expiryOf(ctx: Ctx, session: SessionState, iat: number, lifetime: number | undefined): number {
  const wanted = iat + (lifetime ?? ctx.instance.settings.session.tokenLifetime)
  return Math.min(wanted, Math.ceil(session.expireAt.getTime() / 1000))
}

function organizationOf(ctx: Ctx, session: SessionState, wanted: string | null | undefined): string | null {
  const { enabled, forceSelection } = ctx.instance.settings.organizations
  if (!enabled) return null
  if (wanted === undefined || (wanted === null && forceSelection)) return activeOrganizationOf(session)
  if (wanted !== null && !session.memberships.some((m) => m.organizationId === wanted))
    throw new UsherError('organization_not_found_or_unauthorized', 'You are not a member of this organization.', {
      param: 'organization_id',
    })
  return wanted
}

/** Minting is a sign of life, but not one worth a write each minute; nobody waits for it. */
function keepAlive(ctx: Ctx, session: SessionState, now: Date): void {
  const everyMs = Math.min(ctx.instance.settings.session.inactivityTimeout * 50, 3600_000)
  if (now.getTime() - session.lastActiveAt.getTime() < everyMs) return
  session.lastActiveAt = now
  session.abandonAt = new Date(now.getTime() + ctx.instance.settings.session.inactivityTimeout * 1000)
  noteActivity(ctx, session.id).catch((error) => ctx.log.warn({ err: error }, 'a sign of life was not written'))
}

/** Bytes of a cookie, less its name. A longer token would be dropped by the browser without a word. */
const maxTokenLength = 4000
/** What a token takes without the application's own claims: several cookies have to fit into one request's headers. */
const maxOwnLength = 2500

const minutesSince = (then: Date, now: Date) => Math.max(0, Math.floor((now.getTime() - then.getTime()) / 60_000))

/**
 * Verifies a session token of this instance. The algorithm is the key's and not the token's to choose, keys are
 * looked up among the instance's own, and only the class of session tokens passes (RFC 8725 §3.1, §3.11).
 *
 * That the session is still alive is another question: see `findSessionState`.
 *
 * @param options.expired whether one that has run out will do, as a statement about the past
 * @throws {UsherError} `authentication_invalid`
 */
export async function verifySessionToken(
  ctx: Ctx,
  token: unknown,
  options: { expired?: boolean } = {},
): Promise<SessionClaims> {
  const refuse = () => new UsherError('authentication_invalid', 'The session token is not valid.')
  const claims = (await openJwt(ctx.instance, token, sessionClass)) as SessionClaims | undefined
  const seconds = ctx.now().getTime() / 1000
  const skew = 5
  if (!claims || claims.iss !== issuerOf(ctx.instance) || claims.v !== 2) throw refuse()
  if (typeof claims.sub !== 'string' || typeof claims.sid !== 'string') throw refuse()
  if (![claims.exp, claims.nbf, claims.iat].every(Number.isFinite)) throw refuse()
  if (!options.expired && !(claims.exp > seconds - skew)) throw refuse()
  if (!(claims.nbf < seconds + skew) || !(claims.iat < seconds + skew)) throw refuse()
  return claims
}
