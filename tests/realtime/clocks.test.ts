import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect as connectClient } from '@usher/sync'
import { temporaryDirectory } from '../support/usher.ts'
import { type Member, member } from './encrypted-support.ts'
import { type Issuer, startIssuer } from './issuer.ts'
import { named } from './named.ts'
import { connect, generous, raw, type SyncServerProcess, startSyncServer, stateOf, until } from './support.ts'

const faketime = process.env.USHER_TEST_FAKETIME ?? ''
const long = Boolean(process.env.USHER_LONG_TESTS)
const step1 = Uint8Array.of(0, 0, 1, 0)

const data = temporaryDirectory()
const offsetFile = join(data.path, 'offset')
let issuer: Issuer
let server: SyncServerProcess

/** Moves the wall clock of the server, and of its database, while they run. Monotonic clocks go on as they are. */
async function leapTo(seconds: number) {
  writeFileSync(offsetFile, `${seconds < 0 ? '' : '+'}${seconds}\n`)
  await Bun.sleep(50)
}

beforeAll(async () => {
  if (!faketime) return
  issuer = await startIssuer()
  await leapTo(0)
  server = await startSyncServer({
    data: join(data.path, 'usher'),
    args: ['--issuer', issuer.url, '--audience', issuer.audience, '--jwks', `${issuer.url}/jwks`],
    env: {
      ...generous,
      USHER_EGRESS_ALLOW: issuer.host,
      LD_PRELOAD: faketime,
      FAKETIME_TIMESTAMP_FILE: offsetFile,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
  })
}, 60_000)
afterAll(async () => {
  if (!faketime) return
  await server.stop()
  issuer[Symbol.dispose]()
  data[Symbol.dispose]()
})

/** A token for every document, for so many seconds by the issuer's clock. */
const token = (seconds: number, change: Record<string, unknown> = {}) =>
  issuer.sign({ room: '*', access: 'write', exp: issuer.now() + seconds, ...change })

async function codeFor(given: string): Promise<number | 'in'> {
  const socket = raw(`${server.wsUrl}/clock?token=${given}`)
  await socket.opened
  socket.socket.send(step1)
  await until(() => socket.frames.length > 0, 'answered')
  if (socket.frames[0]?.[0] === 0) {
    socket.socket.close()
    return 'in'
  }
  return (await socket.closed).code
}

describe.skipIf(!faketime)('clocks', () => {
  test('D13 T-20 a server whose clock is ten minutes off refuses an issuer’s tokens, and takes them when it is set right', async () => {
    const off = { 0: 'in', 600: 4001, '-600': 4001, 4: 'in', '-4': 'in' } as const
    for (const [seconds, expected] of Object.entries(off)) {
      await leapTo(Number(seconds))
      expect({ seconds, code: await codeFor(await token(120)) }).toEqual({ seconds, code: expected })
    }
    // Five seconds over its end, and no more.
    await leapTo(0)
    expect(await codeFor(await token(-2))).toBe('in')
    expect(await codeFor(await token(-10))).toBe(4001)
    expect(await codeFor(await token(120, { nbf: issuer.now() + 4 }))).toBe('in')
    expect(await codeFor(await token(120, { nbf: issuer.now() + 60 }))).toBe(4001)
  }, 60_000)

  test('T-6 a leap of the wall clock neither ends a connection before its token nor lets it live on', async () => {
    const open = async (seconds: number) => {
      const endsAt = (issuer.now() + seconds) * 1000
      const socket = raw(`${server.wsUrl}/leaping?token=${await token(seconds, { exp: endsAt / 1000 })}`)
      await socket.opened
      socket.socket.send(step1)
      await until(() => socket.frames.length > 0, 'answered')
      return { ...socket, ended: socket.closed.then(({ code }) => ({ code, lateMs: Date.now() - endsAt })) }
    }
    for (const leap of [3600, -3600]) {
      await leapTo(0)
      const lasting = await open(60)
      const short = await open(2)
      using told = named(`${server.wsUrl}/leaping`, { token: await token(4) })
      await told.opened
      told.socket.send(step1)
      await leapTo(leap)
      // Not before its end, and not an hour behind it.
      const { code, lateMs } = await short.ended
      expect(code).toBe(4001)
      expect(lateMs).toBeGreaterThan(-100)
      expect(lateMs).toBeLessThan(4000)
      expect((await told.heard('expiring')).inMs).toBeLessThanOrEqual(2500)
      expect(lasting.socket.readyState).toBe(WebSocket.OPEN)
      expect(told.closing).toBeUndefined()
      lasting.socket.close()
    }
    await leapTo(0)
  }, 60_000)

  test('R-13 documents go on while the clock leaps to and fro: numbers without gaps, nothing lost, presence kept', async () => {
    await leapTo(0)
    const params = { token: await token(120) }
    using ada = connect(server.wsUrl, 'written', { params })
    using bob = connect(server.wsUrl, 'written', { params })
    const members: Member[] = [0, 1].map(() => member(server.wsUrl, 'sealed', { token: params.token }))
    const [carol, dave] = members as [Member, Member]
    await Promise.all([ada.synced(), bob.synced(), carol.welcome(), dave.welcome()])
    ada.client.awareness.setLocalStateField('name', 'ada')
    let written = 0
    for (const leap of [3600, -3600, 86_400, 0, ...(long ? [-86_400, 31_536_000, 0] : [])]) {
      await leapTo(leap)
      for (let i = 0; i < 5; i++) {
        ada.doc.getArray('a').push([written])
        await carol.acked((await carol.write(`line ${written++}`)).cseq)
      }
      await until(() => bob.doc.getArray('a').length === written, 'received')
    }
    expect([...ada.closes, ...bob.closes, carol.closing, dave.closing].filter(Boolean)).toEqual([])
    expect(bob.client.awareness.getStates().get(ada.doc.clientID)).toMatchObject({ name: 'ada' })
    await dave.reached(written)
    expect(await dave.read()).toEqual(Array.from({ length: written }, (_, i) => `line ${i}`))
    using reader = connect(server.wsUrl, 'written', { params: { token: await token(120) } })
    await reader.synced()
    expect(stateOf(reader.doc)).toBe(stateOf(ada.doc))
    for (const one of members) one[Symbol.dispose]()
  }, 60_000)
})

test('a client whose own clock leaps stays; one that is set back still notices a server that went silent', async () => {
  const { now } = Date
  const monotonic = performance.now.bind(performance)
  const every = globalThis.setInterval
  // It looks every five seconds whether the server is silent: here ten times as often.
  globalThis.setInterval = ((work: () => void, ms: number) => every(work, ms / 10)) as typeof setInterval
  const silent = Bun.serve({
    port: 0,
    fetch: (request, server) => (server.upgrade(request) ? undefined : new Response('', { status: 400 })),
    websocket: {
      open: (socket) => {
        socket.sendBinary(Uint8Array.of(0, 0, 1, 0))
      },
      message: (socket, message) => {
        if (String(message).includes('ping') && answers) socket.send('{"t":"pong"}')
      },
    },
  })
  let answers = true
  let connections = 0
  const connection = connectClient({
    url: `ws://127.0.0.1:${silent.port}`,
    docId: 'x',
    backoff: { minMs: 20, maxMs: 50 },
  })
  connection.on('state', (state) => {
    if (state.status === 'connected') connections++
  })
  try {
    await until(() => connections > 0, 'connected')
    const before = connections
    Date.now = () => now() + 3_600_000
    // Two looks of the client: it asks, and is answered.
    await Bun.sleep(1_200)
    expect({ connections, status: connection.state.status }).toEqual({ connections: before, status: 'connected' })
    answers = false
    Date.now = () => now() - 3_600_000
    performance.now = () => monotonic() + 50_000
    await until(() => connections > before, 'connected anew', 8_000)
  } finally {
    Date.now = now
    performance.now = monotonic
    globalThis.setInterval = every
    connection.destroy()
    await silent.stop(true)
  }
}, 60_000)
