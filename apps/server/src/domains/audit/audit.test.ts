import { expect, test } from 'bun:test'
import { and, eq } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import { createCtx } from '../../runtime.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { emit } from '../events/index.ts'
import { createOrganization, updateOrganization } from '../organizations/index.ts'
import { createUser } from '../users/index.ts'
import { hashEntry, noHash } from './chain.ts'
import { AuditRecorder, deleteOldEntries, listEntries, recordEvents, verifyChains } from './index.ts'
import { auditChains, auditCursors, auditEntries } from './tables.ts'
import { assignAll, recordAll } from './testing.ts'

const day = 86_400_000

/** An organization whose log has `size` entries: its making, its creator's membership, and changes. */
async function organizationWithLog(size = 8) {
  const t = await testInstance()
  const user = await createUser(t.ctx(), { emailAddresses: [{ emailAddress: 'ada@example.com', verifiedBy: 'admin' }] })
  const { id } = await createOrganization(t.ctx(), { name: 'Acme', createdBy: user.id })
  for (let i = 3; i <= size; i += 1) await updateOrganization(t.ctx(), { id, name: `Acme ${i}` })
  await recordAll(t)
  return { t, organizationId: id, userId: user.id }
}

const entriesOf = async (t: TestInstance, organizationId: string) =>
  (await listEntries(t.ctx(), { organizationId, limit: 500 })).data.toReversed()

const at = (t: TestInstance, organizationId: string, place: number) =>
  and(
    eq(auditEntries.instanceId, t.ctx().instance.id),
    eq(auditEntries.chain, organizationId),
    eq(auditEntries.place, place),
  )

/** As somebody who got hold of the database would. */
const tamper = (t: TestInstance, work: (tx: Tx) => Promise<unknown>) => transaction(t.ctx(), work)

test('what happens in an organization stands in its log: who, what, to whom, in order, each once', async () => {
  const { t, organizationId, userId } = await organizationWithLog(5)
  const entries = await entriesOf(t, organizationId)
  expect(entries.map(({ place }) => place)).toEqual([1, 2, 3, 4, 5])
  expect(entries.map(({ action }) => action)).toEqual([
    'organization.created',
    'organizationMembership.created',
    ...Array(3).fill('organization.updated'),
  ])
  const membership = entries.find(({ action }) => action === 'organizationMembership.created')
  expect(membership).toMatchObject({
    actor: { type: 'backend' },
    targets: [{ type: 'organization_membership' }, { type: 'user', id: userId, name: 'ada@example.com' }],
    data: { role: 'org:admin' },
  })
  // Nothing is written twice, and reading again finds nothing new.
  await recordAll(t)
  expect(await entriesOf(t, organizationId)).toEqual(entries)
})

test('of two servers that write at once, one does', async () => {
  const { t, organizationId } = await organizationWithLog(2)
  for (let i = 0; i < 20; i += 1) await updateOrganization(t.ctx(), { id: organizationId, name: `Acme ${i}` })
  await assignAll(t)
  await Promise.all([recordEvents(t.ctx()), recordEvents(t.ctx()), recordEvents(t.ctx())])
  await recordAll(t)
  const places = (await entriesOf(t, organizationId)).map(({ place }) => place)
  expect(places).toEqual(Array.from({ length: 22 }, (_, i) => i + 1))
  expect((await verifyChains(t.ctx())).problems).toEqual([])
})

test('the recorder brings every instance up to its stream, also when one cannot be written', async () => {
  const [first, second] = [await testInstance(), await testInstance()]
  const { runtime } = first.server
  const make = async (t: TestInstance) => (await createOrganization(t.ctx(), { name: 'Acme' })).id
  const ids = { [first.ctx().instance.id]: await make(first), [second.ctx().instance.id]: await make(second) }
  await Promise.all([first, second].map(assignAll))
  const broken = first.ctx().instance.id
  const told: unknown[] = []
  const recorder = new AuditRecorder({
    ...runtime,
    log: { ...runtime.log, error: (about: unknown) => told.push(about) } as unknown as typeof runtime.log,
    ctxOf: (instance) => {
      const ctx = createCtx(runtime, instance, { type: 'system', job: 'audit' })
      if (instance.id !== broken) return ctx
      return {
        ...ctx,
        database: { ...ctx.database, tenant: { begin: () => Promise.reject(new Error('broken')) } },
      } as never
    },
  })
  await recorder.run()
  expect(told).toMatchObject([{ instance: broken }])
  expect(await entriesOf(second, ids[second.ctx().instance.id] ?? '')).not.toEqual([])
  await recordAll(first)
  expect(await entriesOf(first, ids[broken] ?? '')).not.toEqual([])
})

test('a log that nobody touched is sound', async () => {
  const { t, organizationId } = await organizationWithLog()
  const { problems, entries, heads } = await verifyChains(t.ctx(), { organizationId })
  expect(problems).toEqual([])
  expect(entries).toBe(8)
  expect(heads).toMatchObject([{ chain: organizationId, place: 8 }])
})

test('an entry that was changed is named, whatever of it was changed', async () => {
  const changes: Partial<typeof auditEntries.$inferInsert>[] = [
    { action: 'organization.deleted' },
    { actor: { type: 'user', id: 'user_somebody_else' } },
    { targets: [] },
    { context: { ip: '192.0.2.1' } },
    { data: { role: 'org:member' } },
    { occurredAt: new Date(0) },
    { position: 9_999_999 },
    { hash: 'f'.repeat(64) },
    { previousHash: 'f'.repeat(64) },
  ]
  for (const change of changes) {
    const { t, organizationId } = await organizationWithLog(4)
    const [, second] = await entriesOf(t, organizationId)
    await tamper(t, (tx) =>
      tx.db
        .update(auditEntries)
        .set(change)
        .where(at(t, organizationId, 2)),
    )
    const { problems } = await verifyChains(t.ctx(), { organizationId })
    expect(problems).toContainEqual({ chain: organizationId, place: 2, id: second?.id, problem: 'was changed' })
  }
})

test('entries that were removed are named, also the first, the last and all of them', async () => {
  for (const place of [1, 4, 8]) {
    const { t, organizationId } = await organizationWithLog()
    await tamper(t, (tx) => tx.db.delete(auditEntries).where(at(t, organizationId, place)))
    const { problems } = await verifyChains(t.ctx(), { organizationId })
    expect(problems).toContainEqual({ chain: organizationId, place, problem: `entry ${place} was removed` })
  }
  const { t, organizationId } = await organizationWithLog()
  await tamper(t, (tx) => tx.db.delete(auditEntries).where(eq(auditEntries.chain, organizationId)))
  expect((await verifyChains(t.ctx(), { organizationId })).problems).toEqual([
    { chain: organizationId, place: 1, problem: 'entries 1 to 8 were removed' },
  ])
})

test('a log that is not there is not called sound, nor is one of which the ends are gone', async () => {
  const { t, organizationId } = await organizationWithLog()
  const { heads } = await verifyChains(t.ctx(), { organizationId })
  await tamper(t, (tx) => tx.db.delete(auditChains).where(eq(auditChains.chain, organizationId)))
  const problem = 'has entries, and nothing says where it begins and ends'
  expect((await verifyChains(t.ctx(), { organizationId })).problems).toEqual([
    { chain: organizationId, place: 1, problem },
  ])
  await tamper(t, (tx) => tx.db.delete(auditEntries).where(eq(auditEntries.chain, organizationId)))
  await expect(verifyChains(t.ctx(), { organizationId })).rejects.toMatchObject({ code: 'resource_not_found' })
  expect((await verifyChains(t.ctx(), { organizationId, heads })).problems).toHaveLength(1)
})

test('entries that changed places are named, with the places that they had', async () => {
  const { t, organizationId } = await organizationWithLog()
  const entries = await entriesOf(t, organizationId)
  await tamper(t, async (tx) => {
    for (const [from, to] of [
      [3, 99],
      [5, 3],
      [99, 5],
    ] as const)
      await tx.db
        .update(auditEntries)
        .set({ place: to })
        .where(at(t, organizationId, from))
  })
  const { problems } = await verifyChains(t.ctx(), { organizationId })
  expect(problems).toContainEqual({
    chain: organizationId,
    place: 3,
    id: entries[4]?.id,
    problem: 'was moved here from place 5',
  })
  expect(problems).toContainEqual({
    chain: organizationId,
    place: 5,
    id: entries[2]?.id,
    problem: 'was moved here from place 3',
  })
})

test('who rewrites the whole chain, hashes and ends included, cannot seal it without USHER_SECRET', async () => {
  const { t, organizationId } = await organizationWithLog()
  await tamper(t, async (tx) => {
    await tx.db.delete(auditEntries).where(at(t, organizationId, 8))
    const [last] = await tx.db
      .select()
      .from(auditEntries)
      .where(at(t, organizationId, 7))
    await tx.db
      .update(auditChains)
      .set({ lastPlace: 7, lastHash: last?.hash ?? '' })
      .where(eq(auditChains.chain, organizationId))
  })
  const { problems } = await verifyChains(t.ctx(), { organizationId })
  expect(problems.map(({ problem }) => problem)).toEqual([
    'its recorded beginning and end are not those that Usher sealed',
  ])

  await tamper(t, (tx) => tx.db.delete(auditChains).where(eq(auditChains.chain, organizationId)))
  const { problems: found } = await verifyChains(t.ctx())
  expect(found.map(({ chain }) => chain)).toEqual([organizationId, t.ctx().instance.id])
})

test('what was rewritten does not become sound by the entries that follow, nor by old ones that go', async () => {
  const { t, organizationId } = await organizationWithLog()
  // All of it anew, as if the fifth entry had said something else.
  await tamper(t, async (tx) => {
    let previousHash = noHash
    for (const { hash: _, ...entry } of await entriesOf(t, organizationId)) {
      const forged = { ...entry, previousHash, ...(entry.place === 5 && { context: { ip: '192.0.2.1' } }) }
      previousHash = hashEntry(tx.instance.id, forged)
      await tx.db
        .update(auditEntries)
        .set({ ...forged, hash: previousHash })
        .where(at(t, organizationId, entry.place))
    }
    await tx.db.update(auditChains).set({ lastHash: previousHash }).where(eq(auditChains.chain, organizationId))
  })
  await updateOrganization(t.ctx(), { id: organizationId, name: 'Acme, as if nothing had been' })
  await recordAll(t)
  const problems = async () => (await verifyChains(t.ctx(), { organizationId })).problems.map(({ problem }) => problem)
  const unsealed = ['its recorded beginning and end are not those that Usher sealed']
  expect(await entriesOf(t, organizationId)).toHaveLength(9)
  expect(await problems()).toEqual(unsealed)

  t.advance(366 * day)
  await transaction(t.ctx(), (tx) => deleteOldEntries(tx, 2))
  expect(await problems()).toEqual(unsealed)
})

test('a chain that was put back to an earlier state differs from what was known of it', async () => {
  const { t, organizationId } = await organizationWithLog()
  const [ends] = await transaction(t.ctx(), (tx) =>
    tx.db.select().from(auditChains).where(eq(auditChains.chain, organizationId)),
  )
  const [cursor] = await transaction(t.ctx(), (tx) => tx.db.select().from(auditCursors))
  await updateOrganization(t.ctx(), { id: organizationId, name: 'What must not be known' })
  await recordAll(t)
  const { heads } = await verifyChains(t.ctx())
  expect((await verifyChains(t.ctx(), { heads })).problems).toEqual([])
  await tamper(t, async (tx) => {
    await tx.db.delete(auditEntries).where(at(t, organizationId, 9))
    await tx.db
      .update(auditChains)
      .set(ends ?? {})
      .where(eq(auditChains.chain, organizationId))
  })
  // In itself it is sound, as it was sealed like that once, but there was more.
  const { id } = t.ctx().instance
  expect((await verifyChains(t.ctx())).problems).toEqual([
    {
      chain: id,
      place: 0,
      problem: expect.stringMatching(
        /put back to an earlier state: \d+ entries were written, and the logs reach to \d+$/,
      ),
    },
  ])
  // All of it, put back together, shows by what was kept elsewhere alone.
  await tamper(t, (tx) => tx.db.update(auditCursors).set(cursor ?? {}))
  expect((await verifyChains(t.ctx())).problems).toEqual([])
  expect((await verifyChains(t.ctx(), { heads })).problems).toMatchObject([{ chain: organizationId, place: 9 }])
})

test('a log that is taken away as a whole is missed, also once it has begun anew', async () => {
  const { t, organizationId } = await organizationWithLog()
  await tamper(t, async (tx) => {
    await tx.db.delete(auditEntries).where(eq(auditEntries.chain, organizationId))
    await tx.db.delete(auditChains).where(eq(auditChains.chain, organizationId))
  })
  const problems = async () => (await verifyChains(t.ctx())).problems.map(({ problem }) => problem)
  const missed = [expect.stringMatching(/^a log is gone, or/)]
  expect(await problems()).toEqual(missed)
  await updateOrganization(t.ctx(), { id: organizationId, name: 'As if new' })
  await recordAll(t)
  expect(await entriesOf(t, organizationId)).toHaveLength(1)
  expect(await problems()).toEqual(missed)
})

test('how far the stream was read cannot be moved to have events left out or told twice', async () => {
  const moves: ((tx: Tx) => Promise<unknown>)[] = [
    (tx) => tx.db.update(auditCursors).set({ position: 3 }),
    (tx) => tx.db.update(auditCursors).set({ position: 1_000 }),
    (tx) => tx.db.update(auditCursors).set({ entries: 3 }),
    (tx) => tx.db.update(auditCursors).set({ position: 0, entries: 0, sealed: '' }),
    (tx) => tx.db.delete(auditCursors),
  ]
  for (const move of moves) {
    const { t, organizationId } = await organizationWithLog()
    await tamper(t, move)
    const unsealed = [expect.stringMatching(/^the count of all entries is not the one that Usher sealed/)]
    const problems = async () => (await verifyChains(t.ctx())).problems.map(({ problem }) => problem)
    expect(await problems()).toEqual(unsealed)
    await updateOrganization(t.ctx(), { id: organizationId, name: 'Later' })
    await recordAll(t)
    expect(await problems()).toEqual(unsealed)
  }
})

test('old entries go by the retention of the instance, the oldest first, and what stays is sound', async () => {
  const { t, organizationId } = await organizationWithLog()
  const deleteAll = async () => {
    for (let gone = 1; gone > 0; ) gone = await transaction(t.ctx(), (tx) => deleteOldEntries(tx, 2))
  }
  await deleteAll()
  expect(await entriesOf(t, organizationId)).toHaveLength(8)
  // Time passes for the first five.
  await transaction(t.ctx(), async (tx) => {
    emit(tx, { type: 'organization.updated', subject: organizationId, data: {} })
  })
  await recordAll(t)
  t.advance(364 * day)
  await deleteAll()
  expect(await entriesOf(t, organizationId)).toHaveLength(9)
  const { heads } = await verifyChains(t.ctx())
  t.advance(3 * day)
  await deleteAll()
  expect(await entriesOf(t, organizationId)).toHaveLength(0)
  expect((await verifyChains(t.ctx(), { heads })).problems).toEqual([])
  // The chain goes on where it was.
  await updateOrganization(t.ctx(), { id: organizationId, name: 'Acme again' })
  await recordAll(t)
  expect((await entriesOf(t, organizationId)).map(({ place }) => place)).toEqual([10])
  expect((await verifyChains(t.ctx())).problems).toEqual([])

  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { audit: { retentionDays: 0 } })
  t.advance(10_000 * day)
  await deleteAll()
  expect(await entriesOf(t, organizationId)).toHaveLength(1)
})

test('a log goes on whatever was done to it, and what was done still shows', async () => {
  const forged = async (work: (tx: Tx, organizationId: string) => Promise<unknown>) => {
    const { t, organizationId } = await organizationWithLog()
    await tamper(t, (tx) => work(tx, organizationId))
    await updateOrganization(t.ctx(), { id: organizationId, name: 'Afterwards' })
    await recordAll(t)
    const entries = await entriesOf(t, organizationId)
    expect(entries.at(-1)?.action).toBe('organization.updated')
    expect(entries.at(-1)?.occurredAt.getTime()).toBeGreaterThan(Date.now() - 60_000)
    const { problems } = await verifyChains(t.ctx(), { organizationId })
    expect(problems.length).toBeGreaterThan(0)
    return entries.map(({ place }) => place)
  }
  const ofChain = (id: string) => eq(auditChains.chain, id)
  const all = [1, 2, 3, 4, 5, 6, 7, 8]
  expect(await forged((tx, id) => tx.db.delete(auditChains).where(ofChain(id)))).toEqual([...all, 9])
  expect(await forged((tx, id) => tx.db.update(auditChains).set({ lastPlace: 3 }).where(ofChain(id)))).toEqual([
    ...all,
    9,
  ])
  const added = await forged(async (tx, id) => {
    const [last] = await tx.db.select().from(auditEntries).where(eq(auditEntries.chain, id)).limit(1)
    if (last) await tx.db.insert(auditEntries).values({ ...last, id: 'audit_forged', place: 9 })
  })
  expect(added).toEqual([...all, 9, 10])
})

test('a log that was tampered with stays as it is, and does not keep others from being shortened', async () => {
  const { t, organizationId, userId } = await organizationWithLog()
  const others = await Promise.all(
    ['One', 'Two'].map((name) => createOrganization(t.ctx(), { name, createdBy: userId })),
  )
  await recordAll(t)
  await tamper(t, (tx) => tx.db.delete(auditEntries).where(at(t, organizationId, 8)))
  t.advance(366 * day)
  for (let gone = 1; gone > 0; ) gone = await transaction(t.ctx(), (tx) => deleteOldEntries(tx, 500))
  for (const { id } of others) expect(await entriesOf(t, id)).toEqual([])
  expect(await entriesOf(t, organizationId)).toHaveLength(7)
})

test('what people do with their own accounts is in no log, and what is decided for the instance is in its own', async () => {
  const t = await testInstance()
  const user = await createUser(t.ctx(), { emailAddresses: [{ emailAddress: 'ada@example.com', verifiedBy: 'admin' }] })
  await transaction(t.ctx(), async (tx) => {
    emit(tx, { type: 'session.created', subject: 'sess_1', data: { user_id: user.id } })
    emit(tx, { type: 'role.created', subject: 'role_1', data: { key: 'org:editor' } })
  })
  const impersonated = {
    type: 'user',
    userId: user.id,
    sessionId: 'sess_2',
    clientId: 'client_1',
    organizationId: null,
  }
  await transaction(t.ctx({ ...impersonated, impersonatorId: 'user_support' } as never), async (tx) => {
    emit(tx, { type: 'user.updated', subject: user.id, data: {} })
  })
  await recordAll(t)
  const { data } = await listEntries(t.ctx(), { limit: 10 })
  expect(data.slice(0, 2).map(({ action, actor }) => [action, actor])).toEqual([
    ['user.updated', { type: 'user', id: user.id, name: 'ada@example.com', impersonator: 'user_support' }],
    ['role.created', { type: 'backend', id: 'backend' }],
  ])
})

test('a log of ten thousand entries is searched at once', async () => {
  const { t, organizationId } = await organizationWithLog(2)
  await transaction(t.ctx(), async (tx) => {
    for (let i = 0; i < 10_000; i += 1)
      emit(tx, { type: 'organization.updated', subject: organizationId, data: { change: `number ${i}` } })
  })
  await recordAll(t)
  const startedAt = performance.now()
  const { data } = await listEntries(t.ctx(), {
    organizationId,
    query: 'number 77',
    actions: ['organization.*'],
    limit: 50,
  })
  expect(performance.now() - startedAt).toBeLessThan(500)
  expect(data.length).toBe(50)
  expect((await verifyChains(t.ctx(), { organizationId })).problems).toEqual([])
}, 60_000)
