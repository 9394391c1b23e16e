import { afterAll, expect, test } from 'bun:test'
import { SQL } from 'bun'
import { randomBase62 } from '../kernel/ids.ts'
import { testServer } from '../testing/server.ts'
import { watchedPool } from './watched-pool.ts'

const open: SQL[] = []
afterAll(() => Promise.all(open.map((sql) => sql.close({ timeout: 0 }).catch(() => {}))))

async function watched({ isThere = (): boolean => true, nameOf = (name: string) => name } = {}) {
  const { runtime } = await testServer()
  const { database } = runtime
  const { path, username } = database.systemSql.options as { path: string; username: string }
  const connect = (name: string, at = path) => {
    const connection = { application_name: name }
    const sql = new SQL({ adapter: 'postgres', path: at, username, database: 'postgres', max: 1, connection })
    open.push(sql)
    return sql
  }
  let times = 0
  const pool = watchedPool({
    open: (name) => connect(nameOf(name)),
    lookIn: () => connect('look', isThere() ? path : `${path}.none`),
    replaced: () => {
      times += 1
    },
    paceMs: 100,
  })
  open.push(pool)
  return { pool, replaced: () => times, owner: connect('owner') }
}

test('a pool whose statements take long is left alone, and so is one that nobody uses', async () => {
  const { pool, replaced } = await watched()
  const slow = [1, 2].map(async (n) => (await pool`select ${n}::int as n, pg_sleep(0.6)`)[0].n)
  expect(await Promise.all(slow)).toEqual([1, 2])
  await Bun.sleep(500)
  expect(await pool.begin(async (tx) => (await tx`select 3 as n`)[0].n)).toBe(3)
  expect(replaced()).toBe(0)
})

test('a pool whose name does not arrive is left alone: nobody could tell what it is doing', async () => {
  const { pool, replaced } = await watched({ nameOf: (name) => `${name} - 192.0.2.1:5` })
  await Bun.sleep(300)
  expect((await pool`select 1 as n, pg_sleep(1)`)[0].n).toBe(1)
  expect(replaced()).toBe(0)
})

test('a pool is closed although nothing comes back from it', async () => {
  const { pool } = await watched({ isThere: () => false })
  const [{ pid }] = await pool`select pg_backend_pid() as pid`
  process.kill(pid, 'SIGSTOP')
  try {
    const told = pool`select 1`.catch(({ code }) => code)
    const startedAt = performance.now()
    await pool.close()
    expect(performance.now() - startedAt).toBeLessThan(8000)
    expect(await told).toBe('ERR_POSTGRES_CONNECTION_CLOSED')
  } finally {
    process.kill(pid, 'SIGCONT')
  }
})

test('what a connection that leads nowhere was told is refused, not done later, and who comes next is answered', async () => {
  let there = false
  const { pool, replaced, owner } = await watched({ isThere: () => there })
  const table = `told_${randomBase62(8).toLowerCase()}`
  await owner.unsafe(`create table ${table} (n int)`)
  const [{ pid }] = await pool`select pg_backend_pid() as pid`
  // It has been asked once at least, and is known by its name.
  await Bun.sleep(300)
  process.kill(pid, 'SIGSTOP')
  try {
    const told = pool.unsafe(`insert into ${table} values (1)`).then(
      () => 'done',
      ({ code }) => code,
    )
    // While nobody reaches the database, there is nothing better to be had.
    await Bun.sleep(500)
    expect(replaced()).toBe(0)
    there = true
    expect(await told).toBe('ERR_POSTGRES_CONNECTION_CLOSED')
    expect(replaced()).toBe(1)
    const [next] = await pool`select pg_backend_pid() as pid`
    expect(next.pid).not.toBe(pid)
  } finally {
    process.kill(pid, 'SIGCONT')
  }
  for (const end = Date.now() + 10_000; ; await Bun.sleep(20)) {
    if ((await owner`select from pg_stat_activity where pid = ${pid}`).length === 0) break
    if (Date.now() > end) throw new Error('it was not ended')
  }
  expect(await owner.unsafe(`select from ${table}`)).toHaveLength(0)
  await owner.unsafe(`drop table ${table}`)
})
