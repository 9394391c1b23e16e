import { afterAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SQL } from 'bun'
import { startEmbeddedCluster } from './embedded.ts'

const dir = mkdtempSync(join(tmpdir(), 'usher-embedded-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test('the embedded cluster starts, is found again by its pid file, keeps its files private and stops', async () => {
  const first = await startEmbeddedCluster(dir)
  const second = await startEmbeddedCluster(dir)
  expect(second.pid).toBe(first.pid)
  expect(second.launched).toBe(false)
  const sql = new SQL({
    adapter: 'postgres',
    path: first.socketPath,
    username: first.username,
    database: first.database,
    max: 1,
  })
  const [row] = await sql`select current_setting('listen_addresses') as tcp, current_setting('fsync') as fsync`
  expect(row).toEqual({ tcp: '', fsync: 'on' })
  await sql.close()
  expect(statSync(join(dir, 'postgres')).mode & 0o077).toBe(0)
  expect(statSync(join(dir, 'run')).mode & 0o077).toBe(0)
  await first.stop()
  expect(() => process.kill(first.pid, 0)).toThrow()
}, 60_000)

test('a postmaster that dies is launched again and has everything that was committed', async () => {
  const cluster = await startEmbeddedCluster(dir)
  const connect = () =>
    new SQL({
      adapter: 'postgres',
      path: cluster.socketPath,
      username: cluster.username,
      database: cluster.database,
      max: 1,
    })
  const before = connect()
  await before`create table if not exists kept (n int)`
  await before`insert into kept values (1)`
  const killed = cluster.pid
  process.kill(killed, 'SIGKILL')
  await before.close({ timeout: 0 }).catch(() => {})
  const deadline = Date.now() + 10_000
  while (cluster.pid === killed && Date.now() < deadline) await Bun.sleep(20)
  expect(cluster.pid).not.toBe(killed)
  const after = connect()
  expect(await after`select n from kept`).toHaveLength(1)
  await after.close()
  await cluster.stop()
}, 60_000)

test('a data directory of another major version is refused with the way to upgrade', async () => {
  writeFileSync(join(dir, 'postgres', 'PG_VERSION'), '17\n')
  await expect(startEmbeddedCluster(dir)).rejects.toThrow(/PostgreSQL 17.*pg_dumpall/s)
})
