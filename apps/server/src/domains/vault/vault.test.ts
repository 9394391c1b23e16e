import { describe, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { transaction } from '../../database/index.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { listEvents } from '../events/index.ts'
import { addMember, changeMemberRole, createOrganization, removeMember } from '../organizations/index.ts'
import { deleteDocument } from '../sync/index.ts'
import { createUser, deleteUser, updateUser } from '../users/index.ts'
import {
  advancePairing,
  confirmUnlock,
  createPairing,
  createVault,
  deleteVault,
  deleteWrap,
  findDocumentReaders,
  findVault,
  getDocumentKeys,
  getVault,
  giveDocumentKeys,
  refuseDocumentKey,
  rotateDocumentKey,
  setWrap,
  takePairing,
  takeWrap,
} from './index.ts'
import { type Person, person } from './testing.ts'

/** As far as the server can tell: an envelope of kind 4 under the epoch that ends. */
function recordOf(from: number): Uint8Array {
  const record = crypto.getRandomValues(new Uint8Array(200))
  record.set([0x55, 0x31, 4, 0, 0, 0, 0, from])
  record.fill(0, 24, 32)
  return record
}

/** An organization with people who have vaults; the first is its administrator. */
async function team(t: TestInstance, size: number) {
  const people: Person[] = []
  for (let i = 0; i < size; i++) {
    const user = await createUser(t.ctx(), {
      emailAddresses: [{ emailAddress: `p${i}-${crypto.randomUUID()}@example.com`, verifiedBy: 'admin' }],
    })
    people.push(await newcomer(t, user.id))
  }
  const [admin, ...others] = people as [Person, ...Person[]]
  const organization = await createOrganization(t.ctx(), { name: 'Team', createdBy: admin.userId })
  for (const { userId } of others)
    await addMember(t.ctx(), { organizationId: organization.id, userId, role: 'org:member' })
  return { organizationId: organization.id, docId: `${organization.id}/plan`, people }
}

async function newcomer(t: TestInstance, userId: string): Promise<Person> {
  const one = await person(userId)
  await createVault(t.ctx(), { userId, keys: one.keys, wraps: [one.wrap(), one.wrap('recovery')] })
  return one
}

async function newDocument(t: TestInstance, docId: string, giver: Person, recipients: readonly Person[]) {
  const grants = await giver.grants(
    docId,
    0,
    recipients.map((one) => one.userId),
  )
  await giveDocumentKeys(t.ctx(), { userId: giver.userId, docId, grants, keyHash: giver.random(32) })
}

/** Facts get their place in the stream a moment after the commit. */
const told = (t: TestInstance, subject: string, types: string[]) =>
  until(async () => {
    const { data } = await listEvents(t.ctx(), { limit: 100, subject })
    return types.every((type) => data.some((event) => event.type === type))
  })

const until = async (what: () => Promise<boolean>) => {
  const began = performance.now()
  while (!(await what())) {
    if (performance.now() - began > 5000) throw new Error('it did not happen')
    await Bun.sleep(10)
  }
  return performance.now() - began
}

describe('a vault', () => {
  test('is made once, and only of keys that fit each other', async () => {
    const t = await testInstance()
    const { people } = await team(t, 2)
    const [ada, bob] = people as [Person, Person]
    const again = createVault(t.ctx(), { userId: ada.userId, keys: ada.keys, wraps: [ada.wrap()] })
    await expect(again).rejects.toMatchObject({ code: 'conflict' })
    const foreign = { ...ada.keys, public_key: bob.keys.public_key }
    await expect(createVault(t.ctx(), { userId: 'user_x', keys: foreign, wraps: [] })).rejects.toMatchObject({
      code: 'form_param_value_invalid',
    })
  })

  test('L5 hands out ten wraps that nobody opened, tells each, and forgives who shows that they opened one', async () => {
    const t = await testInstance()
    const [ada] = (await team(t, 1)).people as [Person]
    const take = () => takeWrap(t.ctx(), { userId: ada.userId, kind: 'password', name: '' })
    // Side by side: the count is taken before anything is handed out.
    const tries = await Promise.allSettled(Array.from({ length: 25 }, take))
    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(10)
    await expect(take()).rejects.toMatchObject({ code: 'too_many_requests' })
    await told(t, ada.userId, ['vault.created', 'vault.read', 'vault.refused'])
    t.advance(60 * 60_000)
    const { challenge } = await take()
    for (const signature of [await ada.signed('unlocked', ada.userId, 'x'), ada.random(64)])
      await expect(confirmUnlock(t.ctx(), { userId: ada.userId, signature })).rejects.toMatchObject({
        code: 'forbidden',
      })
    const signature = await ada.signed('unlocked', ada.userId, challenge)
    await confirmUnlock(t.ctx(), { userId: ada.userId, signature })
    await expect(confirmUnlock(t.ctx(), { userId: ada.userId, signature })).rejects.toMatchObject({ code: 'forbidden' })
    for (let i = 0; i < 10; i++) await take()
    await expect(take()).rejects.toMatchObject({ code: 'too_many_requests' })
  })

  test('L5 a new password replaces its wrap and nothing else; of two at once one is refused', async () => {
    const t = await testInstance()
    const [ada] = (await team(t, 1)).people as [Person]
    const { userId } = ada
    const before = await getVault(t.ctx(), userId)
    const set = async (version: number) => {
      const wrap = { ...ada.wrap(), name: '' }
      const parts = ['wrap', userId, String(version), 'password', '', wrap.parameters ?? '', wrap.sealed]
      return { wrap, done: setWrap(t.ctx(), { userId, version, wrap, signature: await ada.signed(...parts) }) }
    }
    const two = await Promise.all([set(1), set(1)])
    const results = await Promise.allSettled(two.map(({ done }) => done))
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    const winner = two[results.findIndex(({ status }) => status === 'fulfilled')]
    const after = await getVault(t.ctx(), userId)
    expect(after).toMatchObject({ version: 2, privateKeys: before.privateKeys, publicKey: before.publicKey })
    const { wrap } = await takeWrap(t.ctx(), { userId, kind: 'password', name: '' })
    expect(wrap.sealed).toBe(winner?.wrap.sealed as string)
  })

  test('L5 a session alone changes nothing of it, and the last way in stays', async () => {
    const t = await testInstance()
    const [ada] = (await team(t, 1)).people as [Person]
    const { userId } = ada
    const wrap = { ...ada.wrap(), name: '' }
    await expect(setWrap(t.ctx(), { userId, version: 1, wrap, signature: ada.random(64) })).rejects.toMatchObject({
      code: 'forbidden',
    })
    const remove = async (version: number, kind: 'password' | 'recovery') =>
      deleteWrap(t.ctx(), {
        ...{ userId, version, kind, name: '' },
        signature: await ada.signed('unwrap', userId, String(version), kind, ''),
      })
    await remove(1, 'password')
    await expect(remove(2, 'password')).rejects.toMatchObject({ code: 'resource_not_found' })
    await expect(remove(2, 'recovery')).rejects.toMatchObject({ code: 'forbidden' })
    expect((await getVault(t.ctx(), userId)).wraps).toHaveLength(1)
  })
})

describe('keys of a document', () => {
  test('are given by who holds them, to who may read', async () => {
    const t = await testInstance()
    const { docId, people } = await team(t, 3)
    const [ada, bob, carol] = people as [Person, Person, Person]
    await newDocument(t, docId, ada, [ada, bob])
    const ring = await getDocumentKeys(t.ctx(), { userId: bob.userId, docId })
    expect(ring).toMatchObject({ access: 'write', document: { epoch: 0, pendingSince: null } })
    expect(ring.keys).toMatchObject([{ epoch: 0, createdBy: ada.userId }])
    expect(ring.givers).toMatchObject([{ userId: ada.userId, signPublicKey: ada.keys.sign_public_key }])
    const holding = Object.fromEntries(ring.readers.map((reader) => [reader.userId, reader.hasKey]))
    expect(holding).toEqual({ [ada.userId]: true, [bob.userId]: true, [carol.userId]: false })
    // Carol holds none: what she gave would be another key under the same number.
    const byCarol = carol.grants(docId, 0, [carol.userId])
    await expect(
      giveDocumentKeys(t.ctx(), { userId: carol.userId, docId, grants: await byCarol }),
    ).rejects.toMatchObject({ code: 'conflict' })
    await giveDocumentKeys(t.ctx(), { userId: bob.userId, docId, grants: await bob.grants(docId, 0, [carol.userId]) })
    const given = await getDocumentKeys(t.ctx(), { userId: carol.userId, docId })
    expect(given.keys).toMatchObject([{ epoch: 0, createdBy: bob.userId }])
    // Nobody replaces what somebody has.
    const other = await bob.grants(docId, 0, [carol.userId])
    await giveDocumentKeys(t.ctx(), { userId: bob.userId, docId, grants: other })
    expect((await getDocumentKeys(t.ctx(), { userId: carol.userId, docId })).keys).toEqual(given.keys)
    await told(t, docId, ['documentKey.created', 'documentKey.given', 'documentKey.read'])
    expect(JSON.stringify(await findDocumentReaders(t.ctx(), docId))).not.toContain(ring.keys[0]?.sealed as string)
  })

  test('L1 nobody puts keys into another’s mouth', async () => {
    const t = await testInstance()
    const { docId, people } = await team(t, 2)
    const [ada, bob] = people as [Person, Person]
    const forged = await bob.grants(docId, 0, [ada.userId])
    await expect(giveDocumentKeys(t.ctx(), { userId: ada.userId, docId, grants: forged })).rejects.toMatchObject({
      code: 'forbidden',
    })
  })

  test('L4 neither strangers nor another tenant get or give any', async () => {
    const t = await testInstance()
    const { docId, people } = await team(t, 1)
    const [ada] = people as [Person]
    const stranger = (await team(t, 1)).people[0] as Person
    await newDocument(t, docId, ada, [ada])
    const denied = { code: 'sync_access_denied' }
    await expect(getDocumentKeys(t.ctx(), { userId: stranger.userId, docId })).rejects.toMatchObject(denied)
    const toStranger = await ada.grants(docId, 0, [stranger.userId])
    await expect(giveDocumentKeys(t.ctx(), { userId: ada.userId, docId, grants: toStranger })).rejects.toMatchObject(
      denied,
    )
    const other = await testInstance()
    const { people: elsewhere } = await team(other, 1)
    const [eve] = elsewhere as [Person]
    await expect(getDocumentKeys(other.ctx(), { userId: eve.userId, docId })).rejects.toMatchObject(denied)
    await expect(getDocumentKeys(other.ctx(), { userId: ada.userId, docId })).rejects.toMatchObject(denied)
    expect(await findVault(other.ctx(), ada.userId)).toBeUndefined()
    // Rights that end with a ban, too.
    await expect(findDocumentReaders(other.ctx(), docId)).rejects.toMatchObject({ code: 'resource_not_found' })
  })

  test('a person’s own document is for nobody else', async () => {
    const t = await testInstance()
    const { people } = await team(t, 2)
    const [ada, bob] = people as [Person, Person]
    const docId = `${ada.userId}/diary`
    await newDocument(t, docId, ada, [ada])
    await expect(getDocumentKeys(t.ctx(), { userId: bob.userId, docId })).rejects.toMatchObject({
      code: 'sync_access_denied',
    })
    expect((await getDocumentKeys(t.ctx(), { userId: ada.userId, docId })).readers).toHaveLength(1)
    // A ban keeps the keys from her while it lasts, and loses nothing that nobody else could give her again.
    await updateUser(t.ctx(), { id: ada.userId, banned: true })
    await Bun.sleep(500)
    const asked = getDocumentKeys(t.ctx(), { userId: ada.userId, docId })
    await expect(asked).rejects.toMatchObject({ code: 'sync_access_denied' })
    await updateUser(t.ctx(), { id: ada.userId, banned: false })
    const after = await getDocumentKeys(t.ctx(), { userId: ada.userId, docId })
    expect(after).toMatchObject({ keys: [{ epoch: 0 }], document: { pendingSince: null } })
  })
})

test('a vault that nobody can open is given up, and another takes its place', async () => {
  const t = await testInstance()
  const { docId, people } = await team(t, 2)
  const [ada, bob] = people as [Person, Person]
  await newDocument(t, docId, ada, people)
  await deleteVault(t.ctx(), bob.userId)
  await expect(deleteVault(t.ctx(), bob.userId)).rejects.toMatchObject({ code: 'resource_not_found' })
  const anew = await newcomer(t, bob.userId)
  const ring = await getDocumentKeys(t.ctx(), { userId: bob.userId, docId })
  expect(ring).toMatchObject({ keys: [], document: { pendingSince: null } })
  expect(ring.readers.find((reader) => reader.userId === bob.userId)).toMatchObject({
    hasKey: false,
    publicKey: anew.keys.public_key,
  })
  await giveDocumentKeys(t.ctx(), { userId: ada.userId, docId, grants: await ada.grants(docId, 0, [bob.userId]) })
  expect((await getDocumentKeys(t.ctx(), { userId: bob.userId, docId })).keys).toHaveLength(1)
})

test('the keys of a deleted document go with it', async () => {
  const t = await testInstance()
  const { docId, people } = await team(t, 1)
  await newDocument(t, docId, people[0] as Person, people)
  await transaction(t.ctx(), async (tx) =>
    tx.db.execute(sql`insert into sync_rooms (instance_id, key, kind) values (${tx.instance.id}, ${docId}, 'e2ee')`),
  )
  await deleteDocument(t.ctx(), docId)
  const isGone = () =>
    findDocumentReaders(t.ctx(), docId).then(
      () => false,
      () => true,
    )
  expect(await until(isGone)).toBeLessThan(1000)
})

describe('E-9 rotation', () => {
  test('L4 a removed member’s keys are gone within a second, and the document waits for another key', async () => {
    const t = await testInstance()
    const { docId, organizationId, people } = await team(t, 3)
    const [ada, bob, carol] = people as [Person, Person, Person]
    await newDocument(t, docId, ada, people)
    await removeMember(t.ctx(), { organizationId, userId: carol.userId })
    const pending = async () => (await findDocumentReaders(t.ctx(), docId)).pendingSince !== null
    expect(await until(pending)).toBeLessThan(1000)
    const ring = await getDocumentKeys(t.ctx(), { userId: ada.userId, docId })
    expect(ring.readers.map((reader) => reader.userId).sort()).toEqual([ada.userId, bob.userId].sort())
    const held = await transaction(t.ctx(), (tx) =>
      tx.db.execute(sql`select from vault_document_keys where user_id = ${carol.userId}`),
    )
    expect(held).toHaveLength(0)

    const rotate = async (by: Person, recipients: Person[], from = 0) =>
      rotateDocumentKey(t.ctx(), {
        ...{ userId: by.userId, docId, from, keyRecord: recordOf(from), reason: 'removal', keyHash: by.random(32) },
        grants: await by.grants(
          docId,
          from + 1,
          recipients.map((one) => one.userId),
        ),
      })
    await expect(rotate(carol, [ada, bob])).rejects.toMatchObject({ code: 'sync_access_denied' })
    await expect(rotate(ada, [ada, bob, carol])).rejects.toMatchObject({
      code: 'conflict',
      details: { meta: { surplus: [carol.userId] } },
    })
    await expect(rotate(ada, [ada])).rejects.toMatchObject({ details: { meta: { missing: [bob.userId] } } })
    // Two at once: one of them is the next epoch.
    const both = await Promise.allSettled([rotate(ada, [ada, bob]), rotate(bob, [ada, bob])])
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(both.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'conflict' } })
    const after = await getDocumentKeys(t.ctx(), { userId: bob.userId, docId })
    expect(after).toMatchObject({ document: { epoch: 1, pendingSince: null }, keys: [{ epoch: 0 }, { epoch: 1 }] })
    await expect(rotate(ada, [ada, bob])).rejects.toMatchObject({ code: 'conflict' })
  })

  test('L4 a lost right, a ban and a deleted account are removals as well', async () => {
    const t = await testInstance()
    const { docId, organizationId, people } = await team(t, 4)
    const [ada, bob, carol, dan] = people as [Person, Person, Person, Person]
    await newDocument(t, docId, ada, people)
    const holders = async () => {
      const { readers } = await findDocumentReaders(t.ctx(), docId)
      const rows = await transaction(t.ctx(), (tx) =>
        tx.db.execute<{ user_id: string }>(
          sql`select user_id from vault_document_keys where doc_id = ${docId} and withheld_since is null`,
        ),
      )
      return { readers: readers.length, holders: rows.length }
    }
    const without = async (expected: number) => {
      expect(await until(async () => (await holders()).holders === expected)).toBeLessThan(1000)
      expect((await holders()).readers).toBe(expected)
    }
    await deleteUser(t.ctx(), dan.userId)
    await without(3)
    await updateUser(t.ctx(), { id: carol.userId, banned: true })
    await without(2)
    await changeMemberRole(t.ctx(), { organizationId, userId: bob.userId, role: 'org:admin' })
    expect((await holders()).holders).toBe(2)
    const rules = [{ pattern: '*', read: 'org:plans:read' }]
    await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { sync: { rules } })
    await without(0)
    expect((await findDocumentReaders(t.ctx(), docId)).pendingSince).not.toBeNull()
  })
})

test('E-9 a key is due to be replaced after ninety days, and one that somebody lost at once', async () => {
  const t = await testInstance()
  const { docId, people } = await team(t, 1)
  const [ada] = people as [Person]
  const due = async () => (await getDocumentKeys(t.ctx(), { userId: ada.userId, docId })).due
  expect(await due()).toBeUndefined()
  await newDocument(t, docId, ada, [ada])
  t.advance(90 * 24 * 60 * 60_000 - 60_000)
  expect(await due()).toBeUndefined()
  t.advance(60_000)
  expect(await due()).toBe('age')
  await rotateDocumentKey(t.ctx(), {
    ...{ userId: ada.userId, docId, from: 0, keyRecord: recordOf(0), reason: 'age', keyHash: ada.random(32) },
    grants: await ada.grants(docId, 1, [ada.userId]),
  })
  expect(await due()).toBeUndefined()
})

describe('keys that nobody else could give again', () => {
  const hidden = [{ pattern: '*', read: 'org:plans:read' }]
  const denied = { code: 'sync_access_denied' }

  test('L4 a mistake in the rules takes everybody’s right and nobody’s document', async () => {
    const t = await testInstance()
    const { docId, organizationId, people } = await team(t, 4)
    const [ada, bob, carol, dan] = people as [Person, Person, Person, Person]
    await newDocument(t, docId, ada, [ada, bob, carol])
    const rule = (rules: typeof hidden) =>
      t.server.runtime.instances.changeSettings(t.ctx().instance.id, { sync: { rules } })
    await rule(hidden)
    const withheld = async () => (await findDocumentReaders(t.ctx(), docId)).withheldFrom
    await until(async () => (await withheld()).length === 3)
    for (const { userId } of people)
      await expect(getDocumentKeys(t.ctx(), { userId, docId })).rejects.toMatchObject(denied)
    // Somebody who leaves while nobody may read: what is kept for her is for her alone.
    await removeMember(t.ctx(), { organizationId, userId: carol.userId })
    await rule([])
    await until(async () => (await findDocumentReaders(t.ctx(), docId)).readers.length === 3)
    await expect(getDocumentKeys(t.ctx(), { userId: carol.userId, docId })).rejects.toMatchObject(denied)
    expect((await getDocumentKeys(t.ctx(), { userId: dan.userId, docId })).keys).toEqual([])
    expect((await getDocumentKeys(t.ctx(), { userId: bob.userId, docId })).keys).toMatchObject([{ epoch: 0 }])
    await told(t, docId, ['documentKey.withdrawn', 'documentKey.restored'])
    // The key is due to be replaced. Whoever does it gives it to those who may read, and what was kept besides is gone.
    expect(await withheld()).toEqual([ada.userId, carol.userId].sort())
    await rotateDocumentKey(t.ctx(), {
      ...{ userId: bob.userId, docId, from: 0, keyRecord: recordOf(0), reason: 'removal', keyHash: bob.random(32) },
      grants: await bob.grants(docId, 1, [ada.userId, bob.userId, dan.userId]),
    })
    expect(await withheld()).toEqual([ada.userId])
    const ring = await getDocumentKeys(t.ctx(), { userId: ada.userId, docId })
    expect(ring.keys.map(({ epoch }) => epoch)).toEqual([0, 1])
    expect(await withheld()).toEqual([])
    const rows = await transaction(t.ctx(), (tx) =>
      tx.db.execute(sql`select from vault_document_keys where user_id = ${carol.userId}`),
    )
    expect(rows).toHaveLength(0)
  })

  test('L4 the last one who holds a key may be let in again, and gets it then and not before', async () => {
    const t = await testInstance()
    const { docId, organizationId, people } = await team(t, 3)
    const [ada, bob, carol] = people as [Person, Person, Person]
    await newDocument(t, docId, bob, [bob, carol])
    // Both at once: one of them is the last.
    await Promise.all([bob, carol].map(({ userId }) => removeMember(t.ctx(), { organizationId, userId })))
    await until(async () => (await findDocumentReaders(t.ctx(), docId)).withheldFrom.length > 0)
    const { withheldFrom, pendingSince } = await findDocumentReaders(t.ctx(), docId)
    expect(pendingSince).not.toBeNull()
    for (const { userId } of [bob, carol])
      await expect(getDocumentKeys(t.ctx(), { userId, docId })).rejects.toMatchObject(denied)
    // Nobody takes their place with another key.
    expect((await getDocumentKeys(t.ctx(), { userId: ada.userId, docId })).keys).toEqual([])
    const another = await ada.grants(docId, 0, [ada.userId])
    await expect(giveDocumentKeys(t.ctx(), { userId: ada.userId, docId, grants: another })).rejects.toMatchObject({
      code: 'conflict',
    })
    const last = people.find(({ userId }) => userId === withheldFrom[0]) as Person
    await addMember(t.ctx(), { organizationId, userId: last.userId, role: 'org:member' })
    expect((await getDocumentKeys(t.ctx(), { userId: last.userId, docId })).keys).toMatchObject([{ epoch: 0 }])
    const grants = await last.grants(docId, 0, [ada.userId])
    await giveDocumentKeys(t.ctx(), { userId: last.userId, docId, grants: [...grants, ...grants] })
    expect((await getDocumentKeys(t.ctx(), { userId: ada.userId, docId })).keys).toHaveLength(1)
    // An account that is gone opens nothing any more: nothing is kept for it.
    await Promise.all([last, ada].map(({ userId }) => deleteUser(t.ctx(), userId)))
    await until(async () => {
      const rows = await transaction(t.ctx(), (tx) =>
        tx.db.execute(sql`select from vault_document_keys where doc_id = ${docId}`),
      )
      return rows.length === 0
    })
  })

  test('L1 a key that its recipient refuses counts for nothing, and is given by others only', async () => {
    const t = await testInstance()
    const { docId, people } = await team(t, 4)
    const [ada, bob, mallory, stranger] = people as [Person, Person, Person, Person]
    await newDocument(t, docId, ada, [ada, mallory])
    const give = async (by: Person) =>
      giveDocumentKeys(t.ctx(), { userId: by.userId, docId, grants: await by.grants(docId, 0, [bob.userId]) })
    const ofBob = async () => (await getDocumentKeys(t.ctx(), { userId: bob.userId, docId })).keys
    const refuse = (by: Person) => refuseDocumentKey(t.ctx(), { userId: by.userId, docId, epoch: 0 })
    await give(mallory)
    expect(await ofBob()).toMatchObject([{ createdBy: mallory.userId }])
    await refuse(bob)
    expect(await ofBob()).toEqual([])
    await expect(refuse(bob)).rejects.toMatchObject({ code: 'resource_not_found' })
    await expect(refuse(stranger)).rejects.toMatchObject({ code: 'resource_not_found' })
    // Who has refused holds nothing to give, and Mallory is not asked again.
    await expect(give(bob)).rejects.toMatchObject({ code: 'conflict' })
    await give(mallory)
    expect(await ofBob()).toEqual([])
    const { readers } = await findDocumentReaders(t.ctx(), docId)
    expect(readers.find(({ userId }) => userId === bob.userId)?.hasKey).toBe(false)
    await give(ada)
    expect(await ofBob()).toMatchObject([{ createdBy: ada.userId }])
    await give(mallory)
    expect(await ofBob()).toMatchObject([{ createdBy: ada.userId }])
    await told(t, docId, ['documentKey.refused'])
  })
})

describe('approval of a device', () => {
  test('L8 takes each step once and in order, is read once, and ends', async () => {
    const t = await testInstance()
    const { people } = await team(t, 2)
    const [ada, bob] = people as [Person, Person]
    const { userId } = ada
    const id = ada.random(16)
    await createPairing(t.ctx(), { userId, id })
    await expect(createPairing(t.ctx(), { userId: bob.userId, id })).rejects.toMatchObject({ code: 'conflict' })
    const step = (step: 'offer' | 'reveal' | 'sealed', by = userId) =>
      advancePairing(t.ctx(), { userId: by, id, step, value: ada.random(32) })
    await expect(step('reveal')).rejects.toMatchObject({ code: 'conflict' })
    await expect(step('sealed')).rejects.toMatchObject({ code: 'conflict' })
    await expect(step('offer', bob.userId)).rejects.toMatchObject({ code: 'resource_not_found' })
    await step('offer')
    await expect(step('offer')).rejects.toMatchObject({ code: 'conflict' })
    await step('reveal')
    expect(await takePairing(t.ctx(), { userId, id })).toBeUndefined()
    await step('sealed')
    await expect(takePairing(t.ctx(), { userId: bob.userId, id })).rejects.toMatchObject({ code: 'resource_not_found' })
    const taken = await Promise.allSettled([1, 2, 3].map(() => takePairing(t.ctx(), { userId, id })))
    expect(taken.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    await expect(takePairing(t.ctx(), { userId, id })).rejects.toMatchObject({ code: 'resource_not_found' })
  })

  test('L8 what is approved in the moment of the question is there at the next one', async () => {
    const t = await testInstance()
    const [ada] = (await team(t, 1)).people as [Person]
    const { userId } = ada
    const id = ada.random(16)
    await createPairing(t.ctx(), { userId, id })
    const step = (step: 'offer' | 'reveal' | 'sealed', value = ada.random(32)) =>
      advancePairing(t.ctx(), { userId, id, step, value })
    await step('offer')
    await step('reveal')
    const sealed = ada.random(32)
    // Between the two statements of the question.
    const asked = transaction(t.ctx(), async (tx) => {
      const db = new Proxy(tx.db, {
        get: (target, name) => {
          const value = Reflect.get(target, name, target)
          if (name !== 'update') return typeof value === 'function' ? value.bind(target) : value
          return (table: never) => ({
            set: (values: never) => ({
              where: (condition: never) => ({
                returning: async (fields: never) => {
                  const rows = await target.update(table).set(values).where(condition).returning(fields)
                  await step('sealed', sealed)
                  return rows
                },
              }),
            }),
          })
        },
      })
      return takePairing({ ...tx, db }, { userId, id })
    })
    expect(await asked).toBeUndefined()
    expect(await takePairing(t.ctx(), { userId, id })).toBe(sealed)
  })

  test('L8 what was approved is there for a minute, and a pairing for ten', async () => {
    const t = await testInstance()
    const [ada] = (await team(t, 1)).people as [Person]
    const { userId } = ada
    const [late, old] = [ada.random(16), ada.random(16)]
    for (const id of [late, old]) await createPairing(t.ctx(), { userId, id })
    for (const step of ['offer', 'reveal', 'sealed'] as const)
      await advancePairing(t.ctx(), { userId, id: late, step, value: ada.random(32) })
    t.advance(60_001)
    await expect(takePairing(t.ctx(), { userId, id: late })).rejects.toMatchObject({ code: 'resource_not_found' })
    t.advance(540_000)
    await expect(
      advancePairing(t.ctx(), { userId, id: old, step: 'offer', value: ada.random(32) }),
    ).rejects.toMatchObject({ code: 'resource_not_found' })
  })
})
