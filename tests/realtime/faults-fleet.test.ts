import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { temporaryDirectory } from '../support/usher.ts'
import { emptyStep1, updateMessage } from './frames.ts'
import { connect, generous, type RawSocket, raw, type SyncServerProcess, startSyncServer, until, Y } from './support.ts'

const long = Boolean(process.env.USHER_LONG_TESTS)

const token = 'a-static-token-of-32-characters-'
const limits =
  `${generous.USHER_SYNC_LIMITS},connectionsPerRoom=100000,upgradesPerSecond=100000,` +
  'wrongTokensPerMinute=1000000,refusedSockets=500'
const data = temporaryDirectory()
const start = () => startSyncServer({ data: data.path, args: ['--token', token], env: { USHER_SYNC_LIMITS: limits } })
let server: SyncServerProcess
beforeAll(async () => {
  server = await start()
})
afterAll(async () => {
  await server.stop()
  data[Symbol.dispose]()
})

/** A writer's update with one mark in it, and the mark. */
function marked(i: number) {
  const doc = new Y.Doc()
  doc.getArray('log').push([`mark-${i};`])
  return updateMessage(Y.encodeStateAsUpdate(doc))
}

// Item 13

test('a server that goes sends its sockets away one by one, once each, and loses nothing that it acknowledged', async () => {
  const count = long ? 5000 : 300
  const rooms = 10
  const sockets: RawSocket[] = []
  while (sockets.length < count) {
    const some = Array.from({ length: Math.min(100, count - sockets.length) }, (_, i) =>
      raw(`${server.wsUrl}/drain-${i % rooms}?token=${token}`),
    )
    await Promise.all(some.map(({ opened }) => opened))
    for (const { socket } of some) socket.send(emptyStep1)
    sockets.push(...some)
  }
  const closes: { at: number; code: number }[] = []
  for (const { closed } of sockets) closed.then(({ code }) => closes.push({ at: performance.now(), code }))
  for (const [i, { socket }] of sockets.entries()) if (i % 3 === 0) socket.send(marked(i))
  const startedAt = performance.now()
  expect(await server.stop()).toBe(0)
  const took = performance.now() - startedAt
  await until(() => closes.length === count, 'all closed')
  expect(new Set(closes.map(({ code }) => code))).toEqual(new Set([1012]))
  // No more than half as many again in any tenth of the time as an even spread would close.
  const busiest = Math.max(
    ...Array.from(
      { length: 10 },
      (_, tenth) => closes.filter(({ at }) => Math.floor(((at - startedAt) / took) * 10) === tenth).length,
    ),
  )
  expect(busiest).toBeLessThan((count / 10) * 2.5)
  expect(took).toBeLessThan(40_000)
  server = await start()
  const echoed = sockets.flatMap(({ frames }, i) =>
    i % 3 === 0 && frames.some((frame) => Buffer.from(frame).includes(`mark-${i};`))
      ? [{ i, room: (i % 100) % rooms }]
      : [],
  )
  expect(echoed.length).toBeGreaterThan(0)
  for (let room = 0; room < rooms; room++) {
    using reader = connect(server.wsUrl, `drain-${room}`, { params: { token } })
    await reader.synced()
    const there = new Set(reader.doc.getArray<string>('log').toArray())
    const missing = echoed.filter((one) => one.room === room && !there.has(`mark-${one.i};`))
    expect({ room, missing }).toEqual({ room, missing: [] })
  }
}, 180_000)

// Item 16

test('a crowd that returns at once, a third of it with a bad token, is let in or sent away in seconds', async () => {
  const count = long ? 5000 : 400
  {
    using ada = connect(server.wsUrl, 'storm-0', { params: { token } })
    await ada.synced()
    ada.doc.getText('t').insert(0, 'x'.repeat(20_000))
    await until(() => ada.client.synced && ada.closes.length === 0, 'written')
    await Bun.sleep(300)
  }
  const rss = () => Number(readFileSync(`/proc/${server.process.pid}/statm`, 'utf8').split(' ')[1]) * 4096
  const before = rss()
  const startedAt = performance.now()
  const sockets = Array.from({ length: count }, (_, i) => {
    const good = i % 10 < 7
    const one = raw(`${server.wsUrl}/storm-${i % 50}?token=${good ? token : `expired-${i}`}`)
    one.opened.then(() => one.socket.send(emptyStep1)).catch(() => {})
    return { good, ...one }
  })
  const isStep2 = (frame: Uint8Array) => frame[0] === 0 && frame[1] === 1
  const waiting = new Set(sockets.filter(({ good }) => good))
  await until(
    () => {
      for (const one of waiting) if (one.frames.some(isStep2)) waiting.delete(one)
      return waiting.size === 0
    },
    'served',
    30_000,
  )
  const served = performance.now() - startedAt
  const refused = await Promise.all(
    sockets.filter(({ good }) => !good).map(({ closed }) => Promise.race([closed, Bun.sleep(15_000)])),
  )
  console.log(`${count} back: served after ${served.toFixed(0)} ms, ${((rss() - before) / 1e6).toFixed(0)} MB more`)
  expect(refused.filter((end) => end === undefined)).toEqual([])
  expect(served).toBeLessThan(long ? 20_000 : 8000)
  expect(rss() - before).toBeLessThan(long ? 300e6 : 120e6)
  for (const { socket } of sockets) socket.close()
}, 120_000)
