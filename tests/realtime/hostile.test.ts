import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { connect, raw, type SyncServerProcess, startSyncServer, until, upgradeStatus, Y } from './support.ts'

let server: SyncServerProcess
beforeAll(async () => {
  server = await startSyncServer({
    env: { USHER_SYNC_LIMITS: 'upgradesPerIpPerSecond=10000,upgradesPerIpBurst=10000' },
  })
})
afterAll(() => server[Symbol.asyncDispose]())

const varUint = (n: number): number[] => (n < 128 ? [n] : [(n % 128) | 128, ...varUint(Math.floor(n / 128))])
const update = (bytes: Iterable<number>) => {
  const body = [...bytes]
  return Uint8Array.from([0, 2, ...varUint(body.length), ...body])
}
const rss = () => Number(readFileSync(`/proc/${server.process.pid}/statm`, 'utf8').split(' ')[1]) * 4096
const nested = [1, 1, 1, 0, 8, 1, 1, 97, 1, ...Array.from({ length: 20_000 }, () => [117, 1]).flat(), 126, 0]

const hostile: [string, Uint8Array<ArrayBuffer>][] = [
  ['3·10^7 structs in nine bytes', update([1, ...varUint(30_000_000), 1, 0, 0, 0])],
  ['a value nested 20,000 deep', update(nested)],
  ['a run of 2^52', update([1, 1, 1, 0, 0, ...varUint(2 ** 52), 0])],
  [
    'a V2 update',
    update(Y.encodeStateAsUpdateV2(Object.assign(new Y.Doc(), {}).getText('t').doc as Y.Doc).slice(0, 9)),
  ],
  ['trailing bytes', update([0, 0, 0])],
  ['a length beyond the frame', Uint8Array.from([0, 2, 200, 1, 0])],
  ['an empty frame', new Uint8Array()],
  ['an unknown sync step', Uint8Array.from([0, 7, 0])],
  ['a state vector of a million clients', Uint8Array.from([0, 0, 4, ...varUint(1e6), 0])],
  ['presence that is not JSON', Uint8Array.from([1, 5, 1, 1, 1, 1, 0x7b])],
  ['presence nested in a lie', Uint8Array.from([1, 4, ...varUint(1e8)])],
]

test('K11 Y-10 a hostile frame closes its sender with 4422, changes nothing and costs nothing', async () => {
  using ada = connect(server.wsUrl, 'k11')
  await ada.synced()
  ada.doc.getText('t').insert(0, 'safe')
  await Bun.sleep(100)
  const before = rss()
  for (const [what, frame] of hostile) {
    for (let i = 0; i < 20; i++) {
      const { socket, opened, closed } = raw(`${server.wsUrl}/k11`)
      await opened
      socket.send(frame)
      expect({ what, code: (await closed).code }).toEqual({ what, code: 4422 })
    }
  }
  expect(rss() - before).toBeLessThan(60e6)
  const text = raw(`${server.wsUrl}/k11`)
  await text.opened
  text.socket.send('{"not":"binary"}')
  expect((await text.closed).code).toBe(4422)
  expect(ada.closes).toEqual([])
  using late = connect(server.wsUrl, 'k11')
  await late.synced()
  expect(late.doc.getText('t').toString()).toBe('safe')
}, 60_000)

test('K10 a client at line rate is slowed down, and others do not notice', async () => {
  using ada = connect(server.wsUrl, 'k10-quiet')
  using bob = connect(server.wsUrl, 'k10-quiet')
  await Promise.all([ada.synced(), bob.synced()])
  const flooder = raw(`${server.wsUrl}/k10-loud`)
  await flooder.opened
  const frame = Uint8Array.from([1, 1, 0])
  const before = rss()
  const flood = (async () => {
    for (let i = 0; i < 400 && flooder.socket.readyState === 1; i++) {
      for (let j = 0; j < 500; j++) flooder.socket.send(frame)
      await Bun.sleep(5)
    }
  })()
  for (let i = 0; i < 20; i++) {
    const length = bob.doc.getText('t').length
    const start = performance.now()
    ada.doc.getText('t').insert(0, 'x')
    await until(() => bob.doc.getText('t').length > length, 'received', 1000)
    expect(performance.now() - start).toBeLessThan(500)
    await Bun.sleep(50)
  }
  expect(rss() - before).toBeLessThan(60e6)
  flooder.socket.close()
  await flood
}, 60_000)

test('K7 Y-4 document ids that are no document ids are refused', async () => {
  const http = server.wsUrl
  for (const path of ['a%20b', '%2e%2e%2fx/..%2f', `${'x'.repeat(300)}`, 'a%00b', 'caf%C3%A9', '', '%zz', 'a//b'])
    expect({ path, status: await upgradeStatus(`${http}/${path}`) }).toEqual({ path, status: path === '' ? 400 : 400 })
})

test('Y-6 a quiet socket hears something every 25 seconds', async () => {
  const { socket, frames, opened } = raw(`${server.wsUrl}/quiet`)
  await opened
  socket.send(Uint8Array.from([0, 0, 1, 0]))
  await until(() => frames.length >= 2, 'served')
  const before = frames.length
  await until(() => frames.length > before, 'kept alive', 25_000)
  expect(Array.from(frames.at(-1) as Uint8Array)).toEqual([1, 1, 0])
  socket.close()
}, 60_000)

test('Y-7 a closed tab leaves the room without saying so', async () => {
  using ada = connect(server.wsUrl, 'y7')
  using bob = connect(server.wsUrl, 'y7')
  await Promise.all([ada.synced(), bob.synced()])
  ada.client.awareness.setLocalState({ name: 'Ada' })
  await until(() => bob.client.awareness.getStates().size === 2, 'seen')
  ada.client.shouldConnect = false
  ;(ada.client.ws as unknown as { terminate: () => void }).terminate()
  await until(() => bob.client.awareness.getStates().size === 1, 'gone', 3000)
})

test('a socket that says nothing is closed after ten seconds', async () => {
  const { closed, opened } = raw(`${server.wsUrl}/silent`)
  await opened
  const start = performance.now()
  expect((await closed).code).toBe(4508)
  expect(performance.now() - start).toBeLessThan(13_000)
}, 60_000)

test('shutting down tells every socket to come back, and loses nothing', async () => {
  await using own = await startSyncServer()
  using ada = connect(own.wsUrl, 'drain')
  await ada.synced()
  ada.doc.getText('t').insert(0, 'last words')
  const stopped = own.stop()
  await ada.closed()
  expect(ada.closes[0]).toEqual({ code: 1012, reason: 'the server restarts' })
  expect(await stopped).toBe(0)
}, 60_000)
