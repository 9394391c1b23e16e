import type { Context, ErrorHandler, MiddlewareHandler } from 'hono'
import { transaction } from '../../database/index.ts'
import { recordRefusal } from '../../domains/audit/index.ts'
import { isTestingToken } from '../../domains/bot-check/index.ts'
import {
  activeOrganizationOf,
  type Browser,
  createClient,
  findClientState,
  findSessionState,
  type IdentifiedClient,
  identifyClient,
  isDevBrowserHost,
  isSignedIn,
  mintSessionToken,
  type NewClientToken,
  type SessionState,
  verifySessionToken,
} from '../../domains/sessions/index.ts'
import { findSignIn } from '../../domains/signin/index.ts'
import { findSignUp } from '../../domains/signup/index.ts'
import type { Actor, Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { countAttempt, ipKey } from '../../kernel/rate-limit.ts'
import { createCtx } from '../../runtime.ts'
import { errorPage, isForPerson } from '../error-page.ts'
import { errorEnvelope, jsonResponse, toUsherError } from '../http.ts'
import { type ClientJson, presentClient } from '../presenters/client.ts'
import { clearCookie, clientCookieName, readCookie, setCookie, sharedDomain } from './cookies.ts'
import type { FrontendEnv, FrontendState } from './env.ts'
import { applicationOrigin } from './origins.ts'

export type { FrontendEnv } from './env.ts'

/** Calls that need no client and come before there is one. */
const anonymousPaths = /^\/v1\/(environment|dev_browser|health|tickets|verify|oauth_callback)(\/|$)/

/** What a program or a page of another origin asks for with a session token alone: documents and their keys, API keys. */
const bearerPaths = /^\/v1\/(sync\/token$|vault(\/|$)|api_keys(\/|$))/

/** Finds out which client and session ask, and makes the Ctx. @throws {UsherError} `dev_browser_unauthenticated` */
export const identifyCaller: MiddlewareHandler<FrontendEnv> = async (c, next) => {
  const runtime = c.get('runtime')
  const instance = c.get('instance')
  const log = c.get('log')
  const request = { ip: callerAddress(c), userAgent: c.req.header('user-agent') }
  const anonymous = createCtx(runtime, instance, { type: 'anonymous' }, log, request)
  c.set('ctx', anonymous)
  const { carrier, token } = presentedToken(c)
  const identified = token === undefined ? undefined : await identifyClient(anonymous, token, storedCarrier(carrier))
  // As it was routed: with what is doubled collapsed, and under `/v1` whatever is served at the root as well.
  const path = c.req.path.replace(/^\/~frontend/, '')
  if (carrier === 'dev_browser' && !identified && !anonymousPaths.test(path))
    throw new UsherError('dev_browser_unauthenticated', 'This browser is not known any more.')
  const bearer = bearerPaths.test(path) ? await sessionFromBearer(c) : undefined
  const session = bearer ?? actingSession(c, identified)
  c.set('frontend', {
    carrier,
    identified,
    clientId: identified?.client?.id,
    session,
    issued: undefined,
    forgotten: false,
  })
  if (session) c.set('ctx', createCtx(runtime, instance, actorOf(session), log, request))
  await next()
  carryToken(c)
}

function presentedToken(c: Context<FrontendEnv>): { carrier: FrontendState['carrier']; token: string | undefined } {
  const instance = c.get('instance')
  if (c.req.query('_is_native')) {
    const header = c.req.header('authorization')?.replace(/^Bearer /i, '')
    return { carrier: 'native', token: header || undefined }
  }
  const devBrowser = c.req.query('__clerk_db_jwt')
  // Outside this mode the value is one that a handshake planted to content the server SDK; it proves nothing.
  if (devBrowser && instance.environment === 'development' && isDevBrowserHost(instance.host))
    return { carrier: 'dev_browser', token: devBrowser }
  return { carrier: 'cookie', token: readCookie(c.req.header('cookie'), clientCookieName(instance, isSecure(c))) }
}

const storedCarrier = (carrier: FrontendState['carrier']) => (carrier === 'dev_browser' ? 'dev_browser' : 'cookie')

const isSecure = (c: Context<FrontendEnv>) => c.get('publicUrl').startsWith('https:')

/** Naming a session is no proof: it has to be one of this client's. */
function actingSession(c: Context<FrontendEnv>, identified: IdentifiedClient | undefined): SessionState | undefined {
  const client = identified?.client
  if (!client) return undefined
  const now = c.get('ctx').now()
  const named = c.req.query('_clerk_session_id')
  const open = client.sessions.filter((s) => isSignedIn(s, now))
  if (named) return open.find((s) => s.id === named)
  return open.find((s) => s.id === client.lastActiveSessionId) ?? open[0]
}

/** A page of another origin without cookies shows its session token. It is good for `bearerPaths` alone. */
async function sessionFromBearer(c: Context<FrontendEnv>): Promise<SessionState | undefined> {
  const token = c.req.header('authorization')?.match(/^Bearer (\S+)$/i)?.[1]
  if (token === undefined) return undefined
  const { sid, azp } = await verifySessionToken(c.get('ctx'), token)
  const origin = c.req.header('origin')
  // A token that was made for one application is not for the pages of another.
  if (azp && origin && azp !== origin)
    throw new UsherError('authentication_invalid', 'This token is for another application.')
  const session = await findSessionState(c.get('ctx'), sid)
  if (!session || !isSignedIn(session, c.get('ctx').now()))
    throw new UsherError('authentication_invalid', 'This session has ended.')
  return session
}

function actorOf(session: SessionState): Actor {
  return {
    type: 'user',
    userId: session.userId,
    sessionId: session.id,
    clientId: session.clientId,
    organizationId: activeOrganizationOf(session),
    ...(session.actor && { impersonatorId: session.actor.sub }),
  }
}

/** The session that acts. @throws {UsherError} `authentication_invalid` when nobody is signed in */
export function requireSession(c: Context<FrontendEnv>): SessionState {
  const { session } = c.get('frontend')
  if (!session) throw new UsherError('authentication_invalid', 'You are signed out.')
  return session
}

/** Whether the caller shows a testing token: tests come too often from one address, and no widget believes in them. */
export function isTest(c: Context<FrontendEnv>): boolean {
  const token = c.req.query('__clerk_testing_token')
  return token !== undefined && isTestingToken(c.get('ctx'), token)
}

/**
 * Counts an attempt at signing in, signing up or a code: by address, by browser (which may change its address), and in
 * the whole instance, where one guess each from many addresses adds up.
 *
 * @throws {UsherError} `too_many_requests`
 */
export const limitByAddress: MiddlewareHandler<FrontendEnv> = async (c, next) => {
  const { attemptsPerMinute, instanceAttemptsPerMinute } = c.get('instance').settings.rateLimits
  if (c.req.method !== 'GET' && !isTest(c)) {
    const { database } = c.get('runtime')
    const { id } = c.get('instance')
    const now = c.get('ctx').now()
    const windowMs = 60_000
    countAttempt(database, `${id}:ip:${ipKey(callerAddress(c))}`, { max: attemptsPerMinute, windowMs }, now)
    const { clientId } = c.get('frontend')
    if (clientId !== undefined)
      countAttempt(database, `${id}:client:${clientId}`, { max: attemptsPerMinute, windowMs }, now)
    countAttempt(database, `${id}:attempts`, { max: instanceAttemptsPerMinute, windowMs }, now)
  }
  await next()
}

const blurMs = 50

/**
 * Where it is not told who has an account, answers leave at full steps of time since the question came. An account has to
 * be read, and a wrong guess be counted: that takes a millisecond or two more than for nobody, and many questions would
 * tell. Of such a difference one answer in thirty is left.
 */
export const blurTime: MiddlewareHandler<FrontendEnv> = async (c, next) => {
  const startedAt = performance.now()
  await next()
  if (c.get('instance').settings.enumerationProtection)
    await Bun.sleep(Math.ceil(blurMs - ((performance.now() - startedAt) % blurMs)))
}

/** The caller's address; an application's proxy is believed about it, since it showed the secret key. */
export function callerAddress(c: Context<FrontendEnv>): string {
  const forwarded = c.req.header('clerk-secret-key') && c.req.header('x-forwarded-for')
  return forwarded?.split(',')[0]?.trim() || c.env.ip
}

/** The browser that asks; a client is made for one that has none yet. */
export async function ensureBrowser(c: Context<FrontendEnv>): Promise<Browser> {
  const state = c.get('frontend')
  if (state.clientId === undefined) {
    const carrier = storedCarrier(state.carrier)
    const made = await createClient(c.get('ctx'), { carrier, presentedHash: state.identified?.tokenHash })
    state.clientId = made.clientId
    state.issued = made.issued ?? state.issued
  }
  return browserOf(c, state.clientId)
}

/** The browser that asks; one that is new gets its client with the first thing that is written for it. */
export function prospectiveBrowser(c: Context<FrontendEnv>): Browser {
  const { clientId, identified } = c.get('frontend')
  if (clientId !== undefined) return browserOf(c, clientId)
  return { ...browserOf(c, newId('client')), isNew: true, presentedHash: identified?.tokenHash }
}

/** Remembers the client that was made for a {@link prospectiveBrowser}, for the reply. */
export function noteBrowser(c: Context<FrontendEnv>, { clientId }: Browser): void {
  c.get('frontend').clientId = clientId
}

/** The browser that asks, if it has a client. @throws {UsherError} `resource_not_found` */
export function requireBrowser(c: Context<FrontendEnv>): Browser {
  const { clientId } = c.get('frontend')
  if (clientId === undefined) throw new UsherError('resource_not_found', 'This browser has nothing under way.')
  return browserOf(c, clientId)
}

function browserOf(c: Context<FrontendEnv>, clientId: string): Browser {
  return {
    clientId,
    carrier: storedCarrier(c.get('frontend').carrier),
    userAgent: c.req.header('user-agent') ?? null,
    ipAddress: callerAddress(c),
  }
}

/** On what and from where the caller does something, for the warning that tells of it. */
export function happeningOf(c: Context<FrontendEnv>): { userAgent: string | null; ipAddress: string } {
  return { userAgent: c.req.header('user-agent') ?? null, ipAddress: callerAddress(c) }
}

/** Remembers the client token that the reply has to carry. */
export function noteIssued(c: Context<FrontendEnv>, issued: NewClientToken | undefined): void {
  if (issued) c.get('frontend').issued = issued
}

/** Hands the browser its new client token in the way in which it shows it, and clears what must not be used. */
function carryToken(c: Context<FrontendEnv>): void {
  const { issued, carrier, forgotten } = c.get('frontend')
  const instance = c.get('instance')
  const secure = isSecure(c)
  const headers = c.res.headers
  if (carrier === 'dev_browser') {
    if (issued) headers.set('clerk-db-jwt', issued.token)
    return
  }
  if (carrier === 'native') {
    if (issued) headers.set('authorization', issued.token)
    return
  }
  const name = clientCookieName(instance, secure)
  if (issued) headers.append('set-cookie', setCookie(name, issued.token, { secure, httpOnly: true }))
  else if (forgotten) headers.append('set-cookie', clearCookie(name, { secure }))
  const plain = clientCookieName(instance, false)
  if (secure && readCookie(c.req.header('cookie'), plain) !== undefined)
    headers.append('set-cookie', clearCookie(plain, { secure }))
}

/**
 * Answers in the envelope of the browser SDKs. Whatever changes something carries the client as it is now: the SDK
 * replaces its state with it.
 */
export async function reply(c: Context<FrontendEnv>, response: unknown, status = 200): Promise<Response> {
  const wanted = c.req.method !== 'GET' || /^\/v1\/(client|me$)/.test(new URL(c.req.url).pathname)
  const client = wanted ? await currentClient(c) : undefined
  return withClock(c, jsonResponse({ response, ...(wanted && { client }) }, status), client)
}

/**
 * Answers with the client itself. What changed something also carries it where every answer has it; a question does
 * not, since its answer is the client already.
 */
export async function replyClient(c: Context<FrontendEnv>): Promise<Response> {
  const client = await currentClient(c)
  const carried = c.req.method === 'GET' ? null : client
  return withClock(c, jsonResponse({ response: client, client: carried }), client)
}

/** The client as the browser sees it; null when there is none. */
export async function currentClient(c: Context<FrontendEnv>): Promise<ClientJson | null> {
  const { clientId, carrier, issued, identified } = c.get('frontend')
  if (clientId === undefined) return null
  const ctx = c.get('ctx')
  const client = await findClientState(ctx, clientId)
  if (!client) return null
  const { signInId, signUpId } = client
  const underWay =
    signInId || signUpId
      ? await transaction(ctx, async (tx) => ({
          signIn: signInId ? await findSignIn(tx, { clientId, id: signInId }) : undefined,
          signUp: signUpId ? await findSignUp(tx, { clientId, id: signUpId }) : undefined,
        }))
      : undefined
  const azp = applicationOrigin(c)
  const tokens = await Promise.all(client.sessions.map((s) => tokenToShow(ctx, s, azp)))
  return presentClient(ctx, {
    client,
    ...underWay,
    captchaBypass: isTest(c),
    tokens: new Map(client.sessions.map((s, i) => [s.id, tokens[i]])),
    cookieExpiresAt: carrier === 'cookie' ? ((issued ?? identified)?.expiresAt ?? null) : null,
  })
}

/** A session without its token is still shown: the SDK asks for the token, and then hears what is wrong with it. */
async function tokenToShow(ctx: Ctx, session: SessionState, azp: string | undefined): Promise<string | undefined> {
  try {
    return await mintSessionToken(ctx, session, { azp })
  } catch (error) {
    if (error instanceof UsherError && error.code === 'token_too_large') return undefined
    throw error
  }
}

/** In production the server keeps `__client_uat`, by which an application's server sees that something changed. */
function withClock(c: Context<FrontendEnv>, response: Response, client: ClientJson | null | undefined): Response {
  const instance = c.get('instance')
  const publicUrl = c.get('publicUrl')
  if (instance.environment !== 'production' || client === undefined || c.req.method === 'GET') return response
  const value = client && client.sessions.length > 0 ? String(Math.floor(client.updated_at / 1000)) : '0'
  const behindProxy = c.req.header('clerk-proxy-url') !== undefined
  const options = { secure: isSecure(c), domain: behindProxy ? undefined : sharedDomain(new URL(publicUrl).hostname) }
  for (const name of ['__client_uat', `__client_uat_${instance.cookieSuffix}`])
    response.headers.append('set-cookie', setCookie(name, value, options))
  return response
}

/** As every face renders errors; after a call that could change something the client goes along. */
export const onFrontendError: ErrorHandler<FrontendEnv> = async (thrown, c) => {
  const error = toUsherError(thrown, c.get('log'))
  const body = errorEnvelope(error, c.env.requestId)
  const { refused } = error.details
  if (refused) await recordRefusal(c.get('ctx'), refused)
  // Links of emails lead here too, and addresses that applications send their people to.
  if (c.req.method === 'GET' && isForPerson(c.req.header())) return errorPage(error, c.env.requestId)
  if (c.req.method !== 'GET' && c.get('frontend')?.clientId && error.status < 500) {
    try {
      body.meta = { client: await currentClient(c) }
    } catch (failure) {
      c.get('log').warn({ err: failure }, 'the client could not be added to an error')
    }
  }
  const response = jsonResponse(body, error.status)
  const retryAfter = error.details.retryAfterSeconds
  if (retryAfter !== undefined) response.headers.set('retry-after', String(retryAfter))
  return response
}
