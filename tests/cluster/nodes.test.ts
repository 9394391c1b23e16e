import { expect, test } from 'bun:test'
import { SQL } from 'bun'
import { postgresBin, startPostgres } from '../support/postgres.ts'
import { redisServer, startRedis } from '../support/redis.ts'
import { runUsher, startUsher, temporaryDirectory } from '../support/usher.ts'

const secret = { USHER_SECRET: 'a secret that all of the nodes hold' }

test.skipIf(!postgresBin || !redisServer)(
  'a second node without Redis is refused while the first one lives, and no longer; with Redis they overlap',
  async () => {
    await using postgres = await startPostgres()
    await using redis = await startRedis()
    using data = temporaryDirectory()
    const alone = { ...secret, DATABASE_URL: postgres.url }
    const together = { ...alone, REDIS_URL: redis.url }
    const first = await startUsher({ env: alone })
    const [refused, refusedToo, keys] = await Promise.all([
      runUsher(['start', '--port', '0', '--data', data.path], alone),
      runUsher(['start', '--port', '0', '--data', data.path], together),
      runUsher(['keys', '--json', '--data', data.path], alone),
    ])
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(refused.stderr).toContain(`process ${first.process.pid}, since`)
    expect(refused.stderr).toContain('need a REDIS_URL')
    expect(refused.stderr).not.toContain(secret.USHER_SECRET)
    expect(refusedToo).toMatchObject({ code: 1 })
    expect(refusedToo.stderr).toContain('The other one has no REDIS_URL')
    // A command is no node.
    expect(keys).toMatchObject({ code: 0 })

    // Killed: what it held ends with it. A start gives up after five seconds, and this one does not.
    first.process.kill('SIGKILL')
    const second = await startUsher({ env: alone })
    await second.stop()

    // With Redis: as many as there are, also while one replaces another.
    const [third, fourth] = await Promise.all([startUsher({ env: together }), startUsher({ env: together })])
    await using one = third
    await using two = fourth
    const ready = await (await fetch(`${two.ready.url}/readyz`)).json()
    expect(ready).toEqual({ status: 'ready', redis: 'ok' })
    await using operator = new SQL({ url: postgres.url, max: 1 })
    const rows = await operator`select pid, redis, kind from nodes where seen_at > now() - interval '10 s' and redis`
    expect(rows.map((r: { pid: number }) => r.pid).sort()).toEqual([one.process.pid, two.process.pid].sort())
    await redis.kill()
    const isAway = async () => (await (await fetch(`${two.ready.url}/readyz`)).json()).redis === 'away'
    for (const end = Date.now() + 5000; !(await isAway()) && Date.now() < end; ) await Bun.sleep(50)
    // Redis is no reason to send nobody here any more.
    expect((await fetch(`${two.ready.url}/readyz`)).status).toBe(200)
    expect(await isAway()).toBe(true)

    // What one node takes away, another one refuses at once, without a word between them: it remembers nothing of keys.
    const call = async (node: typeof one, path: string, body: object) => {
      const headers = { authorization: `Bearer ${node.ready.secret_key}`, 'content-type': 'application/json' }
      const response = await fetch(node.ready.url + path, { method: 'POST', headers, body: JSON.stringify(body) })
      return { status: response.status, body: await response.json() }
    }
    const { body: user } = await call(one, '/v1/users', {
      email_address: ['ada@example.com'],
      skip_password_requirement: true,
    })
    const { body: key } = await call(one, '/api_keys', { name: 'ci', subject: user.id })
    const verify = async () => (await call(two, '/api_keys/verify', { secret: key.secret })).status
    expect(await verify()).toBe(200)
    await call(one, `/v1/users/${user.id}/ban`, {})
    expect(await verify()).toBe(404)
  },
  60_000,
)
