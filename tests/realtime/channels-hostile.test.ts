import { expect, test } from 'bun:test'
import { connect as connectTcp, type Socket } from 'node:net'
import { transaction } from '../../apps/server/src/database/index.ts'
import { channelsOf, deleteOldChannelMessages } from '../../apps/server/src/domains/channels/index.ts'
import { defaultLimits } from '../../apps/server/src/domains/sync/index.ts'
import { RealtimePlane } from '../../apps/server/src/faces/realtime/index.ts'
import { metrics } from '../../apps/server/src/kernel/metrics.ts'
import { testInstance } from '../../apps/server/src/testing/server.ts'
import { channels, chat, signedIn } from './channels-support.ts'
import { upgradeStatus } from './support.ts'

test('C-1 malformed frames end the connection with 4422 or 4413 and nobody else’s', async () => {
  const t = await testInstance()
  const { channel, bob } = await chat(t)
  const person = await signedIn(t, bob.id)
  const token = await person.token()
  using bystander = channels(t, token)
  await bystander.ask({ t: 'sub', ch: channel })
  const nested = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`
  const pub = (data: string) => `{"t":"pub","id":9,"ch":"${channel}","name":"n","data":${data}}`
  const cases: [string | Uint8Array, number][] = [
    ['', 4422],
    ['{', 4422],
    ['null', 4422],
    ['[]', 4422],
    ['{"t":1}', 4422],
    ['{"t":"ping","t":"pub"}', 4422],
    [pub('{"a":1,"\\u0061":2}'), 4422],
    [pub('NaN'), 4422],
    [pub('1e999'), 4422],
    [pub(nested(40)), 4422],
    [nested(100_000).slice(0, 60_000), 4422],
    [pub(`"${'x'.repeat(80_000)}"`), 4413],
    [Uint8Array.of(0, 0, 1, 0), 4422],
  ]
  for (const [frame, code] of cases) {
    const socket = channels(t, token)
    await socket.ask({ t: 'sub', ch: channel })
    socket.socket.send(frame as string)
    expect([String(frame).slice(0, 60), (await socket.closed).code]).toEqual([String(frame).slice(0, 60), code])
  }
  // Well-formed, and refused one by one.
  const refused = async (frame: object) => (await bystander.ask(frame as never)).code
  expect(await refused({ t: 'pub', ch: channel, name: 'n', data: 'x'.repeat(65_537) })).toBe('too_large')
  expect(await refused({ t: 'pub', ch: channel, name: 'n', key: 'with space' })).toBe('malformed')
  expect(await refused({ t: 'history', ch: channel, limit: 101 })).toBe('malformed')
  expect(await refused({ t: 'sub', ch: channel })).toBe('already_subscribed')
  // What is unknown is ignored, and strange data passes as it is.
  bystander.say({ t: 'from.the.future', ch: channel })
  const strange = { __proto__x: 1, ключ: '\u2028\u0000"\\', n: -0.5e-7, deep: [[[[{}]]]], text: '\ud83d' }
  expect(await bystander.ask({ t: 'pub', ch: channel, name: 'n', data: strange })).toMatchObject({ t: 'ack' })
  expect((await bystander.heard('msg')).data).toEqual(strange)
  expect(bystander.closing).toBeUndefined()
}, 60_000)

test('K5 of one address only so many wait without a token, and it is one address whatever part of its network it uses', async () => {
  const { runtime } = (await testInstance()).server
  const plane = new RealtimePlane({
    hub: channelsOf(runtime.database),
    log: runtime.log,
    limits: defaultLimits,
    isAllowedOrigin: () => true,
    admit: async () => ({ reason: 'unauthenticated', message: 'nobody comes in' }),
    judge: async () => ({ isSignedIn: false, verdicts: new Map() }),
    changes: () => 0,
    countRefusal: () => {},
  })
  const headers = { upgrade: 'websocket', 'sec-websocket-protocol': 'usher.v1' }
  const upgrade = (_: unknown, { data }: { data: unknown }) => {
    plane.open({ data, pause: () => {}, send: () => 0, close: () => {} } as never)
    return true
  }
  const fetch = (ip: string) =>
    plane.fetch(new Request('http://usher.test/realtime', { headers }), { upgrade } as never, ip)
  let open = 0
  for (let i = 0; i < 30; i++) if ((await fetch(`2001:db8:1:2::${i.toString(16)}`)) === undefined) open++
  expect(open).toBe(20)
  expect(await fetch('2001:db8:1:3::1')).toBeUndefined()
  await plane.stop(0)
})

test('K10 only so many pages of a history are read for one socket at the same time', async () => {
  const t = await testInstance()
  const { channel, bob } = await chat(t)
  const types = [{ pattern: 'org:{org_id}:chat:*', publish: {}, history: 'durable' }]
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { channels: { types } })
  using socket = await (await signedIn(t, bob.id)).connect()
  await socket.ask({ t: 'sub', ch: channel })
  await socket.ask({ t: 'pub', ch: channel, name: 'n', data: 'x' })
  const answers = await Promise.all(Array.from({ length: 30 }, () => socket.ask({ t: 'history', ch: channel })))
  const refused = answers.filter(({ code }) => code === 'rate_limited').length
  expect(refused).toBeGreaterThan(0)
  expect(answers.filter((answer) => answer.t === 'history').length).toBe(30 - refused)
  expect(await socket.ask({ t: 'history', ch: channel })).toMatchObject({ t: 'history', messages: [{ offset: 1 }] })
})

test('K1 K5 a socket needs a credential of its own within the first message, the subprotocol and an allowed origin', async () => {
  const t = await testInstance()
  const { channel, bob } = await chat(t)
  const person = await signedIn(t, bob.id)
  const token = await person.token()
  const first = channels(t)
  await first.opened
  first.say({ t: 'auth', token })
  expect((await first.heard('authed')).expiresAt).toBeGreaterThan(Date.now())
  expect(await first.ask({ t: 'sub', ch: channel })).toMatchObject({ t: 'subbed' })
  first.socket.close()
  for (const [frame, code] of [
    ['x'.repeat(20_000), 4413],
    ['{"t":"auth"}', 4422],
    ['{"t":"sub","ch":"x"}', 4422],
    ['{"t":"auth","token":"nonsense"}', 4001],
  ] as const) {
    const socket = channels(t)
    await socket.opened
    socket.socket.send(frame)
    expect([frame.slice(0, 40), (await socket.closed).code]).toEqual([frame.slice(0, 40), code])
  }
  const url = `ws://127.0.0.1:${t.server.port}/realtime`
  const headers = { host: t.host, 'sec-websocket-protocol': 'usher.v1' }
  expect(await upgradeStatus(url, { host: t.host })).toBe(400)
  for (const origin of ['https://evil.example', 'null'])
    expect(await upgradeStatus(url, { ...headers, origin })).toBe(403)
  expect((await fetch(url.replace('ws', 'http'), { headers: { host: t.host } })).status).toBe(426)
}, 60_000)

test('C-1 what was said in a channel that is left before it was joined is answered', async () => {
  const t = await testInstance()
  const { channel, bob } = await chat(t)
  using socket = await (await signedIn(t, bob.id)).connect()
  await socket.opened
  socket.say({ t: 'sub', ch: channel })
  const published = socket.ask({ t: 'pub', ch: channel, name: 'said', data: 1 })
  const read = socket.ask({ t: 'history', ch: channel })
  await Bun.sleep(0)
  socket.say({ t: 'unsub', ch: channel })
  expect(await published).toMatchObject({ t: 'err', code: 'not_subscribed' })
  expect(await read).toMatchObject({ t: 'err', code: 'not_subscribed' })
  expect(await socket.ask({ t: 'sub', ch: channel })).toMatchObject({ t: 'subbed', offset: 0 })
})

test('C-3 a socket that takes nothing is cut off, others are not held up, and what it missed is there when it is back', async () => {
  const t = await testInstance()
  const { channel, bob, ada } = await chat(t)
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, {
    channels: { types: [{ pattern: 'org:{org_id}:chat:*', history: 'durable' }] },
  })
  const slow = await signedIn(t, bob.id)
  const socket = await deaf(t.server.port as number, t.host, await slow.token(), channel)
  using healthy = await (await signedIn(t, ada.id)).connect()
  await healthy.ask({ t: 'sub', ch: channel })
  using backend = channels(t, t.secretKey)
  await backend.ask({ t: 'sub', ch: channel })
  const data = 'x'.repeat(60_000)
  const connections = async () =>
    Number((await metrics.getSingleMetricAsString('usher_realtime_connections')).match(/"realtime"} (\d+)/)?.[1])
  while ((await connections()) > 3) await Bun.sleep(10)
  // Nothing can be seen at the paused end: the server says whom it still has.
  let sent = 0
  for (; sent < 1000 && (await connections()) === 3; sent++) {
    expect(await backend.ask({ t: 'pub', ch: channel, name: 'n', data })).toMatchObject({ t: 'ack', offset: sent + 1 })
    backend.texts.length = 0
    healthy.texts.length = 0
  }
  expect(await connections()).toBe(2)
  expect(sent).toBeGreaterThan(50)
  socket.destroy()
  expect(healthy.closing).toBeUndefined()
  using back = await slow.connect()
  const page = await back.ask({ t: 'sub', ch: channel })
  back.say({ t: 'unsub', ch: channel })
  const since = { epoch: page.epoch as string, offset: sent - 20 }
  expect(await back.ask({ t: 'sub', ch: channel, since })).toMatchObject({ recovered: true })
}, 60_000)

/** A client that subscribes and then reads nothing: its window stays shut. */
async function deaf(port: number, host: string, token: string, channel: string): Promise<Socket> {
  const socket = connectTcp(port, '127.0.0.1')
  const bearer = `bearer.${Buffer.from(token).toString('base64url')}`
  socket.write(
    `GET /realtime HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
      `Sec-WebSocket-Key: ${Buffer.from('0123456789abcdef').toString('base64')}\r\nSec-WebSocket-Protocol: usher.v1, ${bearer}\r\n\r\n`,
  )
  const payload = Buffer.from(JSON.stringify({ t: 'sub', id: 1, ch: channel }))
  let heard = ''
  await new Promise<void>((resolve) => {
    socket.on('data', (bytes) => {
      const before = heard.includes('101')
      heard += bytes.toString('latin1')
      if (!before && heard.includes('101'))
        socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | payload.length, 0, 0, 0, 0]), payload]))
      if (heard.includes('subbed')) resolve()
    })
  })
  socket.removeAllListeners('data')
  socket.on('error', () => {})
  socket.pause()
  return socket
}

test('C-3 messages are kept as long as their type says; then a place before them is not resumed', async () => {
  const t = await testInstance()
  const { channel } = await chat(t)
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, {
    channels: { types: [{ pattern: 'org:{org_id}:chat:*', history: 'durable', retentionDays: 7 }] },
  })
  const day = 86_400_000
  const say = async (n: number) => {
    const sent = await t.fetch(`/v1/channels/${channel}/messages`, {
      method: 'POST',
      secretKey: true,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'n', data: n }),
    })
    return (await sent.json()) as { epoch: string; offset: number }
  }
  for (let n = 1; n <= 3; n++) await say(n)
  const upkeep = () => transaction(t.ctx(), (tx) => deleteOldChannelMessages(tx, 2))
  expect(await upkeep()).toBe(0)
  t.advance(7.5 * day)
  expect([await upkeep(), await upkeep(), await upkeep()]).toEqual([2, 1, 0])
  const { epoch, offset } = await say(4)
  expect(offset).toBe(4)
  const { systemSql } = t.server.runtime.database
  const rows = await systemSql`
    select m.seq::int as seq from channel_messages m join channels c on c.id = m.channel_id where c.name = ${channel}`
  expect(rows.map(({ seq }: { seq: number }) => seq)).toEqual([4])
  // A channel that was quiet for a season goes with its place.
  t.advance(100 * day)
  expect([await upkeep(), await upkeep()]).toEqual([1, 0])
  expect(await systemSql`select 1 from channels where name = ${channel}`).toHaveLength(0)
  const again = await say(5)
  expect(again.epoch).not.toBe(epoch)
  expect(again.offset).toBe(1)
}, 60_000)
