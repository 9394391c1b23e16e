import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import { connectOwner, testInstance } from '../../testing/server.ts'
import { emit } from './emit.ts'
import { listEvents } from './list-events.ts'
import { EventSequencer } from './sequencer.ts'

const fact = (subject: string, type = 'thing.updated') => ({ type, subject, data: {} })

type T = Awaited<ReturnType<typeof testInstance>>
const stream = async (t: T) => (await listEvents(t.ctx(), { limit: 500, types: ['thing.*'] })).data

async function until<R>(read: () => Promise<R>, holds: (value: R) => boolean): Promise<R> {
  for (const end = Date.now() + 5000; ; await Bun.sleep(10)) {
    const value = await read()
    if (holds(value)) return value
    if (Date.now() > end) throw new Error(`it never came to pass: ${JSON.stringify(value)}`)
  }
}

test('committed events get dense positions, each instance its own, and noise gets none', async () => {
  const [a, b] = [await testInstance(), await testInstance()]
  for (let i = 0; i < 20; i += 1) {
    await transaction(a.ctx(), async (tx) => {
      emit(tx, fact(`a_${i}`))
      emit(tx, fact(`a_${i}`, 'session.touched'))
    })
    await transaction(b.ctx(), async (tx) => emit(tx, fact(`b_${i}`)))
  }
  for (const [t, name] of [
    [a, 'a'],
    [b, 'b'],
  ] as const) {
    const events = await until(
      () => stream(t),
      (found) => found.length === 20,
    )
    expect(events.map((e) => e.subject)).toEqual(Array.from({ length: 20 }, (_, i) => `${name}_${i}`))
    const [first] = events
    expect(events.map((e) => e.position - (first?.position ?? 0))).toEqual(events.map((_, i) => i))
  }
})

test('what is committed late comes after what a reader has seen already, and rollbacks leave no gap', async () => {
  const t = await testInstance()
  let commit = () => {}
  const held = new Promise<void>((resolve) => {
    commit = resolve
  })
  const late = transaction(t.ctx(), async (tx) => {
    emit(tx, fact('early id'))
    tx.beforeCommit(() => held)
  })
  await Bun.sleep(50)
  const failed = transaction(t.ctx(), async (tx) => {
    emit(tx, fact('never'))
    tx.beforeCommit(() => Promise.reject(new Error('undone')))
  })
  await failed.catch(() => {})
  await transaction(t.ctx(), async (tx) => emit(tx, fact('later id')))
  const seen = await until(
    () => stream(t),
    (events) => events.length === 1,
  )
  commit()
  await late
  const all = await until(
    () => stream(t),
    (events) => events.length === 2,
  )
  expect(all.map((e) => [e.subject, e.position])).toEqual([
    ['later id', seen[0]?.position ?? 0],
    ['early id', (seen[0]?.position ?? 0) + 1],
  ])
  expect(all[0]?.id).toBeGreaterThan(all[1]?.id ?? 0)
})

test('several sequencers at once give each event one position, and keep the order of each subject', async () => {
  const t = await testInstance()
  const { database, log } = t.server.runtime
  const nodes = [new EventSequencer(database, log), new EventSequencer(database, log)]
  const subjects = ['x', 'y', 'z']
  let busy = true
  const assigning = nodes.map(async (node) => {
    while (busy) await node.assign()
  })
  await Promise.all(
    subjects.map(async (subject) => {
      for (let i = 0; i < 60; i += 1)
        await transaction(t.ctx(), async (tx) => emit(tx, { type: 'thing.updated', subject, data: { i } }))
    }),
  )
  const events = await until(
    () => stream(t),
    (found) => found.length === 180,
  )
  busy = false
  await Promise.all(assigning)
  expect(new Set(events.map((e) => e.position)).size).toBe(180)
  expect((events.at(-1)?.position ?? 0) - (events[0]?.position ?? 0)).toBe(179)
  for (const subject of subjects)
    expect(events.filter((e) => e.subject === subject).map((e) => e.data.i)).toEqual(
      Array.from({ length: 60 }, (_, i) => i),
    )
})

test('a few events are found among many, whatever the database believes of how many wait', async () => {
  const t = await testInstance()
  const { database } = t.server.runtime
  const instanceId = t.ctx().instance.id
  const sql = database.connectSystem(1)
  const many = 20_000
  // Counted while all of them wait, as it happens in the middle of many; a moment later none does.
  await sql`
    insert into events (instance_id, type, subject, actor, data, pending)
    select ${instanceId}, 'thing.updated', 'thing_' || n, '{}', '{}', true from generate_series(1, ${many}) n`
  const owner = connectOwner(t)
  await owner`analyze events`
  await owner.close()
  await until(
    async () => (await sql`select 1 from events where pending order by id limit 1`).length,
    (waiting) => waiting === 0,
  )
  const readInWhole = async () => {
    await Bun.sleep(1500)
    const [row] = await sql`select seq_tup_read::int as rows from pg_stat_user_tables where relname = 'events'`
    return row.rows as number
  }
  const before = await readInWhole()
  for (let i = 0; i < 5; i += 1) {
    await transaction(t.ctx(), async (tx) => emit(tx, fact(`late_${i}`)))
    await Bun.sleep(150)
  }
  const placed = await until(
    () => sql`select position from events where instance_id = ${instanceId} and subject = 'late_4'`,
    ([row]) => row?.position !== null,
  )
  expect(placed).toHaveLength(1)
  // Each of five rounds would read it twice. The bus, which heard of none of the many, may read them all once.
  expect((await readInWhole()) - before).toBeLessThan(3 * many)
  await sql.close()
}, 30_000)
