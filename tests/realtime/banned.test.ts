import { expect, test } from 'bun:test'
import {
  createJwtTemplate,
  createRefreshToken,
  findSessionState,
  mintSessionToken,
  revokeSession,
  revokeUserSessions,
} from '../../apps/server/src/domains/sessions/index.ts'
import { deleteUser, updateUser } from '../../apps/server/src/domains/users/index.ts'
import { TestBrowser } from '../../apps/server/src/faces/frontend/testing.ts'
import { type TestInstance, testInstance } from '../../apps/server/src/testing/server.ts'
import { connect, until } from './support.ts'

/** Somebody with everything that a signed-in person holds, and every door that it opens. */
async function signedIn() {
  const t = await testInstance()
  const browser = new TestBrowser(t)
  const { userId, sessionId } = await browser.signUp('ada@example.com')
  await createJwtTemplate(t.ctx(), { name: 'other', claims: {} })
  const state = await findSessionState(t.ctx(), sessionId)
  if (!state) throw new Error('no session')
  const token = await mintSessionToken(t.ctx(), state, { azp: 'http://localhost:3000' })
  const refresh_token = await createRefreshToken(t.ctx(), state)
  const docId = `${userId}/note`
  const ticket = (await browser.post('/sync/token', { doc_id: docId })).body.token as string
  const socket = (value: string) =>
    connect(`ws://127.0.0.1:${t.server.port}/sync`, docId, { params: { token: value }, headers: { host: t.host } })
  const backend = async (path: string, body: object) =>
    (await t.fetch(`/v1${path}`, { method: 'POST', secretKey: true, body: JSON.stringify(body) })).status
  const doors: Record<string, () => Promise<boolean>> = {
    'session token': async () => (await browser.post(`/client/sessions/${sessionId}/tokens`)).status === 200,
    'template token': async () => (await browser.post(`/client/sessions/${sessionId}/tokens/other`)).status === 200,
    client: async () => ((await browser.get('/client')).body.response?.sessions.length ?? 0) > 0,
    me: async () => (await browser.get('/me')).status === 200,
    'session verification': async () => (await backend(`/sessions/${sessionId}/verify`, { token })) === 200,
    'client verification': async () => (await backend('/clients/verify', { token })) === 200,
    'server-side token': async () => (await backend(`/sessions/${sessionId}/tokens`, {})) === 200,
    handshake: async () => {
      const { headers } = await browser.get('/client/handshake?redirect_url=http://localhost:3000/')
      const jwt = new URL(headers.get('location') ?? '').searchParams.get('__clerk_handshake') ?? ''
      return Buffer.from(jwt.split('.')[1] ?? '', 'base64url')
        .toString()
        .includes('__session=ey')
    },
    'document token by cookie': async () => (await browser.post('/sync/token', { doc_id: docId })).status === 200,
    'document token by bearer': async () => {
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
      const body = JSON.stringify({ doc_id: docId })
      return (await t.fetch('/v1/sync/token', { method: 'POST', body, headers })).status === 200
    },
    'new socket': async () => {
      using fresh = socket(ticket)
      await until(() => fresh.client.synced || fresh.closes.length > 0, 'an answer')
      return fresh.client.synced && fresh.closes.length === 0
    },
    // Last: it uses its token up.
    refresh: async () =>
      (await backend(`/sessions/${sessionId}/refresh`, { expired_token: token, refresh_token })) === 200,
  }
  return { t, userId, sessionId, doors, open: () => socket(ticket) }
}
type Person = Awaited<ReturnType<typeof signedIn>>

const backend = (t: TestInstance, method: string, path: string) => t.fetch(`/v1${path}`, { method, secretKey: true })
const ends: Record<string, (p: Person) => Promise<unknown>> = {
  'banned by the server API': ({ t, userId }) => backend(t, 'POST', `/users/${userId}/ban`),
  'banned without a word about sessions': ({ t, userId }) => updateUser(t.ctx(), { id: userId, banned: true }),
  'deleted by the server API': ({ t, userId }) => backend(t, 'DELETE', `/users/${userId}`),
  'deleted in the database alone': ({ t, userId }) => deleteUser(t.ctx(), userId),
  'revoked session': ({ t, sessionId }) => revokeSession(t.ctx(), sessionId),
  'all sessions revoked': ({ t, userId }) => revokeUserSessions(t.ctx(), { userId }),
}

for (const [name, end] of Object.entries(ends))
  test(`A16 within a second every door is shut and the socket closed: ${name}`, async () => {
    const person = await signedIn()
    const { doors } = person
    for (const [door, opens] of Object.entries(doors))
      if (door !== 'refresh') expect([door, await opens()]).toEqual([door, true])
    using live = person.open()
    await live.synced()
    const at = performance.now()
    const closed = live.closed().then(() => performance.now() - at)
    await end(person)
    const stillOpen: string[] = []
    for (const [door, opens] of Object.entries(doors)) if (await opens()) stillOpen.push(door)
    expect(stillOpen).toEqual([])
    expect(await closed).toBeLessThan(1000)
  }, 60_000)
