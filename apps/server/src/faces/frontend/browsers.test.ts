import { expect, test } from 'bun:test'
import { createActorToken, createRefreshToken, findSessionState, revokeSession } from '../../domains/sessions/index.ts'
import { createUser } from '../../domains/users/index.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { claimsOf, TestBrowser } from './testing.ts'

const password = 'correct horse battery'
const signIn = (browser: TestBrowser, identifier: string) =>
  browser.post('/client/sign_ins', { identifier, password, strategy: 'password' })

async function severalPeople() {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { multiSession: true })
  const browser = new TestBrowser(t)
  const ada = await browser.signUp('ada@example.com', password)
  await new TestBrowser(t).signUp('bob@example.com', password)
  const bob = (await signIn(browser, 'bob@example.com')).body.response.created_session_id as string
  const open = async () =>
    (await browser.get('/client')).body.response.sessions.map((s: { id: string }) => s.id).sort() as string[]
  return { t, browser, ada: ada.sessionId, bob, open }
}

test('C1 the client is another one after every change of privilege, and the value from before is worth nothing', async () => {
  const t = await testInstance()
  const { id } = await createUser(t.ctx(), { emailAddresses: [] })
  const browser = new TestBrowser(t)
  await browser.signUp('ada@example.com', password)
  const { userId } = (await browser.get('/client')).body.response.sessions.map((s: { user: { id: string } }) => ({
    userId: s.user.id,
  }))[0]
  const planted = new TestBrowser(t)
  await planted.send('PUT', '/client')
  const before = planted.clientCookie as string
  const { token } = await createActorToken(t.ctx(), { userId, actor: { sub: id } })
  await planted.post('/client/sign_ins', { strategy: 'ticket', ticket: token })
  expect(planted.clientCookie).not.toBe(before)
  const other = new TestBrowser(t)
  other.cookies.set(`__client_${t.ctx().instance.cookieSuffix}`, before)
  expect((await other.get('/client')).body.response).toBeNull()
})

test('C2 nothing of the person before is left for the person after on one browser', async () => {
  const t = await testInstance()
  const browser = new TestBrowser(t)
  const victim = await browser.signUp('ada@example.com', password)
  await new TestBrowser(t).signUp('bob@example.com', password)
  const state = await findSessionState(t.ctx(), victim.sessionId)
  if (!state) throw new Error('no session')
  const refresh_token = await createRefreshToken(t.ctx(), state)
  const expired_token: string = (await browser.post(`/client/sessions/${victim.sessionId}/tokens`)).body.jwt

  await browser.send('DELETE', '/client/sessions')
  // What stayed behind in the browser, as after a deletion of some cookies only.
  browser.cookies.set('__session', expired_token)
  browser.cookies.set(`__session_${t.ctx().instance.cookieSuffix}`, expired_token)
  const attacker = (await signIn(browser, 'bob@example.com')).body.response.created_session_id
  const after = await browser.get('/client')
  expect(after.body.response.sessions.map((s: { id: string }) => s.id)).toEqual([attacker])
  expect(JSON.stringify(after.body)).not.toContain(victim.userId)
  for (const path of ['tokens', 'touch', 'end', 'remove']) {
    const { status } = await browser.post(`/client/sessions/${victim.sessionId}/${path}`)
    expect([path, status]).toEqual([path, path === 'tokens' ? 404 : expect.any(Number)])
  }
  const acting = await browser.get(`/me?_clerk_session_id=${victim.sessionId}`)
  expect(acting.status).toBe(401)
  const refreshed = await t.fetch(`/v1/sessions/${victim.sessionId}/refresh`, {
    method: 'POST',
    secretKey: true,
    body: JSON.stringify({ expired_token, refresh_token }),
  })
  expect(refreshed.status).toBe(401)
  const handshake = await browser.get(
    `/client/handshake?redirect_url=http://localhost:3000/&__session=${expired_token}`,
  )
  const value = new URL(handshake.headers.get('location') ?? '').searchParams.get('__clerk_handshake') ?? ''
  const directives: string[] = claimsOf(value).handshake
  const session = directives.findLast((d) => d.startsWith('__session='))?.match(/^__session=([^;]+)/)?.[1]
  expect(claimsOf(session ?? '').sid).toBe(attacker)
})

test('C10 the cookie of a revoked session reads, changes and mints nothing, from the next request on', async () => {
  const t = await testInstance()
  const browser = new TestBrowser(t)
  const { sessionId } = await browser.signUp('ada@example.com', password)
  const calls: [string, string, Record<string, string>?][] = [
    ['GET', '/me'],
    ['PATCH', '/me', { first_name: 'Eve' }],
    ['PATCH', '/me/metadata', { unsafe_metadata: '{"a":1}' }],
    ['POST', '/me/change_password', { current_password: password, new_password: 'another battery horse' }],
    ['POST', '/me/email_addresses', { email_address: 'eve@example.com' }],
    ['GET', '/me/sessions/active'],
    ['GET', '/me/organization_memberships'],
    ['POST', '/organizations', { name: 'Acme' }],
    ['POST', '/sync/token', { doc_id: 'user_x/note' }],
    ['POST', `/client/sessions/${sessionId}/tokens`],
    ['POST', `/client/sessions/${sessionId}/touch`],
  ]
  // Everything about the session is in memory by now.
  expect((await browser.get('/me')).status).toBe(200)
  await revokeSession(t.ctx(), sessionId)
  for (const [method, path, form] of calls) {
    const { status } = await browser.send(method, path, form)
    expect([method, path, [401, 404].includes(status)]).toEqual([method, path, true])
  }
})

test('C14 a link or an image signs nobody out, and each way out ends what it names and nothing else', async () => {
  const { browser, ada, bob, open } = await severalPeople()
  const both = [ada, bob].sort()
  expect(await open()).toEqual(both)
  for (const path of [
    '/client?_method=DELETE',
    '/client/sessions?_method=DELETE',
    `/client/sessions/${ada}/end`,
    `/client/sessions/${ada}/remove`,
    `/client/sessions/${ada}/end?_method=POST`,
    `/me/sessions/${ada}/revoke`,
  ]) {
    await browser.get(path)
    expect([path, await open()]).toEqual([path, both])
  }
  const crossSite = { origin: 'https://evil.test', 'sec-fetch-site': 'cross-site' }
  for (const path of [`/client/sessions/${ada}/end`, '/client/sessions?_method=DELETE', '/client?_method=DELETE']) {
    expect((await browser.post(path, {}, crossSite)).status).toBe(403)
    expect([path, await open()]).toEqual([path, both])
  }
  await browser.post(`/client/sessions/${ada}/end`)
  expect(await open()).toEqual([bob])
  await browser.post(`/client/sessions/${bob}/remove`)
  expect(await open()).toEqual([])
})

test('C14 revoking a device ends that one and leaves the others, and nobody revokes somebody else’s', async () => {
  const t = await testInstance()
  const [phone, laptop, stranger] = [new TestBrowser(t), new TestBrowser(t), new TestBrowser(t)]
  const first = await phone.signUp('ada@example.com', password)
  const second = (await signIn(laptop, 'ada@example.com')).body.response.created_session_id as string
  const other = await stranger.signUp('bob@example.com', password)
  const active = async () => (await laptop.get('/me/sessions/active')).body
  const listed = JSON.parse(await active()) as { id: string; latest_activity: object }[]
  expect(listed.map((s) => s.id)).toEqual([second, first.sessionId])
  expect(listed[0]?.latest_activity).toMatchObject({ object: 'session_activity', city: null, country: null })
  expect((await laptop.post(`/me/sessions/${other.sessionId}/revoke`)).status).toBe(404)
  expect((await laptop.post(`/me/sessions/${first.sessionId}/revoke`)).body.response.status).toBe('revoked')
  expect([401, 404]).toContain((await phone.post(`/client/sessions/${first.sessionId}/tokens`)).status)
  expect((await laptop.post(`/client/sessions/${second}/tokens`)).status).toBe(200)
  expect((await stranger.post(`/client/sessions/${other.sessionId}/tokens`)).status).toBe(200)
})

test('C8 what one tenant trusts is never another’s, with both asked at once a thousand times', async () => {
  const tenants = await Promise.all(
    ['https://one.example', 'https://two.example'].map(async (origin) => {
      const t = await testInstance('production')
      await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { allowedOrigins: [origin] })
      return { t, origin }
    }),
  )
  const ask = async (t: TestInstance, origin: string, host: string) => {
    const response = await t.fetch('/v1/environment', { headers: { origin } })
    const allowed = response.headers.get('access-control-allow-origin')
    const body = await response.text()
    return `${response.status} ${allowed} ${body.includes(host)}`
  }
  const [one, two] = tenants as [(typeof tenants)[0], (typeof tenants)[0]]
  for (let round = 0; round < 1000; round += 10) {
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => [
        ask(one.t, one.origin, one.t.host),
        ask(two.t, one.origin, two.t.host),
        ask(one.t, two.origin, one.t.host),
        ask(two.t, two.origin, two.t.host),
      ]).flat(),
    )
    for (let i = 0; i < answers.length; i += 4) {
      expect(answers[i]).toStartWith('200 https://one.example')
      expect(answers[i + 1]).toStartWith('403 null')
      expect(answers[i + 2]).toStartWith('403 null')
      expect(answers[i + 3]).toStartWith('200 https://two.example')
    }
  }
}, 60_000)

test('D14 a session token made for one application is not taken from the page of another', async () => {
  const t = await testInstance()
  const browser = new TestBrowser(t, 'http://localhost:3000')
  const { userId, sessionId } = await browser.signUp('ada@example.com')
  const { jwt } = (await browser.post(`/client/sessions/${sessionId}/tokens`)).body
  expect(claimsOf(jwt).azp).toBe('http://localhost:3000')
  const ask = (origin?: string) =>
    t.fetch('/v1/sync/token', {
      method: 'POST',
      body: JSON.stringify({ doc_id: `${userId}/note` }),
      headers: { authorization: `Bearer ${jwt}`, 'content-type': 'application/json', ...(origin && { origin }) },
    })
  expect((await ask('http://localhost:3000')).status).toBe(200)
  expect((await ask()).status).toBe(200)
  expect((await ask('http://localhost:4000')).status).toBe(401)
})
