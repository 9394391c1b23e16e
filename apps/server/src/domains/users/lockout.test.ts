import { expect, test } from 'bun:test'
import { eq } from 'drizzle-orm'
import { transaction, transactionTogether } from '../../database/index.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { findPasswordByIdentifier, setPasswordHash } from '../credentials/index.ts'
import {
  createUser,
  deleteUser,
  findUserByIdentifier,
  getUser,
  type Identifier,
  isLocked,
  lockUser,
  noteFailedAttempt,
  noteSignIn,
} from './index.ts'
import { phoneNumbers, users } from './tables.ts'

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

test('people who are asked for in the same moment are each found by what they have proven', async () => {
  const [t, other] = [await testInstance(), await testInstance()]
  const at = (emailAddress: string, verifiedBy: 'admin' | null) => ({ emailAddresses: [{ emailAddress, verifiedBy }] })
  const ada = await createUser(t.ctx(), {
    ...at('ada@example.com', 'admin'),
    phoneNumbers: [{ phoneNumber: '+15551230001', verifiedBy: 'admin' }],
    username: 'Ada',
  })
  const bob = await createUser(t.ctx(), at('bob@example.com', 'admin'))
  await createUser(t.ctx(), at('claimed@example.com', null))
  await createUser(other.ctx(), at('elsewhere@example.com', 'admin'))
  for (const { id } of [ada, bob]) await setPasswordHash(t.ctx(), { userId: id, hash: `hash of ${id}` })
  const named: [Identifier['kind'], string, string | undefined][] = [
    ['email_address', 'bob@example.com', bob.id],
    ['email_address', 'nobody@example.com', undefined],
    ['email_address', 'ADA@example.com', ada.id],
    ['email_address', 'claimed@example.com', undefined],
    ['email_address', 'elsewhere@example.com', undefined],
    ['phone_number', '+15551230001', ada.id],
    ['phone_number', '+15551230002', undefined],
    ['username', 'aDA', ada.id],
    ['username', 'ad', undefined],
    ['email_address', 'bob@example.com', bob.id],
  ]
  const found = await Promise.all(
    named.map(([kind, value]) =>
      transactionTogether(
        t.ctx(),
        (tx) => Promise.all([findUserByIdentifier(tx, { kind, value }), findPasswordByIdentifier(tx, { kind, value })]),
        { reads: true },
      ),
    ),
  )
  expect(found.map(([user, password]) => [user?.id, password?.hash])).toEqual(
    named.map(([, , id]) => [id, id && `hash of ${id}`]),
  )
  expect(found[2]?.[0]?.phoneNumbers).toMatchObject([{ phoneNumber: '+15551230001' }])
})

test('of many who sign in at once, those are refused whose account has changed since it was read', async () => {
  const t = await testInstance()
  const people = await Promise.all(
    ['same', 'other password', 'banned', 'locked', 'second factor', 'gone', 'same too'].map(async (name, i) => {
      const { id } = await createUser(t.ctx(), {
        firstName: name,
        banned: name === 'banned',
        phoneNumbers: [{ phoneNumber: `+1555123010${i}`, verifiedBy: 'admin', reserved: false }],
      })
      await setPasswordHash(t.ctx(), { userId: id, hash: name === 'other password' ? 'another' : `of "${name}"` })
      return { id, name }
    }),
  )
  const idOf = (name: string) => people.find((p) => p.name === name)?.id as string
  await lockUser(t.ctx(), idOf('locked'))
  await transaction(t.ctx(), (tx) => deleteUser(tx, idOf('gone')))
  await transaction(t.ctx(), async (tx) => {
    await tx.db
      .update(phoneNumbers)
      .set({ reservedForSecondFactor: true })
      .where(eq(phoneNumbers.userId, idOf('second factor')))
  })
  const asked = [...people, people[0] as (typeof people)[0]]
  const outcomes = await Promise.allSettled(
    asked.map(({ id, name }) =>
      transactionTogether(t.ctx(), (tx) => noteSignIn(tx, { id, twoFactorEnabled: false }, `of "${name}"`), {
        locks: id,
      }),
    ),
  )
  expect(outcomes.map((o, i) => [asked[i]?.name, o.status === 'fulfilled' ? o.value : o.reason.code])).toEqual([
    ['same', { hasDevice: false }],
    ['other password', 'conflict'],
    ['banned', 'user_banned'],
    ['locked', 'user_locked'],
    ['second factor', 'conflict'],
    ['gone', 'conflict'],
    ['same too', { hasDevice: false }],
    ['same', { hasDevice: false }],
  ])
  const noted = await Promise.all(['same', 'other password', 'same too'].map((name) => getUser(t.ctx(), idOf(name))))
  expect(noted.map(({ lastSignInAt }) => lastSignInAt !== null)).toEqual([true, false, true])
})

test('a password that is replaced while another’s account is held signs nobody in with whom it shares a statement', async () => {
  const t = await testInstance()
  const people = await Promise.all(
    ['held', 'changing'].map(async (name) => {
      const { id } = await createUser(t.ctx(), { firstName: name })
      await setPasswordHash(t.ctx(), { userId: id, hash: 'the old one' })
      return { id, name }
    }),
  )
  // Who is held comes first, so that the other is waited for behind them.
  const [first = '', second = ''] = people.map(({ id }) => id).sort()
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  let holds = () => {}
  const begun = new Promise<void>((resolve) => {
    holds = resolve
  })
  const holding = transaction(t.ctx(), async (tx) => {
    await tx.db.update(users).set({ firstName: 'held' }).where(eq(users.id, first))
    holds()
    await held
  })
  await begun
  const noted = [first, second].map((id) =>
    transactionTogether(t.ctx(), (tx) => noteSignIn(tx, { id, twoFactorEnabled: false }, 'the old one'), { locks: id }),
  )
  const outcomes = Promise.allSettled(noted)
  await Bun.sleep(200)
  await setPasswordHash(t.ctx(), { userId: second, hash: 'a new one' })
  release()
  await holding
  expect((await outcomes).map((o) => (o.status === 'fulfilled' ? o.value : o.reason.code))).toEqual([
    { hasDevice: false },
    'conflict',
  ])
})
