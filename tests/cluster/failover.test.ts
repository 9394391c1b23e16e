import { expect, test } from 'bun:test'
import { nginxPath } from '../support/nginx.ts'
import { freePort, postgresBin, startPostgres } from '../support/postgres.ts'
import { redisServer, startRedis } from '../support/redis.ts'
import { startUsher } from '../support/usher.ts'
import { connect, generous, startBalancer, until, writer } from './support.ts'

const rounds = process.env.USHER_LONG_TESTS ? 20 : 1

test.skipIf(!postgresBin || !redisServer || !nginxPath)(
  'R-N5: a node that is killed under load loses no acknowledged update, and its clients are back within ten seconds',
  async () => {
    await using postgres = await startPostgres()
    await using redis = await startRedis()
    const ports = [await freePort(), await freePort()]
    const env = { ...generous, DATABASE_URL: postgres.url, REDIS_URL: redis.url }
    const start = (port: number) =>
      startUsher({ command: ['sync-server', 'start'], env, args: ['--port', String(port)] })
    const nodes = await Promise.all(ports.map(start))
    await using _ = { [Symbol.asyncDispose]: async () => void (await Promise.all(nodes.map((n) => n.stop()))) }
    await using balancer = await startBalancer(ports)
    const ids = ['a', 'b', 'c', 'd']
    const writers = ids.flatMap((id) => [0, 1].map(() => writer(balancer.wsUrl, id, 20)))
    await until(() => writers.every((w) => w.acknowledged.size > 10), 'acknowledged', 20_000)
    // Somebody who is connected to a node that dies, and does not come back.
    const ghost = connect(nodes[0]?.ready.url as string, 'a')
    using watcher = connect(nodes[1]?.ready.url as string, 'a')
    ghost.client.awareness.setLocalStateField('name', 'Ghost')
    const isSeen = () => [...watcher.client.awareness.getStates().values()].some(({ name }) => name === 'Ghost')
    await until(isSeen, 'seen')
    for (let round = 0; round < rounds; round++) {
      const victim = round % 2
      await Bun.sleep(Math.random() * 300)
      const before = writers.map((w) => w.acknowledged.size)
      nodes[victim]?.process.kill('SIGKILL')
      await nodes[victim]?.process.exited
      const ms = await until(
        () => writers.every((w, i) => w.acknowledged.size > (before[i] as number) + 5),
        'back',
        20_000,
      )
      console.log(`node ${victim} killed: all ${writers.length} writers acknowledged again after ${ms.toFixed(0)} ms`)
      expect(ms).toBeLessThan(10_000)
      ghost[Symbol.dispose]()
      nodes[victim] = await start(ports[victim] as number)
      if (round === 0) expect(await until(() => !isSeen(), 'gone')).toBeLessThan(8000)
    }
    for (const w of writers) await w.stop()
    // Both nodes have all of it, whoever wrote it where.
    const reads = nodes.flatMap((node) => ids.map((id) => ({ id, url: node.ready.url })))
    await Promise.all(
      reads.map(async ({ id, url }) => {
        using reader = connect(url, id)
        await reader.synced()
        const lost = () => {
          const kept = new Set(reader.log.toArray())
          const all = writers.filter((w) => w.client.roomname === id)
          return all.flatMap((w) => [...w.acknowledged].filter((mark) => !kept.has(mark)))
        }
        await until(() => lost().length === 0, 'whole', 3000).catch(() => {})
        expect({ id, lost: lost().slice(0, 3) }).toEqual({ id, lost: [] })
      }),
    )
  },
  120_000,
)
