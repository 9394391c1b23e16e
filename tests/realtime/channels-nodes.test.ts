import { expect, test } from 'bun:test'
import { loadConfig } from '../../apps/server/src/config.ts'
import { Channel } from '../../apps/server/src/domains/channels/channel.ts'
import { serve } from '../../apps/server/src/serve.ts'
import { postgresBin, startPostgres } from '../support/postgres.ts'
import { redisServer, startRedis } from '../support/redis.ts'
import { startUsher } from '../support/usher.ts'
import { named, type Text } from './named.ts'
import { until } from './support.ts'

const secret = { USHER_SECRET: 'a secret that all of the nodes hold' }
const messages = (socket: ReturnType<typeof named>) => socket.texts.filter(({ t }) => t === 'msg')

test.skipIf(!postgresBin || !redisServer)(
  'C-3 R-N7 channels are one on two nodes: order, history and place hold with Redis, without it and after it',
  async () => {
    await using postgres = await startPostgres()
    await using redis = await startRedis()
    const env = {
      ...secret,
      DATABASE_URL: postgres.url,
      REDIS_URL: redis.url,
      LOG_LEVEL: 'fatal',
      USHER_SYNC_LIMITS: 'connectionsPerUser=4',
    }
    const nodes = [await serve(loadConfig(env, { port: '0' })), await serve(loadConfig(env, { port: '0' }))]
    const [one, two] = nodes as [(typeof nodes)[0], (typeof nodes)[0]]
    try {
      const { secretKey, id } = await one.runtime.instances.create({
        name: 'nodes',
        environment: 'development',
        host: 'nodes.localhost',
      })
      await one.runtime.instances.changeSettings(id, {
        channels: {
          types: [
            { pattern: 'kept:*', history: 'durable' },
            { pattern: 'short:*', history: 'memory' },
            { pattern: 'gone:*', history: 'none' },
          ],
        },
      })
      await until(() => two.runtime.instances.find(id)?.settings.channels.types.length === 3, 'known to the other')
      // Sockets of a person are counted on both nodes together.
      const user = await fetch(`http://127.0.0.1:${one.port}/v1/users`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secretKey}`, 'content-type': 'application/json' },
        body: JSON.stringify({ email_address: ['ada@example.com'], skip_password_requirement: true }),
      })
      const { id: userId } = (await user.json()) as { id: string }
      const granted = await fetch(`http://127.0.0.1:${one.port}/v1/sync_tokens`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secretKey}`, 'content-type': 'application/json' },
        body: JSON.stringify({ doc_id: 'plan', user_id: userId, access: 'read' }),
      })
      const { token } = (await granted.json()) as { token: string }
      const mine: ReturnType<typeof named>[] = []
      for (const port of [one.port, one.port, one.port, two.port, two.port, two.port]) {
        mine.push(named(`ws://127.0.0.1:${port}/realtime`, { token, headers: { host: 'nodes.localhost' } }))
        await mine.at(-1)?.opened
        await Bun.sleep(30)
      }
      await until(() => mine.filter(({ closing }) => closing?.code === 4529).length === 2, 'limited')
      expect(mine.slice(0, 4).map(({ closing }) => closing)).toEqual([undefined, undefined, undefined, undefined])
      for (const { socket } of mine) socket.close()

      const open = async (port: number) => {
        const socket = named(`ws://127.0.0.1:${port}/realtime`, { token: secretKey })
        await socket.opened
        return socket
      }
      const [a, b] = [await open(one.port), await open(two.port)]
      for (const ch of ['kept:1', 'short:1', 'gone:1'])
        for (const socket of [a, b]) {
          socket.say({ t: 'sub', id: ch, ch })
          await socket.heard('subbed')
        }
      for (const ch of ['kept:1', 'short:1', 'gone:1']) {
        const kept = ch !== 'gone:1'
        for (let n = 0; n < 100; n++) (n % 2 ? a : b).say({ t: 'pub', ch, name: 'n', data: n })
        await until(() => messages(a).length === 100 && messages(b).length === 100, `both heard of ${ch}`)
        if (kept) {
          // One order for both, dense from the first.
          expect(messages(a).map(({ offset }) => offset)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1))
          expect(messages(a).map(({ offset, data }) => [offset, data])).toEqual(
            messages(b).map(({ offset, data }) => [offset, data]),
          )
        } else
          expect(new Set(messages(b).map(({ data }) => data))).toEqual(new Set(messages(a).map(({ data }) => data)))
        for (const socket of [a, b]) socket.texts.length = 0
      }

      // R-N9: what a later version of a node says, this one passes over; nobody is sent away by it.
      for (const ch of ['short:1', 'gone:1']) {
        const { topic } = new Channel(id, ch, 'none')
        for (const later of ['{"typing":["ada"]}', '{"epoch":7,"offset":"x"}', '[]', 'null', 'no JSON'])
          one.runtime.cluster.publish(topic, later)
        a.say({ t: 'pub', ch, name: 'n', data: 'after' })
        await until(
          () => messages(b).some((message) => message.ch === ch && message.data === 'after'),
          'heard after that',
        )
      }
      expect(b.texts.filter(({ t }) => t === 'role')).toEqual([])
      expect(messages(b)).toHaveLength(2)
      for (const socket of [a, b]) socket.texts.length = 0

      // Redis vanishes: later, and nothing lost. It comes back empty: as before.
      const across = async (first: number, ms: number) => {
        for (let n = first; n < first + 10; n++) (n % 2 ? a : b).say({ t: 'pub', ch: 'kept:1', name: 'n', data: n })
        await until(() => messages(a).length === 10 && messages(b).length === 10, 'both heard', ms)
        for (const socket of [a, b])
          expect(messages(socket).map(({ offset }) => offset)).toEqual(
            Array.from({ length: 10 }, (_, i) => first + 1 + i),
          )
        for (const socket of [a, b]) socket.texts.length = 0
      }
      await redis.kill()
      await across(100, 3000)
      await redis.start()
      await until(() => one.runtime.cluster.connected && two.runtime.cluster.connected, 'connected again')
      await across(110, 3000)

      // Somebody goes on at the other node.
      const history = (await fetch(`${`http://127.0.0.1:${two.port}`}/v1/channels/kept:1/messages?limit=1`, {
        headers: { authorization: `Bearer ${secretKey}` },
      }).then((r) => r.json())) as { epoch: string; offset: number }
      expect(history.offset).toBe(120)
      const moved = await open(two.port)
      moved.say({ t: 'sub', id: 1, ch: 'kept:1', since: { epoch: history.epoch, offset: 5 } })
      expect(await moved.heard('subbed')).toMatchObject({ recovered: true, offset: 5 })
      await until(() => messages(moved).length === 115, 'all that was missed')
      for (const socket of [a, b, moved]) socket.socket.close()
    } finally {
      for (const node of nodes) await node.stop()
    }
  },
  60_000,
)

test.skipIf(!postgresBin || !redisServer)(
  'C-4 presence is one on two nodes, and who was on a node that died is gone',
  async () => {
    await using postgres = await startPostgres()
    await using redis = await startRedis()
    const env = { ...secret, DATABASE_URL: postgres.url, REDIS_URL: redis.url }
    const command = ['sync-server', 'start']
    await using one = await startUsher({ command, env })
    await using two = await startUsher({ command, env })
    const join = async (url: string, name: string) => {
      const socket = named(`${url}/board`)
      await socket.opened
      socket.say({ t: 'sub', id: 1, presence: true, data: { name } })
      const { members } = await socket.heard('subbed')
      const seen = new Map((members as { id: string; data: { name: string } }[]).map((m) => [m.id, m.data.name]))
      const follow = () => {
        for (const frame of socket.texts.splice(0) as (Text & { join: []; leave: []; update: [] })[]) {
          if (frame.t !== 'presence') continue
          for (const { id, data } of [...frame.join, ...frame.update] as { id: string; data: { name: string } }[])
            seen.set(id, data.name)
          for (const id of frame.leave) seen.delete(id)
        }
        return [...seen.values()].sort().join()
      }
      return { ...socket, follow }
    }
    const a = await join(one.ready.url, 'A')
    const b = await join(two.ready.url, 'B')
    await until(() => a.follow() === 'A,B' && b.follow() === 'A,B', 'both seen')
    // Whoever comes later sees who is on the other node.
    const c = await join(two.ready.url, 'C')
    await until(() => c.follow() === 'A,B,C' && a.follow() === 'A,B,C', 'all seen')
    c.say({ t: 'presence', data: null })
    await until(() => a.follow() === 'A,B', 'one gone')
    two.process.kill('SIGKILL')
    await until(() => a.follow() === 'A', 'those of the other node gone', 20_000)
    a.socket.close()
  },
  90_000,
)
