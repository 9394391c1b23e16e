import { expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { postgresBin, startPostgres } from '../support/postgres.ts'
import { redisServer, startRedis } from '../support/redis.ts'
import { type Ready, runUsher, startUsher, temporaryDirectory } from '../support/usher.ts'

test('start prints one line of JSON when ready, keeps its keys, and stops cleanly on SIGTERM', async () => {
  using directory = temporaryDirectory()
  const data = directory.path
  const first = await startUsher({ data, makesCluster: true })
  expect(first.ready).toMatchObject({ event: 'ready', data, database: 'embedded' })
  expect(first.ready.publishable_key).toStartWith('pk_test_')
  expect(first.ready.secret_key).toStartWith('sk_test_')
  expect((await fetch(`${first.ready.url}/healthz`)).status).toBe(200)
  expect((await fetch(`${first.ready.url}/readyz`)).status).toBe(200)
  expect(await first.stop()).toBe(0)
  expect(first.output().stdout.trimEnd().split('\n')).toHaveLength(1)
  expect(first.output().stderr).not.toContain(first.ready.secret_key)

  const second = await startUsher({ data })
  const keys = ({ publishable_key, secret_key }: Ready) => ({ publishable_key, secret_key })
  expect(keys(second.ready)).toEqual(keys(first.ready))
  // The promise is one second on a calm machine; a machine full of tests gets three.
  expect(second.ready.ms).toBeLessThan(3000)
  const shown = await runUsher(['keys', '--json', '--data', data])
  expect(JSON.parse(shown.stdout)).toMatchObject(keys(first.ready))
  expect((await fetch(`${second.ready.url}/readyz`)).status).toBe(200)
  expect(await second.stop()).toBe(0)
}, 60_000)

test('a bad configuration stops the start and names every problem', async () => {
  const { code, stderr, stdout } = await runUsher(['start', '--port', 'x'], {
    DATABASE_URL: 'nonsense',
    LOG_LEVEL: 'loud',
  })
  expect(code).toBe(1)
  expect(stdout).toBe('')
  for (const name of ['USHER_PORT', 'DATABASE_URL', 'LOG_LEVEL']) expect(stderr).toContain(name)
  expect(stderr).toContain('from 0 to 65535')
})

test.each([{ command: ['start'] }, { command: ['sync-server', 'start', '--token', 'one that is long enough'] }])(
  '$command on a port that is taken says so in one line, and leaves no database behind',
  async ({ command }) => {
    using directory = temporaryDirectory()
    using other = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response() })
    const { code, stderr, stdout } = await runUsher([...command, '--port', `${other.port}`, '--data', directory.path])
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain('--port N')
    expect(
      stderr
        .trimEnd()
        .split('\n')
        .filter((line) => !line.startsWith('{')),
    ).toHaveLength(1)
    expect([...new Bun.Glob('**/postmaster.pid').scanSync(directory.path)]).toEqual([])
  },
)

test.each([
  { command: ['fly'], says: 'no command "fly"' },
  { command: ['start', '--prot', '1'], says: '--prot' },
  { command: ['apply', '--yes', '--dry-run'], says: 'usher apply has no option --dry-run' },
  { command: ['export', 'everything.jsonl'], says: 'usher export takes no "everything.jsonl"' },
  { command: ['keys'], says: '/proc/nowhere: no such file or directory' },
])('what cannot be meant is refused in a sentence: $command', async ({ command, says }) => {
  const { code, stdout, stderr } = await runUsher([...command, '--data', '/proc/nowhere'])
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toContain(says)
  expect(stderr).not.toContain('    at ')
})

test('help of one command speaks of that command', async () => {
  const { code, stdout } = await runUsher(['audit', '--help'])
  expect(code).toBe(0)
  expect(stdout).toStartWith('usher audit verify')
  expect(stdout).not.toContain('usher keys')
  expect((await runUsher(['help'])).stdout).toContain('keys rotate')
})

test('a database that is away is named, without its password', async () => {
  const { code, stderr } = await runUsher(['keys'], { DATABASE_URL: 'postgres://usher:confided@127.0.0.1:1/usher' })
  expect(code).toBe(1)
  expect(stderr.trim()).toBe('DATABASE_URL: there is no PostgreSQL at 127.0.0.1:1 (for usher).')
})

test('further instances have keys and settings of their own, also beside a running server', async () => {
  using directory = temporaryDirectory()
  await using server = await startUsher({ data: directory.path })
  const run = async (...args: string[]) => runUsher(['instances', ...args, '--json', '--data', directory.path])
  const made = JSON.parse((await run('create', 'acme', '--host', 'acme.localhost:3913')).stdout)
  expect(made).toMatchObject({ name: 'acme', environment: 'development', host: 'acme.localhost:3913' })
  expect(made.secret_key).not.toBe(server.ready.secret_key)
  expect((await run('create', 'acme', '--host', 'other.localhost')).code).toBe(1)
  const live = JSON.parse((await run('create', 'live', '--host', 'auth.acme.test', '--production')).stdout)
  expect(live.publishable_key).toStartWith('pk_live_')
  expect(live.secret_key).toStartWith('sk_live_')
  const listed = (await run('list')).stdout
  expect(JSON.parse(listed).map((i: { name: string }) => i.name)).toEqual(['development', 'acme', 'live'])
  expect(listed).not.toContain('sk_')

  const file = join(directory.path, 'settings.json')
  writeFileSync(
    file,
    JSON.stringify({ applicationName: 'Acme', sync: { rules: [{ pattern: 'org_*', write: 'org:tasks:write' }] } }),
  )
  expect(JSON.parse((await run('settings', 'acme', '--set', file)).stdout)).toMatchObject({ applicationName: 'Acme' })
  expect(JSON.parse((await run('settings', 'acme')).stdout).sync.rules).toHaveLength(1)
  writeFileSync(file, JSON.stringify({ colour: 'red' }))
  expect(await run('settings', 'acme', '--set', file)).toMatchObject({ code: 1 })

  // The running server has heard of the new instance without a restart.
  const deadline = Date.now() + 3000
  const jwks = async () =>
    fetch(`${server.ready.url}/v1/jwks`, { headers: { authorization: `Bearer ${made.secret_key}` } })
  while ((await jwks()).status === 401 && Date.now() < deadline) await Bun.sleep(50)
  expect((await jwks()).status).toBe(200)
}, 60_000)

test.skipIf(!postgresBin || !redisServer)(
  'two nodes may start at once on an empty PostgreSQL 15, and share what is in it',
  async () => {
    await using postgres = await startPostgres()
    await using redis = await startRedis()
    using one = temporaryDirectory()
    using two = temporaryDirectory()
    const env = { DATABASE_URL: postgres.url, REDIS_URL: redis.url, USHER_SECRET: 'x'.repeat(40) }
    const nodes = await Promise.all([startUsher({ env, data: one.path }), startUsher({ env, data: two.path })])
    expect(nodes.map((n) => n.ready.database)).toEqual(['postgres', 'postgres'])
    expect(nodes[0]?.ready.secret_key).toBe(nodes[1]?.ready.secret_key as string)
    expect(await Promise.all(nodes.map((n) => n.stop()))).toEqual([0, 0])

    // A key that does not open this database stops the start instead of making unusable keys.
    const stranger = startUsher({ env: { ...env, USHER_SECRET: 'y'.repeat(40) }, data: one.path })
    await expect(stranger).rejects.toThrow('USHER_SECRET')
  },
  90_000,
)
