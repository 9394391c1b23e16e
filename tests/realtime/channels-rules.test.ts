import { expect, test } from 'bun:test'
import { removeMember } from '../../apps/server/src/domains/organizations/index.ts'
import { findSessionState, mintSessionToken } from '../../apps/server/src/domains/sessions/index.ts'
import { type TestInstance, testInstance } from '../../apps/server/src/testing/server.ts'
import { channels, chat, signedIn } from './channels-support.ts'
import { until } from './support.ts'

const types = (t: TestInstance, ...list: object[]) =>
  t.server.runtime.instances.changeSettings(t.ctx().instance.id, { channels: { types: list } })

const post = (t: TestInstance, channel: string, body: object, key?: string) =>
  t.fetch(`/v1/channels/${encodeURIComponent(channel)}/messages`, {
    method: 'POST',
    secretKey: true,
    headers: { 'content-type': 'application/json', ...(key && { 'idempotency-key': key }) },
    body: JSON.stringify(body),
  })

test('K4 K14 C-1 a writer who is demoted is told and refused, and a removed member hears nothing more, within a second', async () => {
  const t = await testInstance()
  const { channel, organizationId, ada, bob, setRole } = await chat(t)
  const [a, b] = await Promise.all([ada, bob].map(async ({ id }) => (await signedIn(t, id)).connect()))
  if (!a || !b) throw new Error('no sockets')
  for (const socket of [a, b]) expect(await socket.ask({ t: 'sub', ch: channel })).toMatchObject({ t: 'subbed' })
  expect(await b.ask({ t: 'pub', ch: channel, name: 'x' })).toMatchObject({ t: 'ack', offset: 1 })
  let start = performance.now()
  await setRole(bob.id, 'org:member')
  expect(await b.heard('role', 1000)).toMatchObject({ ch: channel, can: ['history', 'presence'] })
  expect(performance.now() - start).toBeLessThan(1000)
  expect(await b.ask({ t: 'pub', ch: channel, name: 'x' })).toMatchObject({ t: 'err', code: 'forbidden' })
  start = performance.now()
  await removeMember(t.ctx(), { organizationId, userId: bob.id })
  expect(await b.heard('role', 1000)).toMatchObject({ ch: channel, can: [], ended: true, code: 'forbidden' })
  expect(performance.now() - start).toBeLessThan(1000)
  b.texts.length = 0
  await setRole(ada.id, 'org:admin')
  expect((await post(t, channel, { name: 'secret' })).status).toBe(200)
  await until(() => a.texts.some(({ t, name }) => t === 'msg' && name === 'secret'), 'delivered')
  await Bun.sleep(50)
  expect(b.texts).toEqual([])
  // K14: a place in the history opens nothing.
  const again = await b.ask({ t: 'sub', ch: channel, since: { epoch: 'x', offset: 0 } })
  expect(again).toMatchObject({ t: 'err', code: 'forbidden' })
  for (const socket of [a, b]) socket.socket.close()
}, 60_000)

test('K4 C-1 a session that ends closes its sockets with 4401; somebody else’s token renews nothing', async () => {
  const t = await testInstance()
  const { channel, ada, bob } = await chat(t)
  const person = await signedIn(t, ada.id)
  const [first, second] = [await person.connect(), await person.connect()]
  expect(await first.ask({ t: 'sub', ch: channel })).toMatchObject({ t: 'subbed' })
  await second.opened
  second.say({ t: 'auth', token: await person.token() })
  expect((await second.heard('authed')).expiresAt).toBeGreaterThan(Date.now())
  second.say({ t: 'auth', token: await (await signedIn(t, bob.id)).token() })
  expect(await second.heard('err')).toMatchObject({ code: 'forbidden' })
  second.say({ t: 'auth', token: 'nonsense' })
  expect(await second.heard('err')).toMatchObject({ code: 'unauthenticated' })
  const start = performance.now()
  const revoked = await t.fetch(`/v1/sessions/${person.sessionId}/revoke`, { method: 'POST', secretKey: true })
  expect(revoked.status).toBe(200)
  for (const { closed } of [first, second]) expect(await closed).toMatchObject({ code: 4401 })
  expect(performance.now() - start).toBeLessThan(1000)
  const wrong = channels(t, 'ey.no.token')
  expect(await wrong.closed).toMatchObject({ code: 4001 })
}, 60_000)

test('K4 C-1 a socket is told before its token ends, goes on with a new one, and is closed with 4001 without', async () => {
  const t = await testInstance()
  const { channel, ada } = await chat(t)
  const person = await signedIn(t, ada.id)
  const mint = async (lifetime: number, ctx = t.ctx()) => {
    const state = await findSessionState(ctx, person.sessionId)
    if (!state) throw new Error('no session')
    return mintSessionToken(ctx, state, { lifetime })
  }
  const start = performance.now()
  const token = await mint(4)
  const [silent, live] = [channels(t, token), channels(t, token)]
  for (const socket of [silent, live]) await socket.ask({ t: 'sub', ch: channel })
  expect((await live.heard('expiring')).inMs).toBeLessThanOrEqual(4000)
  live.say({ t: 'auth', token: await person.token() })
  await live.heard('authed')
  const yesterday = { ...t.ctx(), now: () => new Date(Date.now() - 86_400_000) }
  const late = channels(t, await mint(60, yesterday))
  expect((await late.closed).code).toBe(4001)
  expect((await silent.closed).code).toBe(4001)
  // Its end, and five seconds in which an answer may be on its way.
  expect(performance.now() - start).toBeGreaterThan(7500)
  expect(live.closing).toBeUndefined()
  expect(await live.ask({ t: 'history', ch: channel })).toMatchObject({ t: 'history', messages: [] })
  live.socket.close()
}, 60_000)

test('C-1 what no type names is refused; a channel of a person is theirs; only the server speaks where it says so', async () => {
  const t = await testInstance()
  const { organizationId, ada, bob } = await chat(t)
  await types(t, { pattern: 'org:{org_id}:secrets', subscribe: { role: 'org:admin' }, publish: { role: 'org:admin' } })
  const [a, b] = await Promise.all([ada, bob].map(async ({ id }) => (await signedIn(t, id)).connect()))
  if (!a || !b) throw new Error('no sockets')
  const code = async (socket: typeof a, ch: unknown) => {
    const answer = await socket.ask({ t: 'sub', ch })
    return answer.t === 'subbed' ? answer.can : answer.code
  }
  expect(await code(a, `org:${organizationId}:secrets`)).toEqual(['pub', 'history', 'presence'])
  expect(await code(b, `org:${organizationId}:secrets`)).toBe('forbidden')
  expect(await code(b, `user:${ada.id}:inbox`)).toBe('forbidden')
  expect(await code(b, `user:${bob.id}:inbox`)).toEqual(['history'])
  expect(await code(b, `user:${bob.id}:auth`)).toEqual([])
  for (const ch of ['lobby', 'anything:at:all', `org:${organizationId}`, `doc:${organizationId}/plan`, 'org::chat:1'])
    expect([ch, await code(b, ch)]).toEqual([ch, 'forbidden'])
  for (const ch of ['', 'x'.repeat(300), 'späce', 17, null, undefined]) expect(await code(b, ch)).toBe('malformed')
  expect((await post(t, `user:${bob.id}:auth`, { name: 'revoked' })).status).toBe(403)
  // Settings are live: another rule, and who no longer fits is out.
  await types(t, { pattern: 'org:{org_id}:secrets', subscribe: { permission: 'org:chat:write' } })
  expect(await a.heard('role', 1000)).toMatchObject({ ch: `org:${organizationId}:secrets`, ended: true })
  expect(await code(b, `org:${organizationId}:secrets`)).toEqual(['history', 'presence'])
  for (const socket of [a, b]) socket.socket.close()
}, 60_000)

test('C-2 a type that declares events accepts no others, and none whose data does not fit', async () => {
  const t = await testInstance()
  const { channel, bob } = await chat(t)
  const schema = {
    type: 'object',
    properties: { text: { type: 'string', maxLength: 5 } },
    required: ['text'],
    additionalProperties: false,
  }
  const type = { pattern: 'org:{org_id}:chat:*', publish: { permission: 'org:chat:write' } }
  await types(t, { ...type, events: { 'message.sent': schema } })
  using b = await (await signedIn(t, bob.id)).connect()
  await b.ask({ t: 'sub', ch: channel })
  const say = (name: unknown, data?: unknown) => b.ask({ t: 'pub', ch: channel, name, data })
  expect(await say('message.sent', { text: 'hi' })).toMatchObject({ t: 'ack', offset: 1 })
  expect(await say('message.gone', { text: 'hi' })).toMatchObject({ t: 'err', code: 'unknown_event' })
  expect(await say('toString', { text: 'hi' })).toMatchObject({ t: 'err', code: 'unknown_event' })
  for (const data of [{ text: 'too long' }, { text: 1 }, {}, null, undefined, 'text', { text: 'hi', more: 1 }])
    expect(await say('message.sent', data)).toMatchObject({ t: 'err', code: 'invalid_data' })
  for (const name of ['', 'with space', 17, null, 'x'.repeat(65)])
    expect(await say(name, { text: 'hi' })).toMatchObject({ t: 'err', code: 'malformed' })
  expect((await post(t, channel, { name: 'message.sent', data: { text: 'too long' } })).status).toBe(422)
  const bad = types(t, { ...type, events: { x: { type: 'nonsense' } } })
  await expect(bad).rejects.toMatchObject({ code: 'form_param_value_invalid' })
}, 60_000)

for (const history of ['memory', 'durable'] as const)
  test(`C-3 whoever comes back to a ${history} channel gets what they missed, in order, and is told when that is gone`, async () => {
    const t = await testInstance()
    const { channel, ada, bob } = await chat(t)
    await types(t, { pattern: 'org:{org_id}:chat:*', publish: { permission: 'org:chat:write' }, history })
    const [a, b] = await Promise.all([ada, bob].map(({ id }) => signedIn(t, id)))
    if (!a || !b) throw new Error('nobody')
    using writer = await b.connect()
    const first = await a.connect()
    await writer.ask({ t: 'sub', ch: channel })
    const begun = await first.ask({ t: 'sub', ch: channel })
    expect(begun).toMatchObject({ offset: 0, recovered: false, ...(history === 'durable' && { epoch: '' }) })
    const say = async (n: number) => {
      const ack = await writer.ask({ t: 'pub', ch: channel, name: 'n', data: n })
      expect(ack).toMatchObject({ t: 'ack', offset: n })
      return ack.epoch as string
    }
    const epoch = await say(1)
    const heard = await first.heard('msg')
    expect(heard).toMatchObject({ offset: 1, data: 1, epoch })
    first.socket.close()
    await first.closed
    for (let n = 2; n <= 20; n++) await say(n)
    using second = await a.connect()
    const resumed = second.ask({ t: 'sub', ch: channel, since: { epoch, offset: 1 } })
    for (let n = 21; n <= 40; n++) await say(n)
    expect(await resumed).toMatchObject({ epoch, offset: 1, recovered: true })
    await until(() => second.texts.filter(({ t }) => t === 'msg').length === 39, 'all')
    const offsets = second.texts.filter(({ t }) => t === 'msg').map(({ offset, data }) => [offset, data])
    expect(offsets).toEqual(Array.from({ length: 39 }, (_, i) => [i + 2, i + 2]))
    const page = await second.ask({ t: 'history', ch: channel, before: 11, limit: 3 })
    expect((page.messages as { data: number }[]).map(({ data }) => data)).toEqual([8, 9, 10])
    using third = await a.connect()
    // Another history, a place that never was, and (where all is kept) the place of somebody who was there before it.
    const since = (epoch: string, offset: number) => third.ask({ t: 'sub', ch: channel, since: { epoch, offset } })
    expect(await since('00000000-0000-0000-0000-000000000000', 3)).toMatchObject({ recovered: false, offset: 40 })
    third.say({ t: 'unsub', ch: channel })
    expect(await since(epoch, 41)).toMatchObject({ recovered: false, offset: 40 })
    third.say({ t: 'unsub', ch: channel })
    expect(await since('', 0)).toMatchObject({ recovered: history === 'durable' })
    third.say({ t: 'unsub', ch: channel })
    for (const bad of [{ epoch, offset: -1 }, { epoch, offset: 1.5 }, { offset: 1 }, 'x'])
      expect(await third.ask({ t: 'sub', ch: channel, since: bad })).toMatchObject({ code: 'malformed' })
  }, 60_000)

test('C-4 presence counts people and not connections, tells changes together, and forgives a reload', async () => {
  const t = await testInstance()
  const { channel, ada, bob } = await chat(t)
  const [a, b] = await Promise.all([ada, bob].map(({ id }) => signedIn(t, id)))
  if (!a || !b) throw new Error('nobody')
  using watcher = await a.connect()
  expect(await watcher.ask({ t: 'sub', ch: channel, presence: true, data: { at: 'home' } })).toMatchObject({
    members: [],
  })
  const own = await watcher.heard('presence')
  expect(own).toMatchObject({ join: [{ id: ada.id, user: ada.id, conns: 1, data: { at: 'home' } }], leave: [] })
  const [first, second] = [await b.connect(), await b.connect()]
  await Promise.all([first, second].map((s) => s.ask({ t: 'sub', ch: channel, presence: true })))
  await until(() => watcher.texts.some(({ t }) => t === 'presence'), 'told')
  await Bun.sleep(150)
  const told = watcher.texts.filter(({ t }) => t === 'presence')
  expect((told.at(-1)?.join ?? told.at(-1)?.update) as object[]).toBeArray()
  expect(told.flatMap(({ join }) => join as { id: string }[]).map(({ id }) => id)).toEqual([bob.id])
  watcher.texts.length = 0
  first.say({ t: 'presence', ch: channel, data: { typing: true } })
  expect(await watcher.heard('presence')).toMatchObject({
    update: [{ id: bob.id, conns: 2, data: { typing: true } }],
    join: [],
    leave: [],
  })
  // Limits.
  const wide = Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, 1]))
  expect(await first.ask({ t: 'presence', ch: channel, data: wide })).toMatchObject({ code: 'malformed' })
  expect(await first.ask({ t: 'presence', ch: channel, data: { x: 'x'.repeat(4096) } })).toMatchObject({
    code: 'too_large',
  })
  // Both go without a word, one comes back: nobody has left.
  for (const { socket } of [first, second]) (socket as unknown as { terminate(): void }).terminate()
  await Promise.all([first.closed, second.closed])
  const back = await b.connect()
  expect(await back.ask({ t: 'sub', ch: channel, presence: true, data: { back: true } })).toMatchObject({
    members: expect.arrayContaining([expect.objectContaining({ id: bob.id })]),
  })
  await Bun.sleep(200)
  expect(watcher.texts.flatMap(({ leave }) => (leave as string[] | undefined) ?? [])).toEqual([])
  watcher.texts.length = 0
  back.say({ t: 'presence', ch: channel, data: null })
  expect(await watcher.heard('presence', 1000)).toMatchObject({ leave: [bob.id] })
  back.socket.close()
}, 60_000)

test('C-5 the server publishes by its key, a repetition counts once even in parallel, and another message under it is refused', async () => {
  const t = await testInstance()
  const { channel, ada } = await chat(t)
  for (const history of ['memory', 'durable']) {
    await types(t, { pattern: 'org:{org_id}:chat:*', history })
    const name = `${channel}-${history}`
    using a = await (await signedIn(t, ada.id)).connect()
    await a.ask({ t: 'sub', ch: name })
    const body = { name: 'n', data: { nested: ['as', 'it', 'is'] } }
    const answers = await Promise.all(Array.from({ length: 8 }, () => post(t, name, body, 'order-7')))
    const all = (await Promise.all(answers.map((r) => r.json()))) as { offset: number; epoch: string; at: number }[]
    expect(new Set(all.map(({ offset, epoch, at }) => `${offset} ${epoch} ${at}`)).size).toBe(1)
    expect(all[0]).toMatchObject({ object: 'channel_message', offset: 1 })
    expect((await post(t, name, { ...body, data: 'other' }, 'order-7')).status).toBe(409)
    expect((await post(t, name, body, 'order-8')).status).toBe(200)
    await until(() => a.texts.filter(({ t }) => t === 'msg').length === 2, 'both')
    expect(a.texts.map(({ offset, data }) => [offset, data])).toEqual([
      [1, body.data],
      [2, body.data],
    ])
    const read = await t.fetch(`/v1/channels/${encodeURIComponent(name)}/messages?limit=1`, { secretKey: true })
    expect(await read.json()).toMatchObject({ object: 'list', offset: 2, data: [{ offset: 2, data: body.data }] })
  }
  expect((await post(t, channel, { name: 'n', data: 'x'.repeat(70_000) })).status).toBe(413)
  expect((await post(t, channel, { name: 'n' }, 'ü')).status).toBeGreaterThanOrEqual(400)
  const open = await t.fetch(`/v1/channels/${channel}/messages`, { method: 'POST' })
  expect([401, 404, 405]).toContain(open.status)
}, 60_000)

test('C-5 notifications reach every device, wait for whoever is away, and are read once for all of them', async () => {
  const t = await testInstance()
  const { bob, ada } = await chat(t)
  const person = await signedIn(t, bob.id)
  const channel = `user:${bob.id}:notifications`
  expect((await person.browser.get('/me/notifications')).body.response).toMatchObject({ data: [], unread_count: 0 })
  await post(t, channel, { name: 'task.assigned', data: { task: 1 } })
  const [phone, laptop] = [await person.connect(), await person.connect()]
  for (const device of [phone, laptop])
    expect(await device.ask({ t: 'sub', ch: channel })).toMatchObject({ offset: 1, can: ['history'] })
  await post(t, channel, { name: 'task.assigned', data: { task: 2 } })
  for (const device of [phone, laptop])
    expect(await device.heard('msg')).toMatchObject({ offset: 2, data: { task: 2 } })
  expect(await phone.ask({ t: 'pub', ch: channel, name: 'x' })).toMatchObject({ code: 'forbidden' })
  const list = (await person.browser.get('/me/notifications')).body.response
  expect(list).toMatchObject({ unread_count: 2, read_offset: 0, offset: 2 })
  expect(list.data.map(({ data, read }: { data: object; read: boolean }) => [data, read])).toEqual([
    [{ task: 2 }, false],
    [{ task: 1 }, false],
  ])
  const read = await person.browser.post('/me/notifications/read', { offset: '1' })
  expect(read.body.response).toMatchObject({ unread_count: 1, read_offset: 1 })
  for (const device of [phone, laptop]) expect(await device.heard('read')).toMatchObject({ ch: channel, offset: 1 })
  await person.browser.post('/me/notifications/read', { offset: '2' })
  expect((await person.browser.post('/me/notifications/read', { offset: '1' })).body.response.read_offset).toBe(2)
  expect((await person.browser.post('/me/notifications/read', { offset: '3' })).status).toBe(404)
  const other = await signedIn(t, ada.id)
  expect((await other.browser.get('/me/notifications')).body.response).toMatchObject({ data: [], unread_count: 0 })
  for (const device of [phone, laptop]) device.socket.close()
}, 60_000)

test('J4 K1 a backend hears of changes of rights, is in any channel of its instance and of no other; pages and cookies are not let in', async () => {
  const t = await testInstance()
  const { channel, bob, setRole } = await chat(t)
  const person = await signedIn(t, bob.id)
  const backend = channels(t, t.secretKey)
  const auth = `user:${bob.id}:auth`
  for (const ch of [auth, channel, 'jobs:42'])
    expect(await backend.ask({ t: 'sub', ch })).toMatchObject({ t: 'subbed' })
  await setRole(bob.id, 'org:member')
  expect(await backend.heard('msg', 1000)).toMatchObject({ ch: auth, name: 'changed' })
  await Bun.sleep(50)
  backend.texts.length = 0
  await t.fetch(`/v1/sessions/${person.sessionId}/revoke`, { method: 'POST', secretKey: true })
  expect(await backend.heard('msg', 1000)).toMatchObject({
    ch: auth,
    name: 'revoked',
    data: { session_id: person.sessionId },
    offset: 0,
  })
  expect(await backend.ask({ t: 'pub', ch: auth, name: 'revoked' })).toMatchObject({ code: 'forbidden' })
  expect(await backend.ask({ t: 'pub', ch: channel, name: 'from.server' })).toMatchObject({ t: 'ack' })
  expect((await backend.heard('msg')).from).toMatchObject({ user: null })
  // The same name in another instance is another channel.
  const other = await testInstance()
  const elsewhere = channels(other, other.secretKey)
  await elsewhere.ask({ t: 'sub', ch: channel })
  await elsewhere.ask({ t: 'pub', ch: channel, name: 'elsewhere' })
  await backend.ask({ t: 'pub', ch: channel, name: 'here' })
  expect(backend.texts.filter(({ t }) => t === 'msg').map(({ name }) => name)).toEqual(['here'])
  for (const socket of [backend, elsewhere]) socket.socket.close()
  // A page that has the key is refused, and a cookie is no credential (K1).
  for (const headers of [{ origin: 'http://localhost:3000' }, { origin: 'https://evil.example' }, { origin: 'null' }]) {
    const page = channels(t, t.secretKey, headers)
    page.opened.catch(() => {})
    expect([4403, 1002, 1006]).toContain((await page.closed).code)
  }
  const cookie = [...person.browser.cookies].map(([k, v]) => `${k}=${v}`).join('; ')
  const withCookie = channels(t, undefined, { cookie, origin: 'http://localhost:3000' })
  await withCookie.opened
  withCookie.say({ t: 'sub', ch: channel })
  expect(await withCookie.closed).toMatchObject({ code: 4422 })
}, 60_000)

test('what was said in the channels of a person, an organization or a document goes with them', async () => {
  const t = await testInstance()
  const { channel, organizationId, bob } = await chat(t)
  await types(t, { pattern: 'org:{org_id}:chat:*', history: 'durable' }, { pattern: 'doc:*', history: 'durable' })
  const names = [channel, `user:${bob.id}:notifications`]
  for (const name of names) expect((await post(t, name, { name: 'n' })).status).toBe(200)
  const { systemSql } = t.server.runtime.database
  const left = async () =>
    (await systemSql`select name from channels where instance_id = ${t.ctx().instance.id} order by name`).map(
      ({ name }: { name: string }) => name,
    )
  expect(await left()).toEqual([...names].sort())
  expect((await t.fetch(`/v1/users/${bob.id}`, { method: 'DELETE', secretKey: true })).status).toBe(200)
  expect((await t.fetch(`/v1/organizations/${organizationId}`, { method: 'DELETE', secretKey: true })).status).toBe(200)
  const deadline = performance.now() + 2000
  while ((await left()).length > 0 && performance.now() < deadline) await Bun.sleep(20)
  expect(await left()).toEqual([])
}, 60_000)
