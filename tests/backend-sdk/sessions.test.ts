import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type ClerkClient, type Session, verifyToken } from '@clerk/backend'
import { serverSdk } from '../support/clerk.ts'
import { startUsher, type UsherProcess } from '../support/usher.ts'

let usher: UsherProcess
let clerk: ClerkClient

beforeAll(async () => {
  usher = await startUsher()
  clerk = serverSdk(usher.ready)
}, 60_000)
afterAll(() => usher.stop())

const safari =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1'

/** Somebody who signed in with a browser of their own. */
async function signedIn(name: string) {
  const user = await clerk.users.createUser({ emailAddress: [`${name}@example.com`], skipPasswordRequirement: true })
  const { token: ticket } = await clerk.signInTokens.createSignInToken({ userId: user.id, expiresInSeconds: 60 })
  const response = await fetch(`${usher.ready.url}/v1/client/sign_ins`, {
    method: 'POST',
    headers: { origin: 'http://localhost:3000', 'user-agent': safari },
    body: new URLSearchParams({ strategy: 'ticket', ticket }),
  })
  const cookie = response.headers
    .getSetCookie()
    .map((c) => c.split(';')[0])
    .join('; ')
  const { response: signIn, client } = await response.json()
  return { user, cookie, sessionId: signIn.created_session_id as string, clientId: client.id as string }
}

test('a session as the application’s server sees it, with the device that it came from', async () => {
  const { user, sessionId, clientId } = await signedIn('ada')
  const session = await clerk.sessions.getSession(sessionId)
  expect(session).toMatchObject({ id: sessionId, userId: user.id, clientId, status: 'active', actor: null })
  expect(session.latestActivity).toMatchObject({
    isMobile: true,
    browserName: 'Safari',
    browserVersion: '18',
    deviceType: 'iPhone',
    ipAddress: expect.stringMatching(/^(127\.0\.0\.1|::1)$/),
  })
  expect(session.latestActivity).toMatchObject({ city: null, country: null } as never)
  expect(session.expireAt).toBeGreaterThan(Date.now())
  expect(session.lastActiveAt).toBeLessThanOrEqual(Date.now())
})

test('sessions are listed by person, client and status, a page at a time', async () => {
  const first = await signedIn('bob')
  const second = await clerk.sessions.createSession({ userId: first.user.id })
  await clerk.sessions.revokeSession(second.id)
  const ids = async (filter: object) =>
    (await clerk.sessions.getSessionList({ userId: first.user.id, ...filter })).data.map((s: Session) => s.id)
  expect(await ids({})).toEqual([second.id, first.sessionId])
  expect(await ids({ status: 'active' })).toEqual([first.sessionId])
  expect(await ids({ status: 'revoked' })).toEqual([second.id])
  expect(await ids({ status: 'expired' })).toEqual([])
  expect(await ids({ limit: 1, offset: 1 })).toEqual([first.sessionId])
  const ofClient = await clerk.sessions.getSessionList({ clientId: first.clientId })
  expect(ofClient).toMatchObject({ totalCount: 1, data: [{ id: first.sessionId }] })
  await expect(clerk.sessions.getSessionList({ status: 'nonsense' as never })).rejects.toMatchObject({ status: 422 })
})

test('a client shows its sessions, and a token of one of them finds it', async () => {
  const { sessionId, clientId, cookie } = await signedIn('eve')
  const client = await clerk.clients.getClient(clientId)
  expect(client).toMatchObject({ sessionIds: [sessionId], lastActiveSessionId: sessionId })
  expect(client.sessions[0]?.latestActivity?.browserName).toBe('Safari')
  const { jwt } = await clerk.sessions.getToken(sessionId)
  expect((await clerk.clients.verifyClient(jwt)).id).toBe(clientId)
  const all = await clerk.clients.getClientList({ limit: 2 })
  expect(all.totalCount).toBeGreaterThanOrEqual(all.data.length)
  expect(all.data[0]?.id).toBe(clientId)

  // A revoked session is gone from both, and its person from the browser.
  expect((await clerk.sessions.revokeSession(sessionId)).status).toBe('revoked')
  expect((await clerk.clients.getClient(clientId)).sessions).toEqual([])
  await expect(clerk.clients.verifyClient(jwt)).rejects.toMatchObject({ status: 401 })
  const { response } = await (await fetch(`${usher.ready.url}/v1/client`, { headers: { cookie } })).json()
  expect(response.sessions).toEqual([])
})

test('tokens live as long as the application’s server asks, within the session', async () => {
  const { sessionId } = await signedIn('kim')
  const lifetime = async (seconds: number) => {
    const { jwt } = await clerk.sessions.getToken(sessionId, undefined, seconds)
    const { exp, iat } = JSON.parse(atob(jwt.split('.')[1] ?? ''))
    return exp - iat
  }
  expect(await lifetime(30)).toBe(30)
  expect(await lifetime(3600)).toBe(3600)
  expect(await lifetime(315_360_000)).toBeLessThanOrEqual(7 * 86_400 + 1)
  for (const wrong of [29, 315_360_001, 1.5])
    await expect(lifetime(wrong)).rejects.toMatchObject({ errors: [{ code: 'form_param_format_invalid' }] })
})

test('an actor token signs in once, shows who acts, and is worthless when revoked', async () => {
  const [ada, support] = [await signedIn('lin'), await signedIn('support')]
  const input = { userId: ada.user.id, actor: { sub: support.user.id }, expiresInSeconds: 600 }
  const made = await clerk.actorTokens.create({ ...input, sessionMaxDurationInSeconds: 900 })
  expect(made).toMatchObject({ status: 'pending', userId: ada.user.id, actor: { sub: support.user.id } })
  const link = await fetch(made.url as string, { redirect: 'manual' })
  expect(link.headers.get('location')).toContain(`__clerk_ticket=${made.token}`)
  expect(link.headers.get('location')).toContain('__clerk_status=sign_in')
  const redeem = async (ticket: string) => {
    const response = await fetch(`${usher.ready.url}/v1/client/sign_ins`, {
      method: 'POST',
      headers: { origin: 'http://localhost:3000' },
      body: new URLSearchParams({ strategy: 'ticket', ticket }),
    })
    return (await response.json()) as { response?: { created_session_id: string }; errors?: { code: string }[] }
  }
  const session = await clerk.sessions.getSession(
    (await redeem(made.token as string)).response?.created_session_id ?? '',
  )
  expect(session).toMatchObject({ userId: ada.user.id, actor: { sub: support.user.id } })
  expect(session.expireAt - session.createdAt).toBe(900_000)

  const other = await clerk.actorTokens.create(input)
  expect(await clerk.actorTokens.revoke(other.id)).toMatchObject({ id: other.id, status: 'revoked', token: null })
  expect((await redeem(other.token as string)).errors?.[0]?.code).toBe('ticket_invalid')
  await expect(clerk.actorTokens.revoke(made.id)).rejects.toMatchObject({ status: 404 })
})

test('D14 an application that names its parties takes no token that was made for another', async () => {
  const { user, cookie, sessionId } = await signedIn('ivy')
  const mint = async (origin: string) => {
    const response = await fetch(`${usher.ready.url}/v1/client/sessions/${sessionId}/tokens`, {
      method: 'POST',
      headers: { origin, cookie },
    })
    return (await response.json()).jwt as string
  }
  const [own, other] = [await mint('http://localhost:3000'), await mint('http://localhost:4000')]
  const { secret_key: secretKey, url: apiUrl } = usher.ready
  const authorizedParties = ['http://localhost:3000']
  expect((await verifyToken(own, { secretKey, apiUrl, authorizedParties })).sub).toBe(user.id)
  await expect(verifyToken(other, { secretKey, apiUrl, authorizedParties })).rejects.toMatchObject({
    reason: 'token-invalid-authorized-parties',
  })
})
