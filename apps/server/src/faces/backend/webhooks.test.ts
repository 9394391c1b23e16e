import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import { emit } from '../../domains/events/index.ts'
import { startReceiver, until, webhookInstance } from '../../domains/webhooks/testing.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { TestBrowser } from '../frontend/testing.ts'

// biome-ignore lint/suspicious/noExplicitAny: what came over the wire, for assertions
type Json = any

async function call(t: TestInstance, method: string, path: string, body?: unknown) {
  const response = await t.fetch(`/v1${path}`, {
    method,
    secretKey: true,
    headers: { 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  return { status: response.status, body: (await response.json()) as Json }
}

const url = 'https://example.com/api/webhooks'
/** Any address on the internet will do: what is refused is refused before anything is connected to. */
const literal = 'https://93.184.215.14/hooks'

test('endpoints are made, read, changed and deleted; their secret is shown when it is asked for', async () => {
  const t = await testInstance()
  const made = await call(t, 'POST', '/webhooks/endpoints', {
    url: literal,
    event_types: ['user.*'],
    description: 'CRM',
  })
  expect(made).toMatchObject({
    status: 200,
    body: { object: 'webhook_endpoint', url: literal, event_types: ['user.*'], description: 'CRM', disabled: false },
  })
  const path = `/webhooks/endpoints/${made.body.id}`
  expect(made.body.secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
  expect((await call(t, 'GET', `${path}/secret`)).body).toEqual({ object: 'webhook_secret', secret: made.body.secret })
  const listed = await call(t, 'GET', '/webhooks/endpoints')
  expect(listed.body.total_count).toBe(1)
  expect(JSON.stringify(listed.body)).not.toContain('whsec_')
  const changed = await call(t, 'PATCH', path, { event_types: [], disabled: true })
  expect(changed.body).toMatchObject({
    event_types: [],
    disabled: true,
    disabled_reason: 'operator',
    description: 'CRM',
  })
  const { secret } = (await call(t, 'POST', `${path}/secret/rotate`, { overlap_hours: 1 })).body
  expect(secret).not.toBe(made.body.secret)
  expect((await call(t, 'GET', `${path}/secret`)).body.secret).toBe(secret)
  const stored = await t.server.runtime.database
    .systemSql`select secrets::text as s from webhook_endpoints where id = ${made.body.id}`
  expect(stored[0].s).not.toContain(secret.slice(6))
  expect((await call(t, 'DELETE', path)).body).toEqual({ object: 'webhook_endpoint', id: made.body.id, deleted: true })
  expect((await call(t, 'GET', path)).status).toBe(404)
  const { body } = await call(t, 'GET', '/webhooks/event_types')
  expect(body.data.map((d: { name: string }) => d.name)).toContain('organizationMembership.deleted')
})

test('what makes no sense is refused, and nobody reaches another instance’s endpoints', async () => {
  const t = await testInstance()
  const made = await call(t, 'POST', '/webhooks/endpoints', { url: literal })
  const path = `/webhooks/endpoints/${made.body.id}`
  for (const [method, at, body, status] of [
    ['POST', '/webhooks/endpoints', {}, 422],
    ['POST', '/webhooks/endpoints', { url: 'nonsense' }, 422],
    ['POST', '/webhooks/endpoints', { url, event_types: ['user.exploded'] }, 422],
    ['POST', '/webhooks/endpoints', { url, secret: 'whsec_short' }, 422],
    ['POST', '/webhooks/endpoints', { url, secret: 'whsec_' }, 422],
    ['PATCH', path, { url: 'http://localhost/' }, 422],
    ['POST', `${path}/secret/rotate`, { overlap_hours: 1e6 }, 422],
    ['POST', `${path}/test`, { event_type: 'no.such' }, 422],
    ['POST', `${path}/replay`, { after: 5, until: 5 }, 422],
    ['GET', `${path}/deliveries?limit=0`, undefined, 422],
    ['GET', '/webhooks/endpoints/whep_nobody', undefined, 404],
    ['GET', '/webhooks/endpoints/whep_nobody/deliveries', undefined, 404],
    ['GET', '/webhooks/endpoints/whep_nobody/secret', undefined, 404],
    ['POST', '/webhooks/endpoints/whep_nobody/test', {}, 404],
    ['POST', '/webhooks/endpoints/whep_nobody/replay', {}, 404],
    ['POST', '/webhooks/endpoints/whep_nobody/secret/rotate', {}, 404],
    ['PATCH', '/webhooks/endpoints/whep_nobody', { description: 'x' }, 404],
    ['DELETE', '/webhooks/endpoints/whep_nobody', undefined, 404],
  ] as const)
    expect([method, at, (await call(t, method, at, body)).status]).toEqual([method, at, status])

  const other = await testInstance()
  for (const [method, at, body] of [
    ['GET', path, undefined],
    ['GET', `${path}/secret`, undefined],
    ['GET', `${path}/deliveries`, undefined],
    ['PATCH', path, { url: 'https://93.184.215.14/taken' }],
    ['POST', `${path}/secret/rotate`, {}],
    ['POST', `${path}/test`, {}],
    ['POST', `${path}/replay`, {}],
    ['DELETE', path, undefined],
  ] as const)
    expect([method, at, (await call(other, method, at, body)).status]).toEqual([method, at, 404])
  expect((await call(t, 'GET', path)).body.url).toBe(literal)
  // Without the secret key the path is the browser's, which has no such thing.
  expect((await t.fetch('/v1/webhooks/endpoints')).status).toBe(404)
  expect((await t.fetch('/v1/events')).status).toBe(404)
})

test('J5 an endpoint inside the server’s own network is refused when it is saved, however it is written', async () => {
  const t = await testInstance()
  for (const bad of [
    'http://example.com/',
    'https://127.0.0.1/',
    'https://localhost/hooks',
    'https://0.0.0.0/',
    'https://2130706433/',
    'https://0x7f.1/',
    'https://0177.0.0.1/',
    'https://[::1]/',
    'https://[::ffff:169.254.169.254]/',
    'https://[fd00::1]/',
    'https://[fe80::1]/',
    'https://[64:ff9b::7f00:1]/',
    'https://[2002:7f00:1::]/',
    'https://100.100.100.200/',
    'https://169.254.169.254/latest/meta-data',
    'https://10.1.2.3/',
    'https://93.184.215.14:22/',
    'https://93.184.215.14:25/',
    'https://93.184.215.14:6379/',
    'https://user:password@example.com/',
    'gopher://example.com/',
    'file:///etc/passwd',
    'unix:/run/postgres',
    'https://127。0。0。1/',
  ]) {
    const { status, body } = await call(t, 'POST', '/webhooks/endpoints', { url: bad })
    expect([bad, status, body.errors[0].meta.param_name]).toEqual([bad, 422, 'url'])
  }
  expect((await call(t, 'GET', '/webhooks/endpoints')).body.total_count).toBe(0)
})

test('J5 a name that leads inside later is not connected to, nor is a redirect followed', async () => {
  const inside = startReceiver()
  let answers: { address: string; family: number }[] = [{ address: '93.184.215.14', family: 4 }]
  const { createEgressGuard } = await import('../../kernel/egress.ts')
  const { createPost } = await import('../../domains/webhooks/index.ts')
  const guard = createEgressGuard({ resolver: async () => answers })
  const post = createPost({ guard, timeoutMs: 500 })
  answers = [{ address: '127.0.0.1', family: 4 }]
  expect(await post('https://rebinding.example/', {}, '{}')).toMatchObject({ status: null, error: 'egress_refused' })
  answers = [
    { address: '93.184.215.14', family: 4 },
    { address: '10.0.0.1', family: 4 },
  ]
  expect(await post('https://two-faced.example/', {}, '{}')).toMatchObject({ error: 'egress_refused' })

  const target = startReceiver()
  const redirecting = startReceiver(
    () => new Response(null, { status: 307, headers: { location: `${target.origin}/` } }),
  )
  const open = createPost({ guard: createEgressGuard({ allow: [`127.0.0.1:${redirecting.port}`] }), timeoutMs: 500 })
  expect(await open(`${redirecting.origin}/`, {}, '{}')).toMatchObject({ status: 307, error: 'redirect' })
  // An answer without an end is left after so much.
  const endless = startReceiver(
    () => new Response(new ReadableStream({ pull: (c) => c.enqueue(new Uint8Array(65_536)) })),
  )
  const to = createPost({ guard: createEgressGuard({ allow: ['127.0.0.1'] }), timeoutMs: 2000 })
  expect(await to(`${endless.origin}/`, {}, '{}')).toMatchObject({ status: 200, error: null })
  expect([inside.received.length, target.received.length]).toEqual([0, 0])
  for (const one of [inside, target, redirecting, endless]) one.stop()
})

test('a test is delivered at once, and stands in the log', async () => {
  await using w = await webhookInstance()
  const receiver = startReceiver()
  const { createWebhookEndpoint, sendTestWebhook } = await import('../../domains/webhooks/index.ts')
  const { presentEvents } = await import('../presenters/webhook-event.ts')
  const { endpoint } = await createWebhookEndpoint(w.ctx(), { url: receiver.origin })
  const tools = { post: w.post, present: presentEvents }
  expect(await sendTestWebhook(w.ctx(), { id: endpoint.id, type: 'session.created' }, tools)).toMatchObject({
    state: 'delivered',
  })
  receiver.answer(() => new Response(null, { status: 500 }))
  expect(await sendTestWebhook(w.ctx(), { id: endpoint.id, type: 'session.created' }, tools)).toMatchObject({
    state: 'failed',
    responseStatus: 500,
  })
  expect(receiver.received).toHaveLength(2)
  expect(receiver.received[0]?.event).toMatchObject({ type: 'session.created', test: true })
  const { body } = await call(w.t, 'GET', `/webhooks/endpoints/${endpoint.id}/deliveries`)
  expect(body.data.map((d: Json) => [d.event_type, d.state, d.sequence])).toEqual([
    ['session.created', 'failed', null],
    ['session.created', 'delivered', null],
  ])
  receiver.stop()
})

test('the stream is read by a cursor, filtered by type and subject, with what each event tells', async () => {
  const t = await testInstance()
  const browser = new TestBrowser(t)
  const { userId } = await browser.signUp('ada@example.com')
  await call(t, 'POST', '/organizations', { name: 'Frontiers', created_by: userId })
  await until(async () => (await call(t, 'GET', '/events?type=organization.created')).body.data.length === 1)
  const all = (await call(t, 'GET', '/events?limit=500')).body
  expect(all).toMatchObject({ object: 'list', has_more: false })
  const types = all.data.map((e: Json) => e.type)
  for (const type of [
    'user.created',
    'session.created',
    'organization.created',
    'organizationMembership.created',
    'email.created',
  ])
    expect(types).toContain(type)
  expect(all.data.map((e: Json) => e.sequence)).toEqual(all.data.map((_: Json, i: number) => i + 1))
  expect(all.cursor).toBe(all.data.length)
  const of = (type: string) => all.data.find((e: Json) => e.type === type)
  expect(of('user.created')).toMatchObject({
    object: 'event',
    subject: userId,
    data: { object: 'user', id: userId, password_enabled: true },
  })
  expect(of('session.created').data).toMatchObject({
    object: 'session',
    user: { id: userId, private_metadata: {} },
    last_active_token: null,
  })
  expect(of('organizationMembership.created').data).toMatchObject({
    role: 'org:admin',
    public_user_data: { user_id: userId },
  })
  // Codes are for the mailbox alone.
  expect(of('email.created').data).toMatchObject({
    object: 'email',
    slug: 'verification_code',
    to_email_address: 'ada@example.com',
    body: null,
  })
  expect(JSON.stringify(all)).not.toContain(t.secretKey)

  const page = (await call(t, 'GET', '/events?limit=2')).body
  expect(page).toMatchObject({ has_more: true, cursor: 2 })
  const rest = (await call(t, 'GET', `/events?after=${page.cursor}&limit=500`)).body
  expect([...page.data, ...rest.data].map((e: Json) => e.id)).toEqual(all.data.map((e: Json) => e.id))
  const none = (await call(t, 'GET', `/events?after=${all.cursor}`)).body
  expect(none).toMatchObject({ data: [], has_more: false, cursor: all.cursor })
  const filtered = (await call(t, 'GET', '/events?type=user.*&type=role.created')).body
  expect(new Set(filtered.data.map((e: Json) => e.type.split('.')[0]))).toEqual(new Set(['user']))
  expect(filtered.cursor).toBe(all.cursor)
  expect((await call(t, 'GET', `/events?subject=${userId}`)).body.data.every((e: Json) => e.subject === userId)).toBe(
    true,
  )
  const other = await testInstance()
  expect((await call(other, 'GET', '/events')).body.data.filter((e: Json) => e.subject === userId)).toEqual([])
})

test('J13 cursors and filters of the stream are checked, and nothing in them becomes SQL', async () => {
  const t = await testInstance()
  await transaction(t.ctx(), async (tx) => emit(tx, { type: 'user.updated', subject: "x' or '1'='1", data: {} }))
  for (const query of [
    'after=-1',
    'after=1;drop table events',
    "after=0' or '1'='1",
    'after=1e400',
    'limit=501',
    'limit=x',
    "type=user.created' or '1'='1",
    'type=%25.%25',
    'type=*',
    'type=user.*.*',
    `subject=${'x'.repeat(300)}`,
    'since=yesterday',
  ])
    expect([query, (await call(t, 'GET', `/events?${query}`)).status]).toEqual([query, 422])
  const { status, body } = await call(t, 'GET', `/events?subject=${encodeURIComponent("nobody' or '1'='1")}`)
  expect([status, body.data]).toEqual([200, []])
})
