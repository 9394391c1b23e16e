import { afterEach, beforeEach, expect, test } from 'bun:test'
import { initTRPC, TRPCError } from '@trpc/server'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { authenticateUpgrade, credentialOf, present } from './authenticate-upgrade.ts'
import { createTicketRoute } from './create-ticket-route.ts'
import { enter, Refusal } from './enter.ts'
import { issueTicket, redeemTicket, ticketTtlMs } from './tickets.ts'
import { type UsherContext, usherProcedure } from './trpc.ts'
import { createUsherServer, type UsherServer } from './usher-server.ts'

const keys = await generateKeyPair('RS256')

/** The server API, as far as it is asked, over HTTP: its answers can be changed while it runs. */
function startUsher() {
  const state = {
    session: 'active',
    role: 'org:member' as string | null,
    permissions: ['org:chat:read', 'org:chat:write'],
    events: [] as { type: string; subject: string }[],
    isAway: false,
  }
  const server = Bun.serve({
    port: 0,
    async fetch(request) {
      const { pathname, searchParams } = new URL(request.url)
      if (state.isAway) return new Response(null, { status: 503 })
      if (pathname === '/v1/jwks')
        return Response.json({ keys: [{ ...(await exportJWK(keys.publicKey)), kid: 'one', alg: 'RS256' }] })
      if (pathname === '/v1/sessions/sess_1')
        return Response.json({
          id: 'sess_1',
          user_id: 'user_1',
          status: state.session,
          expire_at: Date.now() + 3_600_000,
        })
      if (pathname === '/v1/organizations/org_1/memberships')
        return Response.json({
          data: state.role
            ? [{ id: 'orgmem_1', organization: { id: 'org_1' }, role: state.role, permissions: state.permissions }]
            : [],
        })
      if (pathname === '/v1/events') {
        const after = Number(searchParams.get('after'))
        const data = searchParams.has('since') ? [] : state.events.slice(after)
        return Response.json({ data, has_more: false, cursor: state.events.length })
      }
      return new Response(null, { status: 404 })
    },
  })
  const settings = { secretKey: 'sk_test_secret', apiUrl: `http://localhost:${server.port}` }
  return { state, usher: createUsherServer(settings), stop: () => server.stop(true) }
}

let running: ReturnType<typeof startUsher>
let usher: UsherServer
beforeEach(() => {
  running = startUsher()
  usher = running.usher
})
afterEach(() => running.stop())

function sessionToken({ exp = 60, header = {}, key = keys.privateKey, ...claims }: Record<string, unknown> = {}) {
  const now = Math.floor(Date.now() / 1000)
  return new SignJWT({ sid: 'sess_1', sts: 'active', o: { id: 'org_1' }, ...claims })
    .setProtectedHeader({ alg: 'RS256', kid: 'one', typ: 'JWT', cat: 'cl_B7d4PD111AAA', ...(header as object) })
    .setSubject('user_1')
    .setIssuedAt(now)
    .setExpirationTime(now + (exp as number))
    .sign(key as typeof keys.privateKey)
}

/** As much of a socket of `ws` as is used, with what was done to it. */
function fakeSocket() {
  const done: string[] = []
  const listeners = new Map<string, (() => void)[]>()
  const on = (name: string, listener: () => void) =>
    void listeners.set(name, [...(listeners.get(name) ?? []), listener])
  const socket = {
    OPEN: 1,
    readyState: 1,
    pause: () => done.push('pause'),
    resume: () => done.push('resume'),
    close: (code: number) => {
      done.push(`close ${code}`)
      socket.readyState = 2
      for (const listener of listeners.get('close') ?? []) listener()
    },
    terminate: () => {},
    ping: () => {},
    on,
    once: on,
    removeAllListeners: (name: string) => done.push(`no ${name}`),
  }
  return { socket: socket as never, done, isPaused: () => done.at(-1) === 'pause' }
}

const requestOf = (headers: Record<string, string>, path = '/api/socket') => ({
  url: `http://app.test${path}`,
  headers: new Headers({ host: 'app.test', ...headers }),
})
const bearer = (token: string) => `usher.v1, bearer.${Buffer.from(token).toString('base64url')}`

async function until(isSo: () => boolean, withinMs = 1000) {
  for (const end = Date.now() + withinMs; !isSo(); await Bun.sleep(5))
    if (Date.now() > end) throw new Error(`it was not so within ${withinMs} ms`)
}

test('a ticket is taken once, for as long as it lives, by who has the secret key', () => {
  const claims = { userId: 'user_1', sessionId: 'sess_1', organizationId: 'org_1', expiresAt: Date.now() + 60_000 }
  const { ticket, expiresAt } = issueTicket(usher, claims)
  expect(expiresAt).toBeLessThanOrEqual(Date.now() + ticketTtlMs)
  const [body = '', signature = ''] = ticket.split('.')
  const other = Buffer.from(JSON.stringify({ ...JSON.parse(atob(body)), sub: 'user_2' })).toString('base64url')
  expect(redeemTicket(usher, `${other}.${signature}`)).toBeUndefined()
  expect(redeemTicket({ ...usher, secretKey: 'sk_test_other' }, ticket)).toBeUndefined()
  for (const nonsense of ['', '.', 'a.b', `${ticket}.x`, 'x'.repeat(5000)])
    expect(redeemTicket(usher, nonsense)).toBeUndefined()
  expect(redeemTicket(usher, ticket)).toEqual(claims)
  expect(redeemTicket(usher, ticket)).toBeUndefined()
})

test('the ticket route takes the cookie of a living session, from its own pages alone', async () => {
  const post = createTicketRoute({ server: usher })
  const ask = (headers: Record<string, string>) =>
    post(
      new Request('http://app.test/api/ticket', {
        method: 'POST',
        headers: { host: 'app.test', origin: 'https://app.test', 'content-type': 'application/json', ...headers },
        body: '{}',
      }),
    )
  const cookie = `__session_other=x; __session=${await sessionToken()}`
  expect((await ask({ cookie, 'content-type': 'text/plain' })).status).toBe(415)
  for (const origin of ['https://evil.test', 'null', '']) expect((await ask({ cookie, origin })).status).toBe(403)
  expect((await ask({})).status).toBe(401)
  expect((await ask({ cookie: `__session=${await sessionToken({ exp: -10 })}` })).status).toBe(401)
  // Left by another application on another port of the host.
  expect((await ask({ cookie: `__session=${await sessionToken({ azp: 'https://app.test:4000' })}` })).status).toBe(401)
  const answer = await ask({ cookie })
  expect(answer.headers.get('cache-control')).toBe('no-store')
  const { ticket } = (await answer.json()) as { ticket: string }
  expect(redeemTicket(usher, ticket)).toMatchObject({ userId: 'user_1', sessionId: 'sess_1', organizationId: 'org_1' })
  running.state.session = 'ended'
  expect((await ask({ cookie })).status).toBe(401)
  running.state.isAway = true
  expect((await ask({ cookie })).status).toBe(503)
})

test('credentials come by subprotocol, token or ticket, and never by cookie', () => {
  expect(credentialOf(requestOf({ 'sec-websocket-protocol': bearer('a.b') }, '/?token=c'))).toEqual({ token: 'a.b' })
  expect(credentialOf(requestOf({}, '/?token=c&ticket=d'))).toEqual({ token: 'c' })
  expect(credentialOf(requestOf({}, '/?ticket=d'))).toEqual({ ticket: 'd' })
  expect(credentialOf(requestOf({ cookie: '__session=a.b.c' }))).toBeUndefined()
})

test('a socket is paused at once and goes on when it is known whose it is', async () => {
  const { socket, done } = fakeSocket()
  const request = requestOf({ 'sec-websocket-protocol': bearer(await sessionToken()) })
  const pending = authenticateUpgrade(socket, request, { server: usher, require: { permission: 'org:chat:read' } })
  expect(done).toEqual(['pause'])
  const auth = await pending
  expect(done).toEqual(['pause', 'resume'])
  expect(auth?.actor).toMatchObject({ userId: 'user_1', organizationId: 'org_1', role: 'org:member' })
  expect(auth?.has({ permission: 'org:chat:write' })).toBe(true)
  expect(auth?.has({ permission: 'org:chat:write', organizationId: 'org_2' })).toBe(false)

  // Another role is in force at once; the membership's end cuts the socket, and its listeners hear nothing more.
  running.state.permissions = ['org:chat:read']
  running.state.events.push({ type: 'organizationMembership.updated', subject: 'orgmem_1' })
  await until(() => auth?.has({ permission: 'org:chat:write' }) === false)
  expect(done).toEqual(['pause', 'resume'])
  running.state.role = null
  running.state.events.push({ type: 'organizationMembership.deleted', subject: 'orgmem_1' })
  await until(() => done.length > 2)
  expect(done).toEqual(['pause', 'resume', 'no message', 'close 4403'])
  expect(auth?.signal.aborted).toBe(true)
  expect(auth?.has({})).toBe(false)
})

test.each([
  ['no credential', async () => requestOf({ origin: 'https://app.test' }), {}, 4001],
  ['nonsense', async () => requestOf({ origin: 'https://app.test' }, '/?token=x'), {}, 4001],
  ['an ended token', async () => requestOf({}, `/?token=${await sessionToken({ exp: -10 })}`), {}, 4001],
  [
    'a session with a task left',
    async () => requestOf({}, `/?token=${await sessionToken({ sts: 'pending' })}`),
    {},
    4001,
  ],
  [
    'another kind of token',
    async () => requestOf({}, `/?token=${await sessionToken({ header: { cat: 'x' } })}`),
    {},
    4001,
  ],
  [
    'another key',
    async () => {
      const { privateKey } = await generateKeyPair('RS256')
      return requestOf({}, `/?token=${await sessionToken({ key: privateKey })}`)
    },
    {},
    4001,
  ],
  [
    'another origin',
    async () => requestOf({ origin: 'https://evil.test' }, `/?token=${await sessionToken()}`),
    {},
    4403,
  ],
  [
    'D14 a token made for the page of another application',
    async () =>
      requestOf({ origin: 'https://app.test' }, `/?token=${await sessionToken({ azp: 'https://other.test' })}`),
    {},
    4001,
  ],
  ['the origin null', async () => requestOf({ origin: 'null' }, `/?token=${await sessionToken()}`), {}, 4403],
  ['a ticket without an origin', async () => requestOf({}, '/?ticket=x'), {}, 4403],
  [
    'a permission that is missing',
    async () => requestOf({}, `/?token=${await sessionToken()}`),
    { require: { permission: 'org:vault:open' } },
    4403,
  ],
  [
    'a token for another document',
    async () => {
      const header = { typ: 'usher-sync+jwt', cat: undefined }
      const claims = { aud: 'usher-sync:ins_1', room: 'org_1/one', access: 'write' }
      return requestOf({}, `/?token=${await sessionToken({ header, ...claims })}`)
    },
    { room: 'org_1/two' },
    4403,
  ],
] as const)('%s is refused, and nothing of it is read', async (_name, request, options, code) => {
  const { socket, done } = fakeSocket()
  const asked = await request()
  expect(await authenticateUpgrade(socket, asked, { server: usher, ...options })).toBeNull()
  expect(done).toEqual(['pause', 'no message', `close ${code}`])
})

test('a session that ended meanwhile is 4401, and a server that is away 4503', async () => {
  running.state.session = 'revoked'
  await expect(enter(usher, { token: await sessionToken() })).rejects.toMatchObject({ code: 4401 })
  running.state.isAway = true
  await expect(enter(usher, { token: await sessionToken() })).rejects.toMatchObject({ code: 4503 })
  await expect(enter(usher, undefined)).rejects.toBeInstanceOf(Refusal)
})

test('the end of the token ends the actor, unless there is a new one of the same session', async () => {
  const auth = await enter(usher, { token: await sessionToken({ exp: 3 }) })
  const notices: number[] = []
  auth.onExpiring((inMs) => notices.push(inMs))
  const { renew, actor } = present(usher, auth)
  expect(await renew(await sessionToken({ sid: 'sess_2' }))).toBe(false)
  expect(await renew(await sessionToken({ o: { id: 'org_2' } }))).toBe(false)
  expect(await renew('x')).toBe(false)
  const before = auth.expiresAt
  expect(await renew(await sessionToken({ exp: 4 }))).toBe(true)
  expect(auth.expiresAt).toBeGreaterThan(before)
  expect(actor.userId).toBe('user_1')
  await until(() => auth.ended !== undefined, 6000)
  expect(auth.ended).toBe('expired')
})

test('subscriptions of tRPC end within a second of what ended them, and calls ask about the moment', async () => {
  const t = initTRPC.context<UsherContext>().create()
  const router = t.router({
    said: t.procedure.use(usherProcedure({ permission: 'org:chat:write' })).mutation(() => 'said'),
    heard: t.procedure.use(usherProcedure({ permission: 'org:chat:read' })).subscription(async function* () {
      yield 'first'
      await Bun.sleep(50)
      yield 'second'
      await new Promise(() => {})
    }),
  })
  const auth = await enter(usher, { token: await sessionToken() })
  const caller = router.createCaller({ auth: present(usher, auth) })
  expect(await caller.said()).toBe('said')
  const heard: unknown[] = []
  const reading = (async () => {
    for await (const value of await caller.heard()) heard.push(value)
  })().catch((error: unknown) => error)
  await until(() => heard.length === 2)

  running.state.permissions = ['org:chat:read']
  running.state.events.push({ type: 'role.updated', subject: 'role_1' })
  await until(() => !auth.has({ permission: 'org:chat:write' }))
  await expect(caller.said()).rejects.toMatchObject({ code: 'FORBIDDEN' })

  running.state.session = 'ended'
  running.state.events.push({ type: 'session.ended', subject: 'sess_1' })
  const endedAt = Date.now()
  const error = await reading
  expect(Date.now() - endedAt).toBeLessThan(1000)
  expect(error).toBeInstanceOf(TRPCError)
  expect(error).toMatchObject({ code: 'UNAUTHORIZED' })
  expect(heard).toEqual(['first', 'second'])
  await expect(caller.said()).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
})
