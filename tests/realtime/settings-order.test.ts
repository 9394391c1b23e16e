import { expect, test } from 'bun:test'
import { loadConfig } from '../../apps/server/src/config.ts'
import { InstanceRegistry } from '../../apps/server/src/domains/instances/index.ts'
import { createCtx } from '../../apps/server/src/runtime.ts'
import { type RunningServer, serve } from '../../apps/server/src/serve.ts'
import { type TestInstance, testInstance } from '../../apps/server/src/testing/server.ts'
import { postgresBin, startPostgres } from '../support/postgres.ts'
import { redisServer, startRedis } from '../support/redis.ts'
import { named } from './named.ts'
import { connect, until } from './support.ts'
import { team } from './vault-support.ts'

/** Holds back what a node reads of its instances, from now on until it is let go. */
function holdReading({ runtime: { instances } }: RunningServer) {
  const reload = instances.reload.bind(instances)
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const state = { asked: 0, release }
  instances.reload = async () => {
    state.asked++
    await held
    await reload()
  }
  return state
}

/**
 * Somebody's sockets on each node while the settings take their right away, and the nodes hear of it before they have read
 * it: those from before, and those that were let in by the old settings meanwhile.
 */
async function loseRight(t: TestInstance, nodes: RunningServer[]) {
  const { people, docId, organizationId } = await team(['ada', 'bob'], t)
  const [, bob] = people as [(typeof people)[0], (typeof people)[0]]
  const headers = { host: t.host }
  const channel = `org:${organizationId}:chat:42`
  const documentOn = async ({ port }: RunningServer) => {
    const { token } = await bob.getToken(docId)
    const socket = connect(`ws://127.0.0.1:${port}/sync`, docId, { params: { token }, headers })
    await socket.synced()
    // It would be let in no more: what counts is that it is sent away.
    socket.client.shouldConnect = false
    return { closed: () => socket.closes[0]?.code === 4403, [Symbol.dispose]: socket[Symbol.dispose] }
  }
  const channelOn = async ({ port }: RunningServer) => {
    const socket = named(`ws://127.0.0.1:${port}/realtime`, { token: await bob.getSessionToken(), headers })
    await socket.opened
    socket.say({ t: 'sub', ch: channel, id: 1 })
    expect(await socket.heard('subbed')).toMatchObject({ ch: channel })
    const closed = () => socket.texts.some(({ t, ch, ended }) => t === 'role' && ch === channel && ended === true)
    return { closed, [Symbol.dispose]: () => socket.socket.close() }
  }
  const openAll = () => Promise.all(nodes.flatMap((node) => [documentOn(node), channelOn(node)]))

  const before = await openAll()
  const readings = nodes.map(holdReading)
  const { database, config, instances } = t.server.runtime
  const elsewhere = new InstanceRegistry(database, config.keyring, instances.defaultHost)
  await elsewhere.start()
  const nobody = { permission: 'org:nobody:enters' }
  await elsewhere.changeSettings(t.ctx().instance.id, {
    sync: { rules: [{ pattern: 'org_*/plan', read: nobody.permission, write: nobody.permission }] },
    channels: { types: [{ pattern: 'org:{org_id}:chat:*', subscribe: nobody }] },
  })
  await until(() => readings.every(({ asked }) => asked > 0), 'heard of')
  const meanwhile = await openAll()
  const sockets = [...before, ...meanwhile]
  expect(sockets.map(({ closed }) => closed())).toEqual(sockets.map(() => false))
  for (const { release } of readings) release()
  await until(() => sockets.every(({ closed }) => closed()), 'closed', 5000).catch(() => {})
  expect(sockets.map(({ closed }) => closed())).toEqual(sockets.map(() => true))
  for (const socket of sockets) socket[Symbol.dispose]()
}

test('K4 sockets lose what settings take away, also those that were let in before the settings were read', async () => {
  const t = await testInstance()
  await loseRight(t, [t.server])
}, 60_000)

test.skipIf(!postgresBin || !redisServer)(
  'K4 sockets lose what settings take away on each of two nodes, whenever it reads them',
  async () => {
    await using postgres = await startPostgres()
    await using redis = await startRedis()
    const env = {
      USHER_SECRET: 'a secret that all of the nodes hold',
      DATABASE_URL: postgres.url,
      REDIS_URL: redis.url,
      LOG_LEVEL: 'fatal',
    }
    const start = () => serve(loadConfig(env, { port: '0' }), { upkeep: false })
    const server = await start()
    const other = await start()
    try {
      const { runtime } = server
      const host = `nodes.localhost:${server.port}`
      const { id, publishableKey, secretKey } = await runtime.instances.create({
        name: 'nodes',
        environment: 'development',
        host,
      })
      await until(() => other.runtime.instances.find(id) !== undefined, 'known to the other')
      const t: TestInstance = {
        server,
        url: `http://localhost:${server.port}`,
        host,
        publishableKey,
        secretKey,
        ctx: (actor = { type: 'backend' }) => {
          const instance = runtime.instances.find(id)
          if (!instance) throw new Error('the instance is gone')
          return createCtx(runtime, instance, actor)
        },
        advance: () => {},
        fetch: (path, { secretKey: _, ...init } = {}) =>
          fetch(`http://127.0.0.1:${server.port}${path}`, {
            ...init,
            headers: { host, ...Object.fromEntries(new Headers(init.headers)) },
          }),
      }
      await loseRight(t, [server, other])
    } finally {
      await Promise.all([server.stop(), other.stop()])
    }
  },
  60_000,
)
