import { expect, test } from 'bun:test'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { createUser, getUser, isLocked, lockUser, noteFailedAttempt } from './index.ts'

async function withAda(lockout: object = {}) {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { lockout: { maxAttempts: 5, ...lockout } })
  return { t, userId: (await createUser(t.ctx(), {})).id }
}
const ask = async (t: TestInstance, path: string) =>
  (await t.fetch(`/v1/users/${path}`, { method: 'POST', secretKey: true })).json()

test('A10 of fifty failures at once one locks the account, and what fails while it is locked makes it no longer', async () => {
  const { t, userId } = await withAda({ minutes: 60 })
  const fail = () => noteFailedAttempt(t.ctx(), userId)
  const outcomes = await Promise.all(Array.from({ length: 50 }, fail))
  expect(outcomes.filter(Boolean)).toHaveLength(1)
  const { lockedUntil } = await getUser(t.ctx(), userId)
  t.advance(30 * 60_000)
  for (let i = 0; i < 10; i += 1) expect(await fail()).toBe(false)
  expect((await getUser(t.ctx(), userId)).lockedUntil).toEqual(lockedUntil)
  // Once it is over, the count begins anew.
  t.advance(31 * 60_000)
  const again = []
  for (let i = 0; i < 5; i += 1) again.push(await fail())
  expect(again).toEqual([false, false, false, false, true])
})

test('unlocking ends every lock and forgets the failures that led to it', async () => {
  for (const minutes of [60, 0]) {
    const { t, userId } = await withAda({ minutes })
    for (let i = 0; i < 5; i += 1) await noteFailedAttempt(t.ctx(), userId)
    expect(isLocked(await getUser(t.ctx(), userId), t.ctx().now())).toBe(true)
    expect(await ask(t, `${userId}/unlock`)).toMatchObject({ locked: false, lockout_expires_in_seconds: null })
    for (let i = 0; i < 4; i += 1) await noteFailedAttempt(t.ctx(), userId)
    await ask(t, `${userId}/unlock`)
    expect(await noteFailedAttempt(t.ctx(), userId)).toBe(false)
    expect(isLocked(await getUser(t.ctx(), userId), t.ctx().now())).toBe(false)
  }
})

test('a lock of an operator has no end of its own, and failures do not give it one', async () => {
  const { t, userId } = await withAda({ minutes: 1 })
  await lockUser(t.ctx(), userId)
  for (let i = 0; i < 6; i += 1) expect(await noteFailedAttempt(t.ctx(), userId)).toBe(false)
  t.advance(3_600_000)
  expect(isLocked(await getUser(t.ctx(), userId), t.ctx().now())).toBe(true)
})
