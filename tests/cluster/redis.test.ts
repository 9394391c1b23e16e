import { expect, test } from 'bun:test'
import { openCluster } from '../../apps/server/src/kernel/cluster/index.ts'
import type { UsherError } from '../../apps/server/src/kernel/errors.ts'
import { createLog } from '../../apps/server/src/kernel/log.ts'
import { countAttempt, countTogether } from '../../apps/server/src/kernel/rate-limit.ts'
import { redisServer, startRedis } from '../support/redis.ts'

const log = createLog('silent')
const open = (redisUrl: string, nodeId: string, scope = 'one') => {
  const cluster = openCluster({ redisUrl, scope, nodeId, log })
  return Object.assign(cluster, { [Symbol.asyncDispose]: () => cluster.close() })
}

async function until(condition: () => boolean | Promise<boolean>, what: string, ms = 8000): Promise<void> {
  for (const deadline = Date.now() + ms; !(await condition()); await Bun.sleep(5))
    if (Date.now() > deadline) throw new Error(`not ${what} within ${ms} ms`)
}

test.skipIf(!redisServer)('nodes hear each other, byte for byte and in order, and no other installation', async () => {
  await using redis = await startRedis()
  await using a = open(redis.url, 'a')
  await using b = open(redis.url, 'b')
  await using stranger = open(redis.url, 'c', 'two')
  await until(() => a.connected && b.connected && stranger.connected, 'connected')
  const [heard, own, strange]: [number[][], unknown[], unknown[]] = [[], [], []]
  await b.subscribe('room:ü', (message, nodeId) => heard.push([...message, nodeId.charCodeAt(0)])).active
  await a.subscribe('room:ü', (message) => own.push(message)).active
  await stranger.subscribe('room:ü', (message) => strange.push(message)).active
  const sent = Array.from({ length: 300 }, (_, i) => Uint8Array.of(0, 255, 0xfe, 0x80, i & 255))
  for (const message of sent) a.publish('room:ü', message)
  await until(() => heard.length === sent.length, 'heard')
  expect(heard).toEqual(sent.map((message) => [...message, 97]))
  expect([own, strange]).toEqual([[], []])
})

test.skipIf(!redisServer)('counters are of all nodes and end; values are of one node and end with it', async () => {
  await using redis = await startRedis()
  await using a = open(redis.url, 'a')
  const b = open(redis.url, 'b')
  await until(() => a.connected && b.connected, 'connected')
  expect((await a.count('x', 1, 300))?.total).toBe(1)
  expect((await b.count('x', 2, 300))?.total).toBe(3)
  await Bun.sleep(320)
  expect(await b.count('x', 1, 300)).toMatchObject({ total: 1 })
  a.share('here', Uint8Array.of(1, 0, 255))
  b.share('here', 'b is here')
  await until(async () => (await a.readShared('here')).size === 1, 'shared')
  expect(new TextDecoder().decode((await a.readShared('here')).get('b'))).toBe('b is here')
  expect([...((await b.readShared('here')).get('a') ?? [])]).toEqual([1, 0, 255])
  const gone: string[] = []
  a.onNodeGone((nodeId) => gone.push(nodeId))
  // A beat of b makes it known to a.
  await Bun.sleep(1100)
  await b.close()
  await until(() => gone.includes('b'), 'gone')
  expect((await a.readShared('here')).size).toBe(0)
})

test.skipIf(!redisServer)('attempts at one node count at the others, and without Redis at each by itself', async () => {
  await using redis = await startRedis()
  await using a = open(redis.url, 'a')
  await using b = open(redis.url, 'b')
  await until(() => a.connected && b.connected, 'connected')
  const [here, there] = [{}, {}]
  countTogether(here, a)
  countTogether(there, b)
  const attempt = async (scope: object, key: string) => {
    try {
      countAttempt(scope, key, { max: 5, windowMs: 60_000 }, new Date())
      await Bun.sleep(20)
      return 'passes'
    } catch (error) {
      return (error as UsherError).code
    }
  }
  for (let i = 0; i < 5; i++) expect(await attempt(here, 'ada@example.com')).toBe('passes')
  expect(await attempt(here, 'ada@example.com')).toBe('too_many_requests')
  // The one attempt by which a node learns of the others'.
  expect(await attempt(there, 'ada@example.com')).toBe('passes')
  expect(await attempt(there, 'ada@example.com')).toBe('too_many_requests')
  expect(await attempt(there, 'bob@example.com')).toBe('passes')
  expect(await redis.command('keys', '*ada*')).toBe('*0')
  await redis.kill()
  for (let i = 0; i < 4; i++) expect(await attempt(there, 'bob@example.com')).toBe('passes')
  expect(await attempt(there, 'bob@example.com')).toBe('too_many_requests')
})

test.skipIf(!redisServer)(
  'without Redis nothing throws; once it is there, or back, or no longer silent, everything holds again',
  async () => {
    await using redis = await startRedis({ running: false })
    await using a = open(redis.url, 'a')
    await using b = open(redis.url, 'b')
    const heard: string[] = []
    const changes: boolean[] = []
    b.subscribe('t', (message) => heard.push(new TextDecoder().decode(message)))
    b.onChange((connected) => changes.push(connected))
    a.publish('t', 'lost')
    a.share('k', 'v')
    expect(await a.count('x', 1, 1000)).toBeUndefined()
    expect((await b.readShared('k')).size).toBe(0)
    const works = async (word: string) => {
      await until(() => a.connected && b.connected, `connected for ${word}`)
      a.publish('t', word)
      await until(() => heard.at(-1) === word, `heard ${word}`)
      await until(async () => (await b.readShared('k')).has('a'), `shared for ${word}`)
    }
    await redis.start()
    await works('started')
    await redis.kill()
    await until(() => !a.connected && !b.connected, 'disconnected')
    await redis.start()
    await works('restarted')
    redis.pause()
    await until(() => !a.connected && !b.connected, 'noticed the silence')
    redis.resume()
    await works('resumed')
    expect(changes).toEqual([true, false, true, false, true])
    expect(heard).toEqual(['started', 'restarted', 'resumed'])
  },
  30_000,
)
