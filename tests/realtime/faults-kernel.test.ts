import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join as pathOf } from 'node:path'
import { established, unheard } from '../support/tcp.ts'
import { type Issuer, startIssuer } from './issuer.ts'
import { connect, generous, type SyncServerProcess, startSyncServer, stateOf, until, Y } from './support.ts'

const long = Boolean(process.env.USHER_LONG_TESTS)

// People who are somebody: of those whom nobody knows none is the same as another one.
let issuer: Issuer
let server: SyncServerProcess
beforeAll(async () => {
  issuer = await startIssuer()
  server = await startSyncServer({
    args: ['--issuer', issuer.url, '--audience', issuer.audience, '--jwks', `${issuer.url}/jwks`],
    env: { ...generous, USHER_EGRESS_ALLOW: issuer.host },
  })
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  issuer[Symbol.dispose]()
})
const tokenOf = (sub: string) => issuer.sign({ sub, exp: issuer.now() + 600 })
const join = async (room: string, sub: string, doc?: Y.Doc) => {
  const connection = connect(server.wsUrl, room, { params: { token: await tokenOf(sub) }, ...(doc && { doc }) })
  await connection.synced()
  return connection
}

const port = () => Number(new URL(server.wsUrl).port)
const rss = () => Number(readFileSync(`/proc/${server.process.pid}/statm`, 'utf8').split(' ')[1]) * 4096

type Happened = { event: string; received?: number; keys?: number; code?: number }

/** A client on the bare system calls. @param receiveBuffer bytes that its kernel takes for it; 0: as many as usual */
async function startKernelClient(room: string, sub: string, { receiveBuffer = 0, client = 4711 } = {}) {
  const script = pathOf(import.meta.dir, 'kernel-client.ts')
  const child = Bun.spawn(
    [
      process.execPath,
      script,
      String(port()),
      `/sync/${room}?token=${await tokenOf(sub)}`,
      String(receiveBuffer),
      String(client),
    ],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  )
  const happened: Happened[] = []
  ;(async () => {
    let text = ''
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream() as never)) {
      const lines = (text + String(chunk)).split('\n')
      text = lines.pop() ?? ''
      for (const line of lines) happened.push(JSON.parse(line))
    }
  })()
  const saw = (event: string) => happened.some((what) => what.event === event)
  const state = () => happened.findLast(({ event }) => event === 'state') ?? { received: 0, keys: 0 }
  await until(() => saw('opened'), 'opened')
  return {
    happened,
    saw,
    state,
    say: async (word: string) => {
      const before = happened.length
      child.stdin.write(`${word}\n`)
      child.stdin.flush()
      await until(() => happened.slice(before).some(({ event }) => event === word), word)
    },
    /** Its kernel says goodbye for it. */
    kill: async () => {
      child.kill('SIGKILL')
      await child.exited
    },
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await child.exited
    },
  }
}

const nameOf = (client: ReturnType<typeof connect>, id: number) =>
  (client.client.awareness.getStates().get(id) as { name?: string } | undefined)?.name

test('what the kernel drops is never acknowledged; the new connection of the same person is not disturbed by that', async () => {
  using bob = await join('dropped', 'bob')
  await using ada = await startKernelClient('dropped', 'ada', { client: 4711 })
  await using eve = await startKernelClient('dropped', 'eve', { client: 4712 })
  await until(() => nameOf(bob, 4711) === 'Ada' && nameOf(bob, 4712) === 'Ada', 'seen')
  const before = established(port())
  await Promise.all([ada.say('drop'), eve.say('drop')])
  const startedAt = performance.now()
  bob.doc.getText('t').insert(0, 'nobody acknowledges this')
  await until(() => unheard(port()) === 2, 'sent again by the kernel')
  const doc = new Y.Doc()
  doc.clientID = 4711
  using again = await join('dropped', 'ada', doc)
  expect(doc.getText('t').toString()).toBe('nobody acknowledges this')
  for (let clock = 0; clock < 3; clock++) again.client.awareness.setLocalState({ name: `Ada, again ${clock}` })
  await until(() => nameOf(bob, 4711) === 'Ada, again 2', 'seen again')
  if (long) {
    await until(() => nameOf(bob, 4712) === undefined, 'gone from the room', 62_000)
    await until(() => established(port()) === before - 1, 'cut by the server', 75_000 - (performance.now() - startedAt))
  } else {
    // The late end of the old ones: their kernel says goodbye, and that arrives.
    await Promise.all([ada.kill(), eve.kill()])
    await until(() => nameOf(bob, 4712) === undefined && established(port()) === before - 1, 'gone')
  }
  doc.getText('t').insert(0, 'still here: ')
  await until(() => bob.doc.getText('t').toString().startsWith('still here: '), 'received')
  await Bun.sleep(200)
  expect(nameOf(bob, 4711)).toBe('Ada, again 2')
  expect([...again.closes, ...bob.closes]).toEqual([])
}, 120_000)

test('somebody who reads a byte a second costs a bounded amount, disturbs nobody, and gets everything in the end', async () => {
  using ada = await join('trickle', 'ada')
  using bob = await join('trickle', 'bob')
  // The smallest window that Linux gives.
  const slow = await Promise.all(
    Array.from({ length: long ? 10 : 3 }, (_, i) =>
      startKernelClient('trickle', 'eve', { receiveBuffer: 1, client: 100 + i }),
    ),
  )
  for (const one of slow) await one.say('trickle')
  const map = ada.doc.getMap<string>('m')
  const seen = bob.doc.getMap<string>('m')
  const before = rss()
  let [growth, worstMs, keys] = [0, 0, 0]
  const write = async (kilobytes: number, forMs: number) => {
    const times = Math.ceil(kilobytes / 50)
    for (let i = 0; i < times; i++) {
      const startedAt = performance.now()
      map.set(`k${keys}`, `${keys}-`.padEnd(50_000, 'x'))
      await until(() => seen.has(`k${keys}`), 'received')
      keys++
      worstMs = Math.max(worstMs, performance.now() - startedAt)
      growth = Math.max(growth, rss() - before)
      await Bun.sleep(Math.max(0, forMs / times - (performance.now() - startedAt)))
    }
  }
  await write(3000, long ? 15_000 : 6000)
  for (const one of slow) expect(one.state().received).toBeLessThan(5000)
  expect(growth).toBeLessThan(slow.length * 5e6 + 60e6)
  expect(worstMs).toBeLessThan(2000)
  // After a while, and before it is too long, they read: the same connection, and nothing is missing.
  await Promise.all(slow.map((one) => one.say('read')))
  await until(() => slow.every((one) => one.state().keys === keys), 'whole', 20_000)
  expect(slow.map((one) => one.saw('closed'))).toEqual(slow.map(() => false))
  if (long) {
    // For minutes: cut off with 4509, which somebody so slow never comes to read, and nobody else is.
    for (const one of slow) await one.say('trickle')
    await write(3000, 170_000)
    const metrics = await (await fetch(`http://127.0.0.1:${port()}/metrics`)).text()
    expect(metrics).toContain(`usher_realtime_closes_total{plane="sync",reason="slow_consumer"} ${slow.length}`)
    await Promise.all(slow.map((one) => one.say('read')))
    await until(() => slow.every((one) => one.saw('closed')), 'closed', 30_000)
  }
  using again = await join('trickle', 'eve')
  expect(stateOf(again.doc)).toBe(stateOf(ada.doc))
  expect([...ada.closes, ...bob.closes]).toEqual([])
  for (const one of slow) await one[Symbol.asyncDispose]()
}, 300_000)
