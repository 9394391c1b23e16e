import { expect, test } from 'bun:test'
import { fixedDocumentKey, connect as open } from '@usher/sync'
import { postgresBin, startPostgres } from '../support/postgres.ts'
import { redisServer, startRedis } from '../support/redis.ts'
import { startUsher } from '../support/usher.ts'
import { connect, generous, until, writer, Y } from './support.ts'

const command = ['sync-server', 'start']

test.skipIf(!postgresBin || !redisServer)(
  'R-N3: stock clients on two nodes edit one document and see each other, with Redis, without it and after it',
  async () => {
    await using postgres = await startPostgres()
    await using redis = await startRedis()
    const env = { ...generous, DATABASE_URL: postgres.url, REDIS_URL: redis.url }
    const [first, second] = await Promise.all([startUsher({ command, env }), startUsher({ command, env })])
    await using one = first
    await using two = second
    using ada = connect(one.ready.url, 'doc')
    using bob = connect(two.ready.url, 'doc')
    await Promise.all([ada.synced(), bob.synced()])
    const arrives = async (from: typeof ada, to: typeof ada, text: string, ms?: number) => {
      from.text.insert(from.text.length, text)
      return until(() => to.text.toString().endsWith(text), `arrived: ${text}`, ms)
    }
    const latencies: number[] = []
    for (let i = 0; i < 20; i++)
      latencies.push(await arrives(...((i % 2 ? [ada, bob] : [bob, ada]) as [typeof ada, typeof ada]), `-${i}`))
    console.log(`from node to node: median ${latencies.sort((a, b) => a - b)[10]?.toFixed(1)} ms`)
    expect(latencies[10]).toBeLessThan(250)
    expect(ada.text.toString()).toBe(bob.text.toString())

    // Who is there, and who leaves.
    const names = (of: typeof ada) =>
      [...of.client.awareness.getStates().values()].map((state) => state.name).filter(Boolean)
    ada.client.awareness.setLocalStateField('name', 'Ada')
    bob.client.awareness.setLocalStateField('name', 'Bob')
    await until(() => names(ada).sort().join() === 'Ada,Bob' && names(bob).sort().join() === 'Ada,Bob', 'seen')
    {
      // Whoever comes later sees who is on the other node already.
      using eve = connect(two.ready.url, 'doc')
      await until(() => names(eve).sort().join() === 'Ada,Bob', 'seen by the third')
      eve.client.awareness.setLocalStateField('name', 'Eve')
      await until(() => names(ada).includes('Eve'), 'the third seen')
    }
    await until(() => !names(ada).includes('Eve'), 'the third gone')

    // Redis vanishes: what one writes the other has within a second, from the database.
    await redis.kill()
    await Bun.sleep(200)
    expect(await arrives(ada, bob, '-without', 3000)).toBeLessThan(1500)
    expect(await arrives(bob, ada, '-Redis', 3000)).toBeLessThan(1500)
    // It comes back empty: fast again, and nothing was lost.
    await redis.start()
    await until(
      async () =>
        (await redis.command('pubsub', 'numpat')) === ':0' &&
        (await redis.command('pubsub channels', '*doc')).includes('doc'),
      'subscribed again',
    )
    await Bun.sleep(100)
    const after = [await arrives(ada, bob, '-back'), await arrives(bob, ada, '-again')]
    expect(Math.min(...after)).toBeLessThan(400)
    expect(await redis.command('flushall')).toBe('+OK')
    await arrives(ada, bob, '-flushed')
    expect(ada.text.toString()).toBe(bob.text.toString())
    ada.client.awareness.setLocalStateField('name', 'Ada again')
    await until(() => names(bob).includes('Ada again'), 'seen again')
  },
  60_000,
)

test.skipIf(!postgresBin || !redisServer)(
  'R-N4: nodes that start without Redis serve, and hear each other once it is there',
  async () => {
    await using postgres = await startPostgres()
    await using redis = await startRedis({ running: false })
    const env = { ...generous, DATABASE_URL: postgres.url, REDIS_URL: redis.url }
    const [first, second] = await Promise.all([startUsher({ command, env }), startUsher({ command, env })])
    await using one = first
    await using two = second
    await using here = writer(one.ready.url, 'doc')
    using there = connect(two.ready.url, 'doc')
    await until(() => here.acknowledged.size > 20, 'acknowledged')
    await until(() => there.log.length > 20, 'read from the database', 3000)
    await redis.start()
    await until(() => here.acknowledged.size > 200, 'more acknowledged', 20_000)
    await here.stop()
    await until(() => there.log.length === here.log.length, 'whole', 6000)
    expect(Y.encodeStateVector(there.doc)).toEqual(Y.encodeStateVector(here.doc))
  },
  60_000,
)

test.skipIf(!postgresBin || !redisServer)(
  'R-N3: an encrypted document has one order on all nodes, and its members see each other',
  async () => {
    await using postgres = await startPostgres()
    await using redis = await startRedis()
    const env = { ...generous, DATABASE_URL: postgres.url, REDIS_URL: redis.url }
    const [first, second] = await Promise.all([startUsher({ command, env }), startUsher({ command, env })])
    await using one = first
    await using two = second
    const member = (node: typeof one, docId = 'sealed') => {
      const connection = open({ url: node.ready.url, docId, key: fixedDocumentKey(new Uint8Array(32).fill(7)) })
      return Object.assign(connection, { [Symbol.dispose]: () => connection.destroy() })
    }
    using ada = member(one)
    using bob = member(two)
    await Promise.all([ada.whenSynced(), bob.whenSynced()])
    const [a, b] = [ada.doc.getArray<string>('log'), bob.doc.getArray<string>('log')]
    // Both nodes append to the same log at the same time: each append is of the head that it names, or is made anew.
    const write = async (log: typeof a, name: string) => {
      for (let i = 0; i < 60; i++) {
        log.push([`${name}-${i}`])
        await Bun.sleep(3)
      }
    }
    await Promise.all([write(a, 'ada'), write(b, 'bob')])
    await Promise.all([ada.whenSaved(), bob.whenSaved()])
    await until(() => a.length === 120 && b.length === 120, 'whole')
    expect(a.toArray()).toEqual(b.toArray())
    ada.awareness.setLocalStateField('name', 'Ada')
    const sees = (name: string) => [...bob.awareness.getStates().values()].some((state) => state.name === name)
    await until(() => sees('Ada'), 'seen')
    await redis.kill()
    await Bun.sleep(200)
    a.push(['without Redis'])
    expect(await until(() => b.toArray().at(-1) === 'without Redis', 'arrived', 3000)).toBeLessThan(1500)
    // Whoever opens it anew reads it from either node, one log.
    using late = member(one)
    await late.whenSynced()
    await until(() => late.doc.getArray('log').length === 121, 'read anew')
  },
  60_000,
)
