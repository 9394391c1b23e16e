import { expect, test } from 'bun:test'
import { TestBrowser } from '../../faces/frontend/testing.ts'
import { testInstance } from '../../testing/server.ts'

import {
  createJwtTemplate,
  createRefreshToken,
  findClientState,
  findSessionState,
  getSession,
  listSessions,
  mintSessionToken,
  mintTemplateToken,
  refreshSession,
  touchSession,
} from './index.ts'

const hour = 3600_000

/** A session in an instance with limits of its own, and everything that asks whether it still counts. */
async function limited(session: { maximumLifetime: number; inactivityTimeout: number }) {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { session })
  await createJwtTemplate(t.ctx(), { name: 'other', claims: {} })
  const { sessionId, userId } = await new TestBrowser(t).signUp('ada@example.com')
  const state = async () => {
    const found = await findSessionState(t.ctx(), sessionId)
    if (!found) throw Object.assign(new Error('gone'), { code: 'signed_out' })
    return found
  }
  const { clientId } = await state()
  const expiredToken = await mintSessionToken(t.ctx(), await state())
  const refreshToken = await createRefreshToken(t.ctx(), await state())
  const ways: Record<string, () => Promise<unknown>> = {
    mint: async () => mintSessionToken(t.ctx(), await state()),
    template: async () => mintTemplateToken(t.ctx(), await state(), 'other'),
    refresh: () => refreshSession(t.ctx(), { sessionId, expiredToken, refreshToken }),
    touch: () => touchSession(t.ctx(), { clientId, sessionId, carrier: 'cookie' }),
  }
  const refusals = async () => {
    const codes: Record<string, string> = {}
    for (const [name, way] of Object.entries(ways))
      codes[name] = await way().then(
        () => 'ok',
        (error) => error.code,
      )
    return codes
  }
  const shown = async () => (await findClientState(t.ctx(), clientId))?.sessions.length
  return { t, userId, sessionId, clientId, state, ways, refusals, shown }
}
const over = { mint: 'signed_out', template: 'signed_out', refresh: 'signed_out', touch: 'signed_out' }

test('a session ends after its longest time, however often it is used', async () => {
  const s = await limited({ maximumLifetime: 7200, inactivityTimeout: 31_536_000 })
  for (let i = 0; i < 7; i += 1) {
    s.t.advance(hour / 4)
    await s.ways.touch?.()
    await s.ways.mint?.()
  }
  expect(await s.shown()).toBe(1)
  s.t.advance(hour / 4 + 1000)
  expect(await s.refusals()).toEqual(over)
  expect(await s.shown()).toBe(0)
  expect((await getSession(s.t.ctx(), s.sessionId)).status).toBe('expired')
  const status = async (status: 'active' | 'expired' | 'abandoned') =>
    (await listSessions(s.t.ctx(), { userId: s.userId, status, limit: 10, offset: 0 })).totalCount
  expect([await status('active'), await status('expired'), await status('abandoned')]).toEqual([0, 1, 0])
})

test('a session without a sign of life ends, and every use is one', async () => {
  const s = await limited({ maximumLifetime: 31_536_000, inactivityTimeout: 3600 })
  for (let i = 0; i < 5; i += 1) {
    s.t.advance(0.8 * hour)
    await s.ways.mint?.()
    // The sign of life is written without anybody waiting for it.
    const until = s.t.ctx().now().getTime() + 0.9 * hour
    for (let n = 0; n < 50 && (await getSession(s.t.ctx(), s.sessionId)).abandonAt.getTime() < until; n += 1)
      await Bun.sleep(10)
    expect((await getSession(s.t.ctx(), s.sessionId)).abandonAt.getTime()).toBeGreaterThan(until)
  }
  s.t.advance(1.01 * hour)
  expect(await s.refusals()).toEqual(over)
  expect((await getSession(s.t.ctx(), s.sessionId)).status).toBe('abandoned')
})

test('no token outlives its session', async () => {
  const s = await limited({ maximumLifetime: 300, inactivityTimeout: 300 })
  s.t.advance(270_000)
  const token = await mintSessionToken(s.t.ctx(), await s.state(), { lifetime: 3600 })
  const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
  expect(exp * 1000).toBeLessThanOrEqual((await s.state()).expireAt.getTime() + 1000)
})
