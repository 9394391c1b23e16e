import { expect, test } from 'bun:test'
import { openCluster } from '../../apps/server/src/kernel/cluster/index.ts'
import type { UsherError } from '../../apps/server/src/kernel/errors.ts'
import { createLog } from '../../apps/server/src/kernel/log.ts'
import { countAttempt, countTogether } from '../../apps/server/src/kernel/rate-limit.ts'
import { intruder, redisServer, type Said, startRedis } from '../support/redis.ts'

const log = createLog('silent')
const open = (redisUrl: string, nodeId: string, scope = 'one', key = 7) => {
  const cluster = openCluster({ redisUrl, scope, nodeId, keys: [Buffer.alloc(32, key)], expected: () => [], log })
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

test.skipIf(!redisServer)(
  'R-N8: what nobody of this installation said just now is not listened to, and makes nodes look at the database',
  async () => {
    await using redis = await startRedis()
    using eve = await intruder(redis.port)
    await using a = open(redis.url, 'a')
    await using b = open(redis.url, 'b')
    await until(() => a.connected && b.connected, 'connected')
    const heard: string[] = []
    let doubts = 0
    b.onDoubt(() => doubts++)
    for (const topic of ['room', 'other']) {
      const hear = (message: Uint8Array, nodeId: string) => heard.push(`${topic} ${nodeId} ${Buffer.from(message)}`)
      await b.subscribe(topic, hear).active
    }
    a.publish('room', 'hello')
    await until(() => heard.length === 1, 'heard')
    const hello = eve.said.find(({ channel }) => channel.endsWith(':room')) as Said
    const body = Buffer.from('hello')
    const change = (edit: (bytes: Buffer) => void, { channel, bytes } = hello) => {
      const copy = Buffer.from(bytes)
      edit(copy)
      return { channel, bytes: copy }
    }
    // Of a node with another secret, and of none.
    await using stranger = open(redis.url, 's', 'one', 8)
    await until(() => stranger.connected, 'there')
    stranger.publish('room', 'of another secret')
    const forged: Said[] = [
      { channel: hello.channel, bytes: Buffer.concat([Uint8Array.of(1, 97), body]) },
      { channel: hello.channel, bytes: body },
      { channel: hello.channel, bytes: Buffer.alloc(0) },
      // Once more, in another place, in another name, with another number, time or text, cut short.
      hello,
      { channel: hello.channel.replace('room', 'other'), bytes: hello.bytes },
      change((bytes) => bytes.write('x', 2)),
      change((bytes) => bytes.writeDoubleBE(1e6, 3)),
      change((bytes) => bytes.writeDoubleBE(bytes.readDoubleBE(11) + 1, 11)),
      change((bytes) => bytes.write('H', bytes.length - 5)),
      change((bytes) => bytes.writeUInt8(2, 0)),
      { channel: hello.channel, bytes: hello.bytes.subarray(0, -1) },
      ...Array.from(hello.bytes, (_, length) => ({ channel: hello.channel, bytes: hello.bytes.subarray(0, length) })),
    ]
    for (const message of forged) eve.say(message)
    a.publish('room', 'goodbye')
    await until(() => heard.length > 1, 'heard again')
    await Bun.sleep(600)
    expect(heard).toEqual(['room a hello', 'room a goodbye'])
    expect(doubts).toBeGreaterThan(0)
    // However much is forged, the database is asked twice a second at most.
    const before = doubts
    for (let i = 0; i < 1000; i++) eve.say(hello)
    await Bun.sleep(1200)
    expect(doubts - before).toBeLessThanOrEqual(4)
    expect(a.connected && b.connected).toBe(true)
    // What was recorded is of no use to a node that starts later, either.
    await using late = open(redis.url, 'late')
    await until(() => late.connected, 'connected')
    const heardLate: unknown[] = []
    await late.subscribe('room', (message) => heardLate.push(message)).active
    for (const message of eve.said.filter(({ channel }) => channel === hello.channel)) eve.say(message)
    await Bun.sleep(100)
    expect(heardLate).toEqual([])
    // What is shared is signed as well: by whom, where and until when.
    a.share('here', 'a is here')
    await until(async () => (await b.readShared('here')).size === 1, 'shared')
    const key = hello.channel.replace(/room$/, 'shared:here')
    eve.write('hset', key, 'eve', 'eve is here', 'x', Buffer.concat([Buffer.from([1]), Buffer.alloc(40, 0x7f)]))
    await Bun.sleep(50)
    expect([...(await b.readShared('here')).keys()]).toEqual(['a'])
  },
  30_000,
)

test.skipIf(!redisServer)(
  'nodes that measured the time before somebody set the clock of Redis hear the others again soon',
  async () => {
    await using redis = await startRedis()
    const every = globalThis.setInterval
    // It asks for the time every ten seconds: here ten times as often.
    globalThis.setInterval = ((work: () => void, ms: number) => every(work, ms / 10)) as typeof setInterval
    await using a = open(redis.url, 'a')
    await using b = open(redis.url, 'b')
    globalThis.setInterval = every
    const { commands } = a as unknown as { commands: { time: () => Promise<(string | number)[]> } }
    const time = commands.time.bind(commands)
    let behindSeconds = 60
    commands.time = async () => {
      const [seconds, micros] = await time()
      return [Number(seconds) - behindSeconds, micros as string]
    }
    await until(() => a.connected && b.connected, 'connected')
    const heard: string[] = []
    const hear = (message: Uint8Array) => heard.push(Buffer.from(message).toString())
    await Promise.all([a, b].map((node) => node.subscribe('room', hear).active))
    a.publish('room', 'of a minute ago')
    b.publish('room', 'of the next minute')
    await Bun.sleep(100)
    expect(heard).toEqual([])
    behindSeconds = 0
    const both = () => {
      a.publish('room', 'from a')
      b.publish('room', 'from b')
      return heard.includes('from a') && heard.includes('from b')
    }
    await until(both, 'heard again')
  },
  30_000,
)
