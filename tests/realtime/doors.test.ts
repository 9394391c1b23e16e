import { expect, test } from 'bun:test'
import { connect as connectTcp } from 'node:net'
import { createSyncTokenForSession } from '../../apps/server/src/domains/sync/index.ts'
import { TestBrowser } from '../../apps/server/src/faces/frontend/testing.ts'
import { type TestInstance, testInstance } from '../../apps/server/src/testing/server.ts'
import { named, somebody } from './named.ts'
import { connect, raw, startSyncServer, until, upgradeStatus } from './support.ts'

const step1 = Uint8Array.of(0, 0, 1, 0)
const base = (t: TestInstance) => `ws://127.0.0.1:${t.server.port}`

/** Somebody with a session in a browser, who may have a token for a document of an organization. */
async function member(t: TestInstance) {
  const browser = new TestBrowser(t)
  const { sessionId, userId } = await browser.signUp('ada@example.com')
  const made = await t.fetch('/v1/organizations', {
    method: 'POST',
    secretKey: true,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'Acme', created_by: userId }),
  })
  const { id: organizationId } = (await made.json()) as { id: string }
  const docId = `${organizationId}/plan`
  const actor = { type: 'user' as const, userId, sessionId, clientId: '', organizationId: null }
  const token = async () => (await createSyncTokenForSession(t.ctx(actor), { docId })).token
  const leave = () =>
    t.fetch(`/v1/organizations/${organizationId}/memberships/${userId}`, { method: 'DELETE', secretKey: true })
  return { browser, sessionId, userId, organizationId, docId, token, leave }
}

/** How a socket ends that shows something as its credential: a close code or an HTTP status. */
async function endOf(socket: ReturnType<typeof named>): Promise<number> {
  if (!(await socket.opened.then(() => true).catch(() => false))) return 401
  const end = await Promise.race([socket.closed, Bun.sleep(3000)])
  return end?.code ?? 0
}

test.concurrent('D5 J4 no other kind of token opens a document, and a document’s token opens nothing else', async () => {
  const t = await testInstance()
  const { browser, sessionId, userId, docId, token } = await member(t)
  const post = async (path: string, body: unknown) => {
    const response = await t.fetch(`/v1${path}`, {
      method: 'POST',
      secretKey: true,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    return (await response.json()) as { token: string }
  }
  await post('/jwt_templates', { name: 'partner', claims: { room: docId, access: 'write', by: 'backend', pv: 'none' } })
  const session = (await browser.post(`/client/sessions/${sessionId}/tokens`)).body.jwt as string
  const others: Record<string, string> = {
    'a session token': session,
    'a token by a template': (await browser.post(`/client/sessions/${sessionId}/tokens/partner`)).body.jwt,
    'a sign-in token': (await post('/sign_in_tokens', { user_id: userId, expires_in_seconds: 60 })).token,
    'a testing token': (await post('/testing_tokens', {})).token,
    'the secret key': t.secretKey,
    'the publishable key': t.publishableKey,
    'a user id': userId,
  }
  const refused = Object.entries(others).map(async ([what, credential]) => {
    expect([what, typeof credential]).toEqual([what, 'string'])
    using first = named(`${base(t)}/sync/${docId}`, { headers: { host: t.host } })
    await first.opened
    first.say({ t: 'auth', token: credential })
    expect([what, (await first.closed).code]).toEqual([what, 4001])
    // From a page too: a secret key there is in everybody's hands.
    using page = named(`${base(t)}/sync/${docId}`, {
      headers: { host: t.host, origin: 'http://localhost:3000' },
      token: credential,
    })
    expect([what, await endOf(page)]).toEqual([what, 4001])
    expect([first.texts, page.texts]).toEqual([[], []])
  })
  await Promise.all(refused)
  using secret = named(`${base(t)}/realtime`, {
    headers: { host: t.host, origin: 'http://localhost:3000' },
    token: t.secretKey,
  })
  expect(await endOf(secret)).toBeGreaterThanOrEqual(400)
  const mine = await token()
  for (const path of ['/v1/me', '/v1/client', '/v1/users', '/v1/sync/token']) {
    const response = await t.fetch(path, {
      method: path.endsWith('token') ? 'POST' : 'GET',
      headers: { authorization: `Bearer ${mine}`, cookie: `__session=${mine}; __client=${mine}` },
    })
    const body = await response.text()
    expect([path, response.ok && body.includes(userId)]).toEqual([path, false])
  }
}, 60_000)

/** A WebSocket by hand. @returns what the server answered, and whether it has hung up */
async function handmade(port: number, path: string, headers: string, send: Uint8Array) {
  const socket = connectTcp(port, '127.0.0.1')
  let answer = ''
  let isOver = false
  socket.on('data', (bytes) => {
    answer += bytes.toString('latin1')
    if (answer.includes('\r\n\r\n') && send.length > 0) {
      socket.write(send)
      send = new Uint8Array()
    }
  })
  socket.on('close', () => {
    isOver = true
  })
  socket.on('error', () => {})
  const key = Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString('base64')
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n${headers}\r\n`,
  )
  return {
    get answer() {
      return answer
    },
    over: (ms: number) => until(() => isOver, 'over', ms),
    end: () => socket.destroy(),
  }
}

test.concurrent('K10 compressed frames, endless headers and fragments that never end take nothing but their own socket', async () => {
  await using server = await startSyncServer({ env: { USHER_SYNC_LIMITS: 'firstFrameSeconds=3' } })
  const { port } = new URL(server.wsUrl)
  using ada = connect(server.wsUrl, 'k10')
  await ada.synced()
  const open = (headers: string, bytes: number[]) =>
    handmade(Number(port), '/sync/k10', headers, Uint8Array.from(bytes))
  const mask = [0, 0, 0, 0]
  const start = performance.now()
  const bomb = await open('Sec-WebSocket-Extensions: permessage-deflate\r\n', [0xc2, 0x82, ...mask, 0x03, 0x00])
  const unmasked = await open('', [0x82, 0x01, 0x00])
  const huge = await open('', [0x82, 0xff, 0, 0, 0x10, 0, 0, 0, 0, 0, ...mask])
  const fragments = await Promise.all(Array.from({ length: 10 }, () => open('', [0x02, 0x81, ...mask, 0x00])))
  const long = await open(`X-Long: ${'x'.repeat(200_000)}\r\n`, [])
  for (const socket of [bomb, unmasked, huge, long]) await socket.over(5000)
  expect(bomb.answer).not.toContain('permessage-deflate')
  expect(long.answer).not.toContain('101 Switching')
  for (const socket of fragments) await socket.over(7000)
  expect(performance.now() - start).toBeLessThan(12_000)
  ada.doc.getText('t').insert(0, 'x')
  using bob = connect(server.wsUrl, 'k10')
  await bob.synced()
  await until(() => bob.doc.getText('t').length === 1, 'received')
  expect(ada.closes).toEqual([])
}, 60_000)

test('K14 who was removed resumes nothing with a token that has not ended, wherever it stands', async () => {
  const t = await testInstance()
  const { docId, token, leave } = await member(t)
  const url = `${base(t)}/sync/${docId}`
  const headers = { host: t.host }
  using ada = connect(`${base(t)}/sync`, docId, { params: { token: await token() }, headers })
  await ada.synced()
  ada.doc.getText('t').insert(0, 'what only members read')
  const [byQuery, byProtocol, byMessage, encrypted] = [await token(), await token(), await token(), await token()]
  using waiting = named(url, { headers })
  await waiting.opened
  expect((await leave()).status).toBe(200)
  const start = performance.now()
  await until(() => ada.closes[0]?.code === 4403, 'closed')
  expect(performance.now() - start).toBeLessThan(1000)
  const old = raw(`${url}?token=${byQuery}`, { headers })
  using late = named(url, { headers, token: byProtocol })
  using sealed = named(url, { headers, token: encrypted, protocol: 'usher.encrypted.v1' })
  waiting.say({ t: 'auth', token: byMessage })
  for (const ends of [old.closed, late.closed, sealed.closed, waiting.closed]) expect((await ends).code).toBe(4403)
  expect(waiting.frames.concat(late.frames, sealed.frames, old.frames).filter((f) => f[0] !== 2)).toEqual([])
}, 60_000)

test('K7 a document is an instance and an id: no other spelling leads to it, and none to another tenant’s', async () => {
  const [t, other] = [await testInstance(), await testInstance()]
  const { docId, token } = await member(t)
  const { docId: foreign } = await member(other)
  const headers = { host: t.host }
  const end = async (path: string) => {
    const socket = raw(`${base(t)}/sync/${path}?token=${await token()}`, { headers })
    const opened = await socket.opened.then(() => true).catch(() => false)
    if (!opened) return 'http'
    socket.socket.send(step1)
    await until(() => socket.frames.length > 0, 'answered')
    return socket.frames[0]?.[0] === 0 ? 'in' : 'refused'
  }
  expect(await end(docId)).toBe('in')
  expect(await end(encodeURIComponent(docId))).toBe('in')
  const instance = t.ctx().instance.id
  const refused = [
    `${docId}2`,
    docId.toUpperCase(),
    `${instance}:${docId}`,
    `${instance}%3A${docId}`,
    foreign,
    `yjs:${docId}`,
  ]
  for (const path of refused) expect([path, await end(path)]).toEqual([path, 'refused'])
  const none = [`${docId}/`, `/${docId}`, `${docId}%00`, `${docId}%E2%80%AE`, `${docId}${'x'.repeat(10_000)}`]
  for (const path of none) expect([path, await end(path)]).toEqual([path, 'http'])
}, 60_000)

test('K13 a crowd that comes at once is let in as far as there is room; tokens are made meanwhile', async () => {
  const t = await testInstance()
  const userId = await somebody(t)
  const mint = async (docId: string) => {
    const start = performance.now()
    const response = await t.fetch('/v1/sync_tokens', {
      method: 'POST',
      secretKey: true,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ doc_id: docId, user_id: userId, access: 'write' }),
    })
    return { ...((await response.json()) as { token: string }), ms: performance.now() - start }
  }
  const { token } = await mint('crowd')
  const crowd = Array.from({ length: process.env.USHER_LONG_TESTS ? 2000 : 250 }, async () =>
    upgradeStatus(`${base(t)}/sync/crowd?token=wrong`, { host: t.host }),
  )
  const times = await Promise.all(Array.from({ length: 40 }, async (_, i) => (await mint(`quiet-${i}`)).ms))
  const answers = await Promise.all(crowd)
  // Told over HTTP to come back later, which every client does with a growing pause.
  expect(answers.filter((status) => status === 503 || status === 401).length).toBeGreaterThan(100)
  expect(answers.filter((status) => ![101, 401, 503].includes(status))).toEqual([])
  times.sort((a, b) => a - b)
  expect(times[Math.floor(times.length * 0.99) - 1]).toBeLessThan(process.env.USHER_LONG_TESTS ? 250 : 1500)
  await Bun.sleep(1500)
  using ada = connect(`${base(t)}/sync`, 'crowd', { params: { token }, headers: { host: t.host } })
  await ada.synced()
}, 60_000)
