import { expect, test } from 'bun:test'
import { nginxPath } from '../support/nginx.ts'
import { freePort, postgresBin, startPostgres } from '../support/postgres.ts'
import { redisServer, startRedis } from '../support/redis.ts'
import { startUsher } from '../support/usher.ts'
import { startBalancer } from './support.ts'

test.skipIf(!postgresBin || !redisServer || !nginxPath)(
  'R-N6: nodes that are replaced one after the other under load fail no request',
  async () => {
    await using postgres = await startPostgres()
    await using redis = await startRedis()
    const ports = [await freePort(), await freePort()]
    const env = {
      DATABASE_URL: postgres.url,
      REDIS_URL: redis.url,
      USHER_SECRET: 'a secret that all of the nodes hold',
    }
    const start = (port: number) => startUsher({ env, args: ['--port', String(port)] })
    const nodes = [await start(ports[0] as number), await start(ports[1] as number)]
    await using _ = { [Symbol.asyncDispose]: async () => void (await Promise.all(nodes.map((n) => n.stop()))) }
    await using balancer = await startBalancer(ports)
    const authorization = `Bearer ${nodes[0]?.ready.secret_key}`
    const outcomes: Record<string, number> = {}
    let made = 0
    let stopped = false
    const ask = async (path: string, init: RequestInit) => {
      const outcome = await fetch(`${balancer.url}${path}`, { ...init, headers: { authorization, ...init.headers } })
        .then(async (response) => {
          await response.arrayBuffer()
          return `${init.method} ${response.status}`
        })
        .catch((error) => `${init.method} ${error.code ?? error.message}`)
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
    }
    const load = [0, 1, 2, 3].map(async (client) => {
      while (!stopped) {
        await ask('/v1/users?limit=5', { method: 'GET' })
        await ask('/v1/users', {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({
            email_address: [`load-${client}-${made++}@example.com`],
            skip_password_requirement: true,
          }),
        })
      }
    })
    await Bun.sleep(500)
    for (const [i, port] of ports.entries()) {
      expect(await nodes[i]?.stop()).toBe(0)
      nodes[i] = await start(port)
      // As long as nginx leaves out a node that was gone.
      await Bun.sleep(2200)
    }
    stopped = true
    await Promise.all(load)
    console.log(outcomes)
    expect(Object.keys(outcomes).sort()).toEqual(['GET 200', 'POST 200'])
    const count = await fetch(`${balancer.url}/v1/users/count`, { headers: { authorization } })
    // Nothing was done twice either.
    expect(await count.json()).toMatchObject({ total_count: outcomes['POST 200'] as number })
  },
  120_000,
)
