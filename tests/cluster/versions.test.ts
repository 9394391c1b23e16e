import { expect, test } from 'bun:test'
import { SQL } from 'bun'
import { nginxPath } from '../support/nginx.ts'
import { freePort, postgresBin, startPostgres } from '../support/postgres.ts'
import { redisServer, startRedis } from '../support/redis.ts'
import { startUsher } from '../support/usher.ts'
import { makeNextVersion } from './next-version.ts'
import { connect, generous, startBalancer, until, writer, Y } from './support.ts'

const rounds = process.env.USHER_LONG_TESTS ? 20 : 1
const command = ['sync-server', 'start']

test.skipIf(!postgresBin || !redisServer || !nginxPath)(
  'R-N9: two versions serve one document: rolled from one to the other and back under load, nothing acknowledged is lost',
  async () => {
    await using postgres = await startPostgres()
    await using redis = await startRedis()
    const ports = [await freePort(), await freePort()] as [number, number]
    using more = makeNextVersion('more')
    using otherwise = makeNextVersion('otherwise')
    const env = { ...generous, DATABASE_URL: postgres.url, REDIS_URL: redis.url, LOG_LEVEL: 'error' }
    const start = (i: number, program?: string) =>
      startUsher({ command, env, args: ['--port', String(ports[i])], ...(program && { program }) })
    const nodes = await Promise.all([start(0), start(1)])
    await using _ = { [Symbol.asyncDispose]: async () => void (await Promise.all(nodes.map((n) => n.stop()))) }
    await using balancer = await startBalancer(ports)
    const urls = ports.map((port) => `ws://localhost:${port}/sync`)
    // nginx brings everybody in one document to one node, as long as both are there: two come by other ways.
    const writers = [balancer.wsUrl, balancer.wsUrl, ...urls].map((url) => writer(url, 'doc', 10))
    const [ada, bob] = urls.map((url) => connect(url, 'probe')) as [
      ReturnType<typeof connect>,
      ReturnType<typeof connect>,
    ]
    const sql = new SQL(postgres.url)
    let said = 0
    /** Both versions work on the document, in both directions. */
    const together = async (versions: string[], understand = true) => {
      const rows: { version: string }[] =
        await sql`select version from nodes where seen_at > now() - interval '4 seconds'`
      expect(rows.map(({ version }) => version.slice(0, 3)).sort()).toEqual(versions)
      await until(() => ada.client.synced && bob.client.synced, 'synced', 20_000)
      const times: number[] = []
      for (let i = 0; i < 2; i++)
        for (const [from, to] of [
          [ada, bob],
          [bob, ada],
        ] as const) {
          const mark = `<${said++}>`
          from.text.insert(from.text.length, mark)
          times.push(await until(() => to.text.toString().includes(mark), `arrived: ${mark}`, 5000))
        }
      const before = writers.map((w) => w.acknowledged.size)
      await until(
        () => writers.every((w, i) => w.acknowledged.size > (before[i] as number) + 20),
        'acknowledged',
        20_000,
      )
      const name = `n${said}`
      bob.client.awareness.setLocalStateField('name', name)
      // Presence goes from node to node by messages only.
      if (understand)
        await until(() => [...ada.client.awareness.getStates().values()].some((s) => s.name === name), 'seen', 5000)
      return times.sort((a, b) => a - b)[times.length >> 1] as number
    }
    const refused = async (i: number) => {
      const metrics = await (await fetch(`http://localhost:${ports[i]}/metrics`)).text()
      return Number(/usher_cluster_refused_total\{why="version"\} (\d+)/.exec(metrics)?.[1] ?? 0)
    }
    const replace = async (i: 0 | 1, program?: string) => {
      expect(await nodes[i]?.stop()).toBe(0)
      nodes[i] = await start(i, program)
    }
    await until(() => writers.every((w) => w.acknowledged.size > 20), 'acknowledged', 20_000)
    for (let round = 0; round < rounds; round++) {
      await replace(1, more.program)
      const later = await together(['0.1', '999'])
      // What is added is passed over, and nothing of it refused.
      expect(await refused(0)).toBe(0)
      await replace(0, otherwise.program)
      await replace(1)
      const another = await together(['0.1', '999'], false)
      expect(await refused(1)).toBeGreaterThan(0)
      await replace(0)
      console.log(
        `median beside a later version ${later.toFixed(0)} ms, beside one that cannot be read ${another.toFixed(0)} ms`,
      )
      expect(another).toBeLessThan(1500)
    }
    await together(['0.1', '0.1'])
    for (const w of writers) await w.stop()
    await sql.close()
    for (const node of nodes) {
      using reader = connect(node.ready.url, 'doc')
      await reader.synced()
      const lost = () => {
        const kept = new Set(reader.log.toArray())
        return writers.flatMap((w) => [...w.acknowledged].filter((mark) => !kept.has(mark)))
      }
      await until(() => lost().length === 0, 'whole', 5000).catch(() => {})
      expect(lost().slice(0, 3)).toEqual([])
    }
    await until(() => Buffer.compare(Y.encodeStateAsUpdate(ada.doc), Y.encodeStateAsUpdate(bob.doc)) === 0, 'the same')
    for (const probe of [ada, bob]) {
      // Sent away by nodes that went, and by nothing that was not understood. 1006: there was nobody at its port yet.
      expect(probe.closes.filter((code) => code !== 1012 && code !== 1006)).toEqual([])
      probe[Symbol.dispose]()
    }
    console.log(`${writers.reduce((sum, w) => sum + w.acknowledged.size, 0)} updates acknowledged`)
  },
  rounds * 60_000 + 60_000,
)
