import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { rulesOf, testsByRule } from '../../scripts/protocol-rules.ts'
import { updateMessage } from './frames.ts'
import { named } from './named.ts'
import { connect, raw, type SyncServerProcess, startSyncServer, until, upgradeStatus, Y } from './support.ts'

/** Rules of docs/realtime-protocol.md that are shown by nothing else than by themselves. */
const token = 'a-token-of-the-rules-test'
let open: SyncServerProcess
let guarded: SyncServerProcess
beforeAll(async () => {
  const env = { USHER_SYNC_LIMITS: 'messagesPerSecond=20,messagesBurst=50,updateBytes=10000' }
  ;[open, guarded] = await Promise.all([startSyncServer({ env }), startSyncServer({ args: ['--token', token] })])
}, 60_000)
afterAll(() => Promise.all([open.stop(), guarded.stop()]))

const step1 = Uint8Array.of(0, 0, 1, 0)
const emptyStep2 = [0, 1, 2, 0, 0]

test('every rule of the protocol stands in the name of a test', () => {
  const page = (name: string) => readFileSync(join(import.meta.dir, '../../docs', name), 'utf8')
  const rules = rulesOf(page('realtime-protocol.md'))
  const tests = testsByRule()
  expect(rules.length).toBeGreaterThan(70)
  expect(rules.filter((id, i) => rules.indexOf(id) !== i)).toEqual([])
  expect(rules.filter((id) => !tests.has(id))).toEqual([])
  const known = new Set([...rules, ...rulesOf(page('encryption.md'))])
  expect([...tests.keys()].filter((id) => !known.has(id))).toEqual([])
})

test('T-1 a text frame is an object with "t", has 128 KB at most, and counts towards the rate', async () => {
  let documents = 0
  const endOf = async (...texts: string[]) => {
    using socket = named(`${open.wsUrl}/t1-${documents++}`)
    await socket.opened
    socket.socket.send(step1)
    for (const text of texts) socket.socket.send(text)
    return { code: (await socket.closed).code, texts: socket.texts }
  }
  for (const text of ['', 'hello', '7', 'null', '[1]', '"t"', '{"type":"ping"}', '{"t":1}', '{"t":"ping"'])
    expect([text, (await endOf(text)).code]).toEqual([text, 4422])
  expect((await endOf(JSON.stringify({ t: 'later', x: 'x'.repeat(128 * 1024) }))).code).toBe(4413)
  using large = named(`${open.wsUrl}/t1-large`)
  await large.opened
  large.say({ t: 'later', x: 'x'.repeat(127 * 1024) })
  large.say({ t: 'ping' })
  await large.heard('pong')
  // Fifty at once, then errors for those that are not looked at, then the end for who does not listen.
  const { code, texts } = await endOf(...Array.from({ length: 400 }, () => '{"t":"ping"}'))
  expect(code).toBe(4529)
  const count = (t: string) => texts.filter((text) => text.t === t).length
  expect(count('pong')).toBeGreaterThan(30)
  expect(count('pong')).toBeLessThan(80)
  expect(count('err')).toBeGreaterThan(100)
  expect(texts.find(({ t }) => t === 'err')).toMatchObject({ code: 'rate_limited', retryAfterMs: expect.any(Number) })
}, 60_000)

test('T-2 Y-1 Y-2 Y-3 a stock client hears one message of a known type a frame, and no text, whatever happens', async () => {
  const socket = new WebSocket(`${open.wsUrl}/y2`)
  socket.binaryType = 'arraybuffer'
  const heard: (string | Uint8Array)[] = []
  socket.onmessage = ({ data }) => heard.push(typeof data === 'string' ? data : new Uint8Array(data))
  await new Promise((resolve) => {
    socket.onopen = resolve
  })
  socket.send(step1)
  using ada = connect(open.wsUrl, 'y2')
  await ada.synced()
  ada.client.awareness.setLocalStateField('name', 'ada')
  ada.doc.getText('t').insert(0, 'hello')
  using bob = named(`${open.wsUrl}/y2`)
  await bob.opened
  bob.say({ t: 'ping' })
  socket.send(Uint8Array.of(3))
  socket.send(Uint8Array.of(102, 1, 42))
  await until(() => heard.some((frame) => frame[0] === 102), 'answered')
  expect([...(heard.find((frame) => frame[0] === 102) as Uint8Array)]).toEqual([102, 1, 42])
  await until(() => heard.some((frame) => frame[0] === 1), 'told who is there')
  expect(heard.filter((frame) => typeof frame === 'string')).toEqual([])
  for (const frame of heard as Uint8Array[]) {
    expect([0, 1, 2, 102]).toContain(frame[0] as number)
    // One message: its length is that of the frame.
    const from = frame[0] === 0 ? 2 : 1
    if (frame[0] !== 102) expect(blockEnd(frame, from)).toBe(frame.length)
  }
  const text = raw(`${open.wsUrl}/y2`)
  await text.opened
  text.socket.send('{"t":"ping"}')
  expect((await text.closed).code).toBe(4422)
  const two = raw(`${open.wsUrl}/y2`)
  await two.opened
  two.socket.send(Uint8Array.of(...step1, ...step1))
  expect((await two.closed).code).toBe(4422)
  socket.close()
})

/** Where a block that begins with its length ends. */
function blockEnd(frame: Uint8Array, from: number): number {
  let length = 0
  let at = from
  for (let shift = 1; ; shift *= 128) {
    const byte = frame[at++] as number
    length += (byte & 127) * shift
    if (byte < 128) return at + length
  }
}

test('T-3 a credential counts in a subprotocol, in the query or as the first message; a subprotocol wins, a cookie is none', async () => {
  const bearer = (value: string) => ['usher.v1', `bearer.${Buffer.from(value).toString('base64url')}`]
  const url = `${guarded.wsUrl}/t3`
  const enter = async (address: string, options: Parameters<typeof raw>[1] = {}) => {
    const socket = raw(address, options)
    await socket.opened
    socket.socket.send(step1)
    const first = await Promise.race([
      socket.closed.then(({ code }) => code),
      until(() => socket.frames.length > 0, 'answered').then(() => 'in'),
    ])
    const isIn = first === 'in' && socket.frames[0]?.[0] === 0
    if (isIn) socket.socket.close()
    return isIn ? 'in' : (await socket.closed).code
  }
  expect(await enter(`${url}?token=${token}`)).toBe('in')
  expect(await enter(url, { protocols: bearer(token) })).toBe('in')
  expect(await enter(`${url}?token=wrong`, { protocols: bearer(token) })).toBe('in')
  expect(await enter(`${url}?token=${token}`, { protocols: bearer('wrong') })).toBe(4001)
  expect(await enter(url, { headers: { cookie: `token=${token}; __session=${token}` } })).toBe(4001)
  using first = named(url)
  await first.opened
  first.say({ t: 'auth', token })
  expect(await first.heard('authed')).toEqual({ t: 'authed', expiresAt: null, access: 'write' })
}, 60_000)

test('R-3 Y-5 who has nothing is asked for what it has, gets what lies there, and then an empty SyncStep2', async () => {
  using ada = connect(open.wsUrl, 'r3')
  await ada.synced()
  ada.doc.getText('t').insert(0, 'hello')
  ada.doc.getText('t').insert(5, ' world')
  await until(() => !ada.client.ws || ada.client.ws.bufferedAmount === 0, 'sent')
  await Bun.sleep(200)
  const { socket, frames, opened } = raw(`${open.wsUrl}/r3`)
  await opened
  // Before it says anything.
  await until(() => frames.length > 0, 'asked')
  expect([...(frames[0] as Uint8Array).subarray(0, 2)]).toEqual([0, 0])
  socket.send(step1)
  await until(() => frames.some((frame) => frame[0] === 0 && frame[1] === 1), 'served')
  const served = frames.filter((frame) => frame[0] === 0 && frame[1] !== 0)
  expect([...(served.at(-1) as Uint8Array)]).toEqual(emptyStep2)
  const doc = new Y.Doc()
  for (const frame of served.slice(0, -1)) {
    expect(frame[1]).toBe(2)
    Y.applyUpdate(doc, frame.subarray(frame.length - (blockEnd(frame, 2) - blockStart(frame, 2))))
  }
  expect(doc.getText('t').toString()).toBe('hello world')
  socket.close()
  // What was written while nobody was connected arrives, because it was asked for.
  const offline = new Y.Doc()
  offline.getText('t').insert(0, 'offline ')
  using back = connect(open.wsUrl, 'r3', { doc: offline })
  await back.synced()
  await until(() => ada.doc.getText('t').toString().includes('offline'), 'received')
})

const blockStart = (frame: Uint8Array, from: number) => {
  let at = from
  while ((frame[at] as number) >= 128) at++
  return at + 1
}

test('Y-9 who sent too much is refused with 413 for a while, in that document and by nobody else’s doing', async () => {
  const { socket, opened, closed } = raw(`${open.wsUrl}/y9`)
  await opened
  socket.send(updateMessage(new Uint8Array(20_000)))
  expect((await closed).code).toBe(4413)
  await until(() => socket.readyState === WebSocket.CLOSED, 'closed')
  expect(await upgradeStatus(`${open.wsUrl}/y9`)).toBe(413)
  expect(await upgradeStatus(`${open.wsUrl}/y9-other`)).toBe(101)
})
