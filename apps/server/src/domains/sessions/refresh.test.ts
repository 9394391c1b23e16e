import { expect, test } from 'bun:test'
import { TestBrowser } from '../../faces/frontend/testing.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { createRefreshToken, findSessionState, mintSessionToken, refreshSession, revokeSession } from './index.ts'

async function signedIn(t: TestInstance, address = 'ada@example.com') {
  const { sessionId } = await new TestBrowser(t).signUp(address)
  const session = await findSessionState(t.ctx(), sessionId)
  if (!session) throw new Error('no session')
  const expiredToken = await mintSessionToken(t.ctx(), session, { azp: 'http://localhost:3000' })
  return { sessionId, session, expiredToken, refreshToken: await createRefreshToken(t.ctx(), session) }
}

test('of parallel requests with one refresh token all get a session token and one the next refresh token', async () => {
  const t = await testInstance()
  const { sessionId, expiredToken, refreshToken } = await signedIn(t)
  t.advance(70_000)
  const all = await Promise.all(
    Array.from({ length: 8 }, () => refreshSession(t.ctx(), { sessionId, expiredToken, refreshToken })),
  )
  expect(all.filter((r) => r.refreshToken)).toHaveLength(1)
  expect(new Set(all.map((r) => r.token)).size).toBe(8)
})

test('a refresh token that comes back late ends them all, but not the session', async () => {
  const t = await testInstance()
  const { sessionId, expiredToken, refreshToken } = await signedIn(t)
  const next = (await refreshSession(t.ctx(), { sessionId, expiredToken, refreshToken })).refreshToken
  t.advance(31_000)
  await expect(refreshSession(t.ctx(), { sessionId, expiredToken, refreshToken })).rejects.toMatchObject({
    code: 'refresh_token_used',
    status: 401,
  })
  await expect(refreshSession(t.ctx(), { sessionId, expiredToken, refreshToken: next })).rejects.toMatchObject({
    code: 'refresh_token_invalid',
  })
  expect(await findSessionState(t.ctx(), sessionId)).toBeDefined()
})

test('C11 the values of one session renew no other: not of another person, origin or instance', async () => {
  const t = await testInstance()
  const ada = await signedIn(t)
  const bob = await signedIn(t, 'bob@example.com')
  const attempts = [
    { ...ada, refreshToken: bob.refreshToken },
    { ...ada, expiredToken: bob.expiredToken },
    { ...ada, sessionId: bob.sessionId },
    { ...ada, refreshToken: ada.expiredToken },
    { ...ada, refreshToken: undefined },
    { ...ada, requestOrigin: 'https://evil.example' },
  ]
  for (const attempt of attempts) await expect(refreshSession(t.ctx(), attempt)).rejects.toMatchObject({ status: 401 })
  const other = await testInstance()
  await expect(refreshSession(other.ctx(), ada)).rejects.toMatchObject({ status: 401 })
  // Nobody's was spent by that.
  for (const own of [ada, bob]) expect((await refreshSession(t.ctx(), own)).refreshToken).toBeString()
})

test('C10 a revoked, expired or banned session is not renewed by what its browser holds', async () => {
  const t = await testInstance()
  const revoked = await signedIn(t)
  await revokeSession(t.ctx(), revoked.sessionId)
  await expect(refreshSession(t.ctx(), revoked)).rejects.toMatchObject({ code: 'signed_out' })
  const expired = await signedIn(t, 'bob@example.com')
  t.advance(t.ctx().instance.settings.session.maximumLifetime * 1000)
  await expect(refreshSession(t.ctx(), expired)).rejects.toMatchObject({ code: 'signed_out' })
})
