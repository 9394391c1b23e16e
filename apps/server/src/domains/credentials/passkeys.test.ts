import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import { testInstance } from '../../testing/server.ts'
import { createUser, deleteUser, getUser } from '../users/index.ts'
import {
  confirmPasskey,
  passkeyRequestOptions,
  removePasskey,
  renamePasskey,
  startPasskey,
  verifyPasskey,
} from './index.ts'
import { SoftwareAuthenticator } from './testing.ts'

const party = { rpId: 'localhost', origins: ['http://localhost:3000'] }

async function setUp() {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { passkeys: { enabled: true } })
  const user = await createUser(t.ctx(), { emailAddresses: [{ emailAddress: 'ada@example.com', verifiedBy: 'admin' }] })
  const begin = (userId = user.id) =>
    startPasskey(t.ctx(), { userId, accountName: 'ada@example.com', displayName: 'Ada', rpId: party.rpId })
  const register = async (device = new SoftwareAuthenticator(), userId = user.id) => {
    const { id, optionsJson } = await begin(userId)
    await confirmPasskey(t.ctx(), { ...party, userId, id, credential: device.create(optionsJson), device: 'Linux' })
    return { id, device }
  }
  const ask = (input: { userId?: string; identifier?: string } = {}) =>
    passkeyRequestOptions(t.ctx(), { ...input, rpId: party.rpId })
  const show = (challenge: string, credential: unknown, relyingParty = party) =>
    transaction(t.ctx(), (tx) => verifyPasskey(tx, { ...relyingParty, challenge, credential }))
  return { t, userId: user.id, begin, register, ask, show }
}

const invalid = { code: 'passkey_invalid' }
const expired = { code: 'verification_expired' }

test('a passkey is registered, named, signs in and goes', async () => {
  const { t, userId, register, ask, show } = await setUp()
  const { id, device } = await register()
  expect((await getUser(t.ctx(), userId)).passkeys).toMatchObject([{ id, name: 'Passkey on Linux', lastUsedAt: null }])
  const asked = await ask()
  expect(JSON.parse(asked.optionsJson)).toMatchObject({ rpId: 'localhost', userVerification: 'required' })
  expect(await show(asked.challenge, device.get(asked.optionsJson))).toEqual({
    userId,
    passkeyId: id,
    userVerified: true,
  })
  await renamePasskey(t.ctx(), { userId, id, name: 'Laptop' })
  expect((await getUser(t.ctx(), userId)).passkeys).toMatchObject([{ name: 'Laptop', lastUsedAt: expect.any(Number) }])
  await removePasskey(t.ctx(), { userId, id })
  const again = await ask()
  await expect(show(again.challenge, device.get(again.optionsJson))).rejects.toMatchObject(invalid)
})

test('a challenge is good for one answer and for five minutes', async () => {
  const { t, register, ask, show } = await setUp()
  const { device } = await register()
  const { challenge, optionsJson } = await ask()
  const answer = device.get(optionsJson)
  const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => show(challenge, answer)))
  expect(outcomes.filter((o) => o.status === 'fulfilled')).toHaveLength(1)
  await expect(show(challenge, answer)).rejects.toMatchObject(expired)
  const late = await ask()
  t.advance(5 * 60_000)
  await expect(show(late.challenge, device.get(late.optionsJson))).rejects.toMatchObject(expired)
  await expect(show('made-up', answer)).rejects.toMatchObject(expired)
})

test('an answer for another challenge, site, page or device is refused', async () => {
  const { register, ask, show } = await setUp()
  const { device } = await register()
  const refused = async (answer: (options: string) => unknown, relyingParty = party) => {
    const { challenge, optionsJson } = await ask()
    await expect(show(challenge, answer(optionsJson), relyingParty)).rejects.toMatchObject(invalid)
  }
  const other = await ask()
  await refused(() => device.get(other.optionsJson))
  await refused((o) => device.get(o), { ...party, rpId: 'example.com' })
  await refused((o) => device.get(o), { ...party, origins: ['https://evil.test'] })
  await refused((o) => new SoftwareAuthenticator().get(o))
  await refused((o) => {
    device.userVerified = false
    const answer = device.get(o)
    device.userVerified = true
    return answer
  })
  await refused((o) => {
    const answer = JSON.parse(device.get(o))
    answer.response.signature = Buffer.from('forged').toString('base64url')
    return JSON.stringify(answer)
  })
  for (const junk of ['', 'null', '{}', '[]', '{"id":1}', { id: 'x', response: null }, 7, undefined])
    await refused(() => junk)
})

test('a counter that does not grow is a copy of the device', async () => {
  const { register, ask, show } = await setUp()
  const original = new SoftwareAuthenticator()
  original.signCount = 5
  await register(original)
  const use = async () => {
    const { challenge, optionsJson } = await ask()
    return show(challenge, original.get(optionsJson))
  }
  await use()
  await use()
  original.signCount = 5
  await expect(use()).rejects.toMatchObject(invalid)
})

test('a passkey that was asked of one person is not taken from another', async () => {
  const { t, register, ask, show } = await setUp()
  const bob = await createUser(t.ctx(), {})
  const { device } = await register()
  const asked = await ask({ userId: bob.id })
  await expect(show(asked.challenge, device.get(asked.optionsJson))).rejects.toMatchObject(invalid)
})

test('A14 an unknown account is asked for a passkey as a known one is, and the same one each time', async () => {
  const { userId, register, ask } = await setUp()
  await register()
  const options = async (input: Parameters<typeof ask>[0]) => JSON.parse((await ask(input)).optionsJson)
  const known = await options({ userId })
  const unknown = await options({ identifier: 'nobody@example.com' })
  expect(Object.keys(unknown)).toEqual(Object.keys(known))
  expect(unknown.allowCredentials).toHaveLength(1)
  expect((await options({ identifier: 'Nobody@example.com' })).allowCredentials).toEqual(unknown.allowCredentials)
  expect((await options({ identifier: 'other@example.com' })).allowCredentials).not.toEqual(unknown.allowCredentials)
  expect((await options({})).allowCredentials ?? []).toEqual([])
})

test('a registration is finished by its owner, once, in its time', async () => {
  const { t, userId, begin } = await setUp()
  const bob = await createUser(t.ctx(), {})
  const device = new SoftwareAuthenticator()
  const first = await begin()
  const { id, optionsJson } = await begin()
  const finish = (over: Record<string, unknown> = {}) =>
    confirmPasskey(t.ctx(), { ...party, userId, id, credential: device.create(optionsJson), ...over })
  await expect(finish({ id: first.id })).rejects.toMatchObject({ code: 'resource_not_found' })
  await expect(finish({ userId: bob.id })).rejects.toMatchObject({ code: 'resource_not_found' })
  const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => finish()))
  expect(outcomes.filter((o) => o.status === 'fulfilled')).toHaveLength(1)
  await expect(finish()).rejects.toMatchObject(expired)
  const late = await begin()
  t.advance(5 * 60_000)
  await expect(
    confirmPasskey(t.ctx(), { ...party, userId, id: late.id, credential: device.create(late.optionsJson) }),
  ).rejects.toMatchObject(expired)
})

test('M10 a registration answered on another site’s page is refused, and its challenge is gone', async () => {
  const { t, userId, begin } = await setUp()
  const { id, optionsJson } = await begin()
  const finish = (origin: string) =>
    confirmPasskey(t.ctx(), { ...party, userId, id, credential: new SoftwareAuthenticator(origin).create(optionsJson) })
  await expect(finish('https://evil.test')).rejects.toMatchObject(invalid)
  await expect(finish('http://localhost:3000')).rejects.toMatchObject(expired)
})

test('M11 passkeys are gone with their user, also when the address comes back', async () => {
  const { t, userId, register, ask, show } = await setUp()
  const { device } = await register()
  await deleteUser(t.ctx(), userId)
  const reborn = await createUser(t.ctx(), {
    emailAddresses: [{ emailAddress: 'ada@example.com', verifiedBy: 'admin' }],
  })
  expect((await getUser(t.ctx(), reborn.id)).passkeys).toEqual([])
  for (const input of [{}, { userId: reborn.id }]) {
    const { challenge, optionsJson } = await ask(input)
    await expect(show(challenge, device.get(optionsJson))).rejects.toMatchObject(invalid)
  }
})

test('a device is registered once in an instance', async () => {
  const { t, register } = await setUp()
  const { device } = await register()
  const bob = await createUser(t.ctx(), {})
  await expect(register(device, bob.id)).rejects.toMatchObject(invalid)
})
