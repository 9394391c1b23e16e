import { expect, test } from 'bun:test'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runUsher, startUsher, temporaryDirectory } from '../support/usher.ts'

const main = join(import.meta.dir, '../../apps/server/src/main.ts')

test('an import that is killed goes on beside a running server, without a duplicate, and an export gives it back', async () => {
  using data = temporaryDirectory()
  await using server = await startUsher({ data: data.path })
  const count = async () => {
    const headers = { authorization: `Bearer ${server.ready.secret_key}` }
    const response = await fetch(`${server.ready.url}/v1/users/count`, { headers })
    return ((await response.json()) as { total_count: number }).total_count
  }
  const total = 8000
  const file = join(data.path, 'people.jsonl')
  const people = Array.from({ length: total }, (_, i) => ({
    id: `old_${i}`,
    email: i % 1000 === 7 ? 'none' : `p${i}@example.com`,
  }))
  writeFileSync(file, people.map((person) => `${JSON.stringify(person)}\n`).join(''))

  const args = ['import', 'users', file, '--data', data.path, '--json']
  const killed = Bun.spawn([process.execPath, main, ...args], { stdio: ['ignore', 'ignore', 'ignore'] })
  while ((await count()) === 0) await Bun.sleep(5)
  killed.kill('SIGKILL')
  await killed.exited
  const before = await count()
  expect(before).toBeGreaterThan(0)
  expect(before).toBeLessThan(total)

  const done = await runUsher(args)
  expect(done.code).toBe(0)
  const report = JSON.parse(done.stdout)
  expect(report).toMatchObject({ records: total, imported: total - 8, rejected: 8 })
  expect(report.resumed_at).toBeGreaterThan(0)
  expect(await count()).toBe(total - 8)
  const rejects = readFileSync(report.rejects, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).line)
  expect(rejects).toEqual([8, 1008, 2008, 3008, 4008, 5008, 6008, 7008])
  expect(statSync(report.rejects).mode & 0o077).toBe(0)

  const out = join(data.path, 'export.jsonl')
  const exported = await runUsher(['export', '--data', data.path, '--out', out, '--json'])
  expect(JSON.parse(exported.stdout)).toEqual({ users: total - 8, file: out })
  expect(statSync(out).mode & 0o777).toBe(0o600)
  const ids = readFileSync(out, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter((one) => one.object === 'user')
    .map((user) => user.external_id)
  expect(new Set(ids).size).toBe(total - 8)
}, 120_000)

test('passwords in plain text are hashed at the cost that is configured, all of a large file', async () => {
  using data = temporaryDirectory()
  await using _server = await startUsher({ data: data.path })
  const file = join(data.path, 'people.jsonl')
  const people = Array.from({ length: 250 }, (_, i) => ({
    email: `p${i}@example.com`,
    password: `a good passphrase ${i}`,
  }))
  writeFileSync(file, people.map((person) => JSON.stringify(person)).join('\n'))
  const cost = { USHER_PASSWORD_COST: 'm=20480,t=2' }
  const done = await runUsher(['import', 'users', file, '--data', data.path, '--json'], cost)
  expect(JSON.parse(done.stdout)).toMatchObject({ imported: 250, rejected: 0 })
  const out = join(data.path, 'export.jsonl')
  await runUsher(['export', '--data', data.path, '--out', out, '--json'])
  const users = readFileSync(out, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter((one) => one.object === 'user')
  expect(users).toHaveLength(250)
  for (const { password } of users) expect(password.digest).toStartWith('$argon2id$v=19$m=20480,t=2,p=1$')
})
