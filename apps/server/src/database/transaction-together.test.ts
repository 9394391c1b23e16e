import { expect, test } from 'bun:test'
import { and, asc, eq, like, sql } from 'drizzle-orm'
import { emit } from '../domains/events/index.ts'
import { events } from '../domains/events/tables.ts'
import { clients } from '../domains/sessions/tables.ts'
import { UsherError } from '../kernel/errors.ts'
import { newId } from '../kernel/ids.ts'
import { testInstance } from '../testing/server.ts'
import { type Tx, transaction, transactionTogether, writeLater } from './index.ts'

type Test = Awaited<ReturnType<typeof testInstance>>

const transactionOf = async (tx: Tx) => {
  const [row] = await tx.db.execute<{ id: string }>(sql`select txid_current()::text as id`)
  return row?.id
}

const ctxFrom = (t: Test, ip: string) => ({ ...t.ctx(), request: { ip, userAgent: undefined } })

/** A client and a fact about it, by a caller of its own. @returns its transaction */
const write = (t: Test, id: string, fail = () => {}) =>
  transactionTogether(ctxFrom(t, `from ${id}`), async (tx) => {
    const now = tx.now()
    writeLater(tx, clients, { id, instanceId: tx.instance.id, createdAt: now, updatedAt: now })
    emit(tx, { type: 'thing.updated', subject: id, data: { 'a "name"': 'back\\slash, {comma}', none: null } })
    const made = await transactionOf(tx)
    fail()
    return made
  })

const written = (t: Test) =>
  transaction(t.ctx(), async (tx) => ({
    clients: (await tx.db.select().from(clients).orderBy(asc(clients.id))).map(({ id }) => id),
    facts: await tx.db
      .select({ subject: events.subject, data: events.data, context: events.context })
      .from(events)
      .where(and(eq(events.instanceId, t.ctx().instance.id), like(events.type, 'thing.%')))
      .orderBy(asc(events.subject)),
  }))

const newIds = (n: number) => Array.from({ length: n }, () => newId('client')).sort()
const factOf = (id: string) => ({
  subject: id,
  data: { 'a "name"': 'back\\slash, {comma}', none: null },
  context: { ip: `from ${id}` },
})

test('what comes in the same moment is one transaction, in which each has its own request', async () => {
  const t = await testInstance()
  const ids = newIds(3)
  const made = await Promise.all(ids.map((id) => write(t, id)))
  expect(new Set(made).size).toBe(1)
  expect(await written(t)).toEqual({ clients: ids, facts: ids.map(factOf) })
})

test('what comes from another instance, or later, has its own', async () => {
  const [t, other] = [await testInstance(), await testInstance()]
  const [a = '', b = '', c = ''] = newIds(3)
  const made = await Promise.all([write(t, a), write(other, b)])
  expect(new Set([...made, await write(t, c)]).size).toBe(3)
  expect((await written(t)).clients).toEqual([a, c].sort())
  expect((await written(other)).clients).toEqual([b])
})

test('one that fails leaves nothing, and the others are done all the same', async () => {
  const t = await testInstance()
  const [a = '', b = '', c = ''] = newIds(3)
  const refuse = () => {
    throw new UsherError('conflict', 'no')
  }
  const outcomes = await Promise.allSettled([write(t, a), write(t, b, refuse), write(t, c)])
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(outcomes[1]).toMatchObject({ reason: { code: 'conflict' } })
  expect(await written(t)).toEqual({ clients: [a, c], facts: [a, c].map(factOf) })
})

test('a row that the database refuses at the end is the failure of its writer alone', async () => {
  const t = await testInstance()
  const [a = '', b = ''] = newIds(2)
  await write(t, a)
  const outcomes = await Promise.allSettled([write(t, b), write(t, a)])
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
  expect((await written(t)).clients).toEqual([a, b])
})

test('who only reads is not disturbed by what another reader throws, nor by a statement of theirs that fails', async () => {
  const t = await testInstance()
  let tries = 0
  const read = (work: (tx: Tx) => Promise<unknown>) => transactionTogether(t.ctx(), work, { reads: true })
  const outcomes = await Promise.allSettled([
    read(transactionOf),
    read(() => Promise.reject(new UsherError('conflict', 'no'))),
    read((tx) => {
      tries += 1
      return transactionOf(tx)
    }),
  ])
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(tries).toBe(1)
  const broken = await Promise.allSettled([read((tx) => tx.db.execute(sql`select 1 / 0`)), read(transactionOf)])
  expect(broken.map(({ status }) => status)).toEqual(['rejected', 'fulfilled'])
})

test('who can wait shares a transaction with whom comes within that time, and keeps nobody else waiting', async () => {
  const t = await testInstance()
  const read = (patience?: number) =>
    transactionTogether(t.ctx(), transactionOf, { reads: true, ...(patience && { patience }) })
  const startedAt = performance.now()
  const first = read(200)
  await Bun.sleep(20)
  const later = read(200)
  const inHaste = read().then((id) => ({ id, after: performance.now() - startedAt }))
  expect(await first).toBe(await later)
  expect((await inHaste).id).not.toBe(await first)
  expect((await inHaste).after).toBeLessThan(200)
})
