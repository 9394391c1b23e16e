import { afterEach, expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import { testInstance } from '../../testing/server.ts'
import { EventBus, type UsherEvent } from './bus.ts'
import { emit } from './emit.ts'

const stops: (() => void)[] = []
afterEach(() => {
  for (const stop of stops.splice(0)) stop()
})

/** Another node on the same database: it hears of commits by reading the outbox alone. */
async function otherNode() {
  const t = await testInstance()
  const { database, log } = t.server.runtime
  const heard: UsherEvent[] = []
  const bus = new EventBus(database, log)
  bus.subscribe((event) => {
    if (event.instanceId === t.ctx().instance.id) heard.push(event)
  })
  bus.start()
  stops.push(() => bus.stop())
  const subjects = () => heard.map((e) => e.subject).filter((s) => s.startsWith('thing_'))
  const hears = async (subject: string) => {
    for (const end = Date.now() + 3000; !subjects().includes(subject); await Bun.sleep(20))
      if (Date.now() > end) throw new Error(`nothing was heard of ${subject}`)
  }
  return { t, hears, subjects }
}

const fact = (subject: string) => ({ type: 'thing.updated', subject, data: { id: subject } })

test('another node hears every fact once, and soon', async () => {
  const { t, hears, subjects } = await otherNode()
  for (let i = 0; i < 20; i += 1) await transaction(t.ctx(), async (tx) => emit(tx, fact(`thing_${i}`)))
  await hears('thing_19')
  await Bun.sleep(1000)
  expect(subjects()).toEqual(Array.from({ length: 20 }, (_, i) => `thing_${i}`))
})

test('a fact whose id is lower than one that was heard before is heard too', async () => {
  const { t, hears, subjects } = await otherNode()
  let commit = () => {}
  const held = new Promise<void>((resolve) => {
    commit = resolve
  })
  const first = transaction(t.ctx(), async (tx) => {
    emit(tx, fact('thing_early'))
    // Registered after the fact, so its row has its id already while the transaction stays open.
    tx.beforeCommit(() => held)
  })
  await Bun.sleep(100)
  await transaction(t.ctx(), async (tx) => emit(tx, fact('thing_late')))
  await hears('thing_late')
  expect(subjects()).toEqual(['thing_late'])
  commit()
  await first
  await hears('thing_early')
  expect(subjects()).toEqual(['thing_late', 'thing_early'])
})

test('R-19 a database that has lost the end gives ids out again, and what they are of then is heard', async () => {
  const t = await testInstance()
  const { database, log } = t.server.runtime
  const { systemSql: sql } = database
  let line = '1/00000001'
  const tellLine = async () => [{ line }]
  const systemSql = Object.assign(tellLine, { unsafe: sql.unsafe.bind(sql) }) as unknown as typeof sql
  const heard: string[] = []
  const bus = new EventBus({ ...database, systemSql }, log)
  bus.subscribe(({ instanceId, subject }) => {
    if (instanceId === t.ctx().instance.id && subject.startsWith('thing_')) heard.push(subject)
  })
  bus.start()
  stops.push(() => bus.stop())
  const until = async (count: number) => {
    for (const end = Date.now() + 3000; heard.length < count; await Bun.sleep(20))
      if (Date.now() > end) throw new Error(`heard ${heard}`)
  }
  await transaction(t.ctx(), async (tx) => emit(tx, fact('thing_kept')))
  await transaction(t.ctx(), async (tx) => emit(tx, fact('thing_lost')))
  await until(2)
  const [{ id }] = await sql`delete from events where subject = 'thing_lost' returning id::float8 as id`
  await sql`
    insert into events (id, instance_id, type, subject, actor, data) overriding system value
    values (${id}, ${t.ctx().instance.id}, 'thing.updated', 'thing_new', '{}', '{}')`
  await Bun.sleep(1000)
  expect(heard).toEqual(['thing_kept', 'thing_lost'])
  line = '1/00000002'
  await until(3)
  await Bun.sleep(1000)
  expect(heard).toEqual(['thing_kept', 'thing_lost', 'thing_new'])
  // This node's own commits are told by themselves: an id is no proof that it was heard.
  bus.deliver({ id, instanceId: t.ctx().instance.id, type: 'thing.updated', subject: 'thing_own', data: {} })
  expect(heard.at(-1)).toBe('thing_own')
})

test('a rollback leaves no fact, and what comes after it is heard', async () => {
  const { t, hears, subjects } = await otherNode()
  const failed = transaction(t.ctx(), async (tx) => {
    emit(tx, fact('thing_never'))
    tx.beforeCommit(() => Promise.reject(new Error('the last step fails')))
  })
  expect(failed).rejects.toThrow('the last step fails')
  await failed.catch(() => {})
  await transaction(t.ctx(), async (tx) => emit(tx, fact('thing_after')))
  await hears('thing_after')
  expect(subjects()).toEqual(['thing_after'])
})

test('a fact that a transaction tells twice is told once', async () => {
  const { t, hears, subjects } = await otherNode()
  await transaction(t.ctx(), async (tx) => {
    for (const subject of ['thing_a', 'thing_b', 'thing_a']) emit(tx, fact(subject))
    await transaction(tx, async (joined) => emit(joined, fact('thing_b')))
    emit(tx, { ...fact('thing_a'), data: { id: 'thing_a', other: true } })
  })
  await hears('thing_b')
  expect(subjects()).toEqual(['thing_a', 'thing_b', 'thing_a'])
})

test('facts of one transaction may be more than one statement takes', async () => {
  const { t, hears, subjects } = await otherNode()
  const all = Array.from({ length: 2500 }, (_, i) => `thing_${i}`)
  await transaction(t.ctx(), async (tx) => {
    for (const subject of all) emit(tx, fact(subject))
  })
  await hears('thing_2499')
  expect(subjects()).toEqual(all)
})

test('what has to be prepared is heard after that, and everything else at once', async () => {
  const t = await testInstance()
  const { database, log } = t.server.runtime
  const heard: string[] = []
  let finish = () => {}
  const prepared = new Promise<void>((resolve) => {
    finish = resolve
  })
  const prepare = ({ type }: UsherEvent) => (type === 'slow.updated' ? prepared : undefined)
  const bus = new EventBus(database, log, { prepare })
  bus.subscribe((event) => heard.push(event.subject))
  const told = (id: number, type: string) => bus.deliver({ id, type, instanceId: '', subject: `thing_${id}`, data: {} })
  told(1, 'slow.updated')
  told(2, 'thing.updated')
  told(3, 'slow.updated')
  told(1, 'slow.updated')
  await Bun.sleep(20)
  expect(heard).toEqual(['thing_2'])
  finish()
  await Bun.sleep(20)
  expect(heard).toEqual(['thing_2', 'thing_1', 'thing_3'])
})

test('what cannot be prepared is tried again; after five times it is told before it is prepared too', async () => {
  const t = await testInstance()
  const { database, log } = t.server.runtime
  const heard: { subject: string; attempts: number }[] = []
  const attempts = new Map<string, number>()
  const failures: Record<string, number> = { thing_1: 1, thing_2: 5 }
  const prepare = async ({ subject }: UsherEvent) => {
    const attempt = (attempts.get(subject) ?? 0) + 1
    attempts.set(subject, attempt)
    if (attempt <= (failures[subject] ?? 0)) throw new Error('the database is away')
  }
  const bus = new EventBus(database, log, { prepare })
  stops.push(() => bus.stop())
  bus.subscribe(({ subject }) => heard.push({ subject, attempts: attempts.get(subject) ?? 0 }))
  for (const id of [1, 2]) bus.deliver({ id, type: 'slow.updated', instanceId: '', subject: `thing_${id}`, data: {} })
  for (const end = Date.now() + 5000; heard.length < 3 && Date.now() < end; ) await Bun.sleep(20)
  expect(heard).toEqual([
    { subject: 'thing_1', attempts: 2 },
    { subject: 'thing_2', attempts: 5 },
    { subject: 'thing_2', attempts: 6 },
  ])
})

test('a fact that is committed while a node looks for the first time is heard', async () => {
  const t = await testInstance()
  const { database, log } = t.server.runtime
  const heard: string[] = []
  let looks = 0
  const system = new Proxy(database.system, {
    get(target, name) {
      if (name !== 'execute') return Reflect.get(target, name, target)
      return async (...args: Parameters<typeof target.execute>) => {
        const answer = await target.execute(...args)
        looks += 1
        await transaction(t.ctx(), async (tx) => emit(tx, fact(`thing_${looks}`)))
        return answer
      }
    },
  })
  // No fact counts as recent, as on a database that nobody has used for a while.
  const bus = new EventBus({ ...database, system }, log, { recentMs: 0 })
  bus.subscribe((event) => heard.push(event.subject))
  bus.start()
  stops.push(() => bus.stop())
  for (const end = Date.now() + 3000; !heard.includes('thing_1') && Date.now() < end; ) await Bun.sleep(20)
  expect({ looks, heard: heard.includes('thing_1') }).toEqual({ looks: 1, heard: true })
})
