import { expect, test } from 'bun:test'
import { serverSdk } from '../support/clerk.ts'
import { nginxPath } from '../support/nginx.ts'
import { freePort, postgresBin, startPostgres } from '../support/postgres.ts'
import { redisServer, startRedis } from '../support/redis.ts'
import { startUsher, type UsherProcess } from '../support/usher.ts'
import { connect, startBalancer, tls, until } from './support.ts'

/** What ends on one node ends on the other one, and what is limited is limited on both together. */
async function endsEverywhere([one, two]: [UsherProcess, UsherProcess]) {
  const sdk = serverSdk(one.ready)
  const user = await sdk.users.createUser({ emailAddress: ['ada@example.com'], skipPasswordRequirement: true })
  const session = await sdk.sessions.createSession({ userId: user.id })
  const docId = `${user.id}/note`
  const answer = await fetch(`${one.ready.url}/v1/sync_tokens`, {
    method: 'POST',
    headers: { authorization: `Bearer ${one.ready.secret_key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ doc_id: docId, user_id: user.id, session_id: session.id, access: 'write' }),
  })
  const { token } = (await answer.json()) as { token: string }
  const open = ({ ready }: UsherProcess) => connect(`${ready.url.replace('http', 'ws')}/sync`, docId, { token })
  const sockets = [open(one), open(one), open(two), open(two)]
  await Promise.all(sockets.map((socket) => socket.synced()))
  {
    using fifth = open(two)
    await until(() => fifth.closes.length > 0, 'refused')
    expect(fifth.closes[0]).toBe(4529)
  }
  sockets[0]?.text.insert(0, 'hello')
  await until(() => sockets.every(({ text }) => text.toString() === 'hello'), 'the same')
  await sdk.sessions.revokeSession(session.id)
  const ms = await until(() => sockets.every(({ closes }) => closes.length > 0), 'closed on both nodes')
  console.log(`a revocation closed sockets on both nodes within ${ms.toFixed(0)} ms`)
  expect(ms).toBeLessThan(1000)
  for (const socket of sockets) {
    expect(socket.closes[0]).toBe(4401)
    socket[Symbol.dispose]()
  }
}

test.skipIf(!postgresBin || !redisServer || !nginxPath)(
  'R-N6: nodes that are replaced one after the other under load fail no request',
  async () => {
    await using postgres = await startPostgres()
    await using redis = await startRedis()
    const ports = [await freePort(), await freePort()]
    const env = {
      USHER_SYNC_LIMITS: 'connectionsPerUser=4',
      DATABASE_URL: postgres.url,
      REDIS_URL: redis.url,
      USHER_SECRET: 'a secret that all of the nodes hold',
    }
    const start = (port: number) => startUsher({ env, args: ['--port', String(port)] })
    const nodes = await Promise.all(ports.map(start))
    await using _ = { [Symbol.asyncDispose]: async () => void (await Promise.all(nodes.map((n) => n.stop()))) }
    await using balancer = await startBalancer(ports)
    const authorization = `Bearer ${nodes[0]?.ready.secret_key}`
    await endsEverywhere(nodes as [UsherProcess, UsherProcess])
    const outcomes: Record<string, number> = {}
    let made = 0
    let stopped = false
    const ask = async (path: string, init: RequestInit) => {
      const outcome = await fetch(`${balancer.url}${path}`, {
        ...init,
        tls,
        headers: { authorization, ...init.headers },
      })
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
    const count = await fetch(`${balancer.url}/v1/users/count`, { tls, headers: { authorization } })
    // Nothing was done twice either.
    expect(await count.json()).toMatchObject({ total_count: 1 + (outcomes['POST 200'] as number) })
  },
  120_000,
)
