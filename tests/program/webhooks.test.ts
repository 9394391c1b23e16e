import { expect, test } from 'bun:test'
import { createHmac, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { verifyWebhook } from '@clerk/backend/webhooks'
import { SQL } from 'bun'
import { serverSdk } from '../support/clerk.ts'
import { startUsher, temporaryDirectory, type UsherProcess } from '../support/usher.ts'

const env = { USHER_EGRESS_ALLOW: '127.0.0.1' }

function backendOf({ ready }: UsherProcess) {
  const call = async <Answer = Record<string, unknown>>(method: string, path: string, body?: unknown) => {
    const response = await fetch(`${ready.url}/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${ready.secret_key}`, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
    return (await response.json()) as Answer
  }
  const sdk = serverSdk(ready)
  return { call, sdk }
}

type Captured = { headers: Headers; body: string }

/** Takes deliveries in and keeps them as they came. */
function captureDeliveries() {
  const captured: Captured[] = []
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: async (request) => {
      captured.push({ headers: request.headers, body: await request.text() })
      return new Response()
    },
  })
  return { captured, url: `http://127.0.0.1:${server.port}/api/webhooks`, stop: () => server.stop(true) }
}

async function until(holds: () => boolean | Promise<boolean>, what: string, ms = 20_000) {
  for (const end = Date.now() + ms; !(await holds()); await Bun.sleep(20))
    if (Date.now() > end) throw new Error(`${what} never came to pass`)
}

const requestOf = ({ headers, body }: Captured, change: (headers: Headers) => void = () => {}) => {
  const copy = new Headers(headers)
  change(copy)
  return new Request('http://receiver.example/api/webhooks', { method: 'POST', headers: copy, body })
}

test('J7 what is delivered passes the SDK’s check, and nothing forged, stale or altered does', async () => {
  await using usher = await startUsher({ env })
  const { call, sdk } = backendOf(usher)
  const receiver = captureDeliveries()
  const endpoint = await call<{ id: string; secret: string }>('POST', '/webhooks/endpoints', { url: receiver.url })
  const user = await sdk.users.createUser({ emailAddress: ['ada@example.com'], firstName: 'Ada' })
  await until(() => receiver.captured.length === 1, 'the delivery')
  const [delivery] = receiver.captured as [Captured]
  const signingSecret = endpoint.secret

  const event = await verifyWebhook(requestOf(delivery), { signingSecret })
  expect(event).toMatchObject({ type: 'user.created', object: 'event', data: { id: user.id, first_name: 'Ada' } })
  expect(event.event_attributes.http_request.user_agent).toContain('@clerk/backend')
  // G7: it holds no secret, neither the instance's nor the endpoint's.
  expect(delivery.body).not.toContain(signingSecret)
  expect(delivery.body).not.toContain(usher.ready.secret_key)

  const refused = (request: Request, secret = signingSecret) =>
    expect(verifyWebhook(request, { signingSecret: secret })).rejects.toThrow()
  await refused(requestOf(delivery, (h) => h.delete('svix-signature')))
  await refused(requestOf(delivery, (h) => h.set('svix-id', 'evt_other')))
  await refused(requestOf(delivery), `whsec_${randomBytes(32).toString('base64')}`)
  await refused(requestOf(delivery), '')
  await refused(requestOf({ ...delivery, body: JSON.stringify(JSON.parse(delivery.body), null, 1) }))
  // Signed with the right secret, and six minutes old.
  const old = String(Math.floor(Date.now() / 1000) - 360)
  const key = Buffer.from(signingSecret.slice(6), 'base64')
  const id = delivery.headers.get('svix-id')
  const signature = createHmac('sha256', key).update(`${id}.${old}.${delivery.body}`).digest('base64')
  const stale = (h: Headers) => {
    h.set('svix-timestamp', old)
    h.set('svix-signature', `v1,${signature}`)
  }
  await refused(requestOf(delivery, stale))

  // While a secret is replaced, receivers with either one go on.
  const { secret } = await call<{ secret: string }>('POST', `/webhooks/endpoints/${endpoint.id}/secret/rotate`)
  await Bun.sleep(600)
  await sdk.users.updateUser(user.id, { firstName: 'Augusta' })
  await until(() => receiver.captured.length === 2, 'the second delivery')
  const second = receiver.captured[1] as Captured
  for (const either of [secret, signingSecret])
    expect((await verifyWebhook(requestOf(second), { signingSecret: either })).type).toBe('user.updated')
  await refused(requestOf(delivery), secret)
  // A test goes out under the new one, whatever has happened so far.
  await call('POST', `/webhooks/endpoints/${endpoint.id}/test`, { event_type: 'organization.created' })
  const third = receiver.captured[2] as Captured
  expect((await verifyWebhook(requestOf(third), { signingSecret: secret })).type).toBe('organization.created')
  receiver.stop()
}, 60_000)

test('J8 a receiver with tables of its own ends equal to the source after 10,000 shuffled and repeated deliveries', async () => {
  using data = temporaryDirectory()
  await using usher = await startUsher({ env, data: data.path })
  const { call, sdk } = backendOf(usher)
  const capture = captureDeliveries()
  const endpoint = await call<{ secret: string }>('POST', '/webhooks/endpoints', {
    url: capture.url,
    event_types: ['user.*', 'organization.*', 'organizationMembership.*'],
  })
  await live(call)
  const stream = await readStream(call)
  const wanted = stream.filter((e) => /^(user|organization|organizationMembership)\./.test(e.type))
  // What was made and deleted within a moment is not told of; what was deleted is.
  const idsOf = (captured: Captured[]) => new Set(captured.map((c) => c.headers.get('svix-id')))
  await until(
    () => wanted.filter((e) => !idsOf(capture.captured).has(e.id)).every((e) => /created|updated/.test(e.type)),
    'the deliveries',
  )
  await until(async () => {
    const before = capture.captured.length
    await Bun.sleep(1000)
    return capture.captured.length === before
  }, 'rest')
  capture.stop()

  const socket = join(data.path, 'run/.s.PGSQL.5432')
  const owner = new SQL({ adapter: 'postgres', path: socket, username: 'usher', database: 'postgres', max: 1 })
  await owner.unsafe('create database receiver')
  await owner.close()
  await using receiver = await startReceiver({ DATABASE_SOCKET: socket, CLERK_WEBHOOK_SIGNING_SECRET: endpoint.secret })
  const total = 10_000
  const seed = Number(process.env.USHER_TEST_SEED ?? Math.floor(Math.random() * 1e9))
  const random = mulberry(seed)
  const deliveries = capture.captured.slice()
  while (deliveries.length < total)
    deliveries.push(capture.captured[Math.floor(random() * capture.captured.length)] as Captured)
  for (let i = deliveries.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1))
    ;[deliveries[i], deliveries[j]] = [deliveries[j] as Captured, deliveries[i] as Captured]
  }
  await inParallel(32, deliveries, async ({ headers, body }) => {
    const response = await fetch(receiver.url, { method: 'POST', headers: withoutHop(headers), body })
    if (response.status !== 204) throw new Error(`seed ${seed}: the receiver answered ${response.status}`)
  })

  const mirror = new SQL({ adapter: 'postgres', path: socket, username: 'usher', database: 'receiver', max: 1 })
  const rows = async (table: string, columns: string) =>
    Array.from(await mirror.unsafe(`select ${columns} from ${table} where not deleted order by id`))
  const source = await readSource(sdk)
  expect({ seed, rows: await rows('users', 'id, email, first_name, last_name') }).toEqual({ seed, rows: source.users })
  expect({ seed, rows: await rows('organizations', 'id, name, slug') }).toEqual({ seed, rows: source.organizations })
  expect({ seed, rows: await rows('memberships', 'id, organization_id, user_id, role') }).toEqual({
    seed,
    rows: source.memberships,
  })
  expect(source.users.length).toBeGreaterThan(300)
  expect(source.memberships.length).toBeGreaterThan(300)
  await mirror.close()
}, 180_000)

type Call = ReturnType<typeof backendOf>['call']
type Sdk = ReturnType<typeof backendOf>['sdk']

const people = 400
const companies = 60

/** A busy day: people and organizations come, change and go. */
async function live(call: Call) {
  const numbers = (n: number) => Array.from({ length: n }, (_, i) => i)
  const users: string[] = []
  await inParallel(16, numbers(people), async (i) => {
    const { id } = await call<{ id: string }>('POST', '/users', {
      email_address: [`person${i}@example.com`],
      first_name: `Person ${i}`,
      skip_password_requirement: true,
    })
    users.push(id)
  })
  const organizations: string[] = []
  await inParallel(16, numbers(companies), async (i) => {
    const { id } = await call<{ id: string }>('POST', '/organizations', { name: `Company ${i}`, created_by: users[i] })
    organizations.push(id)
  })
  await inParallel(16, numbers(500), (i) =>
    call('POST', `/organizations/${organizations[i % companies]}/memberships`, {
      user_id: users[(i * 7 + 70) % people],
      role: 'org:member',
    }).catch(() => {}),
  )
  await inParallel(16, numbers(600), (i) =>
    call('PATCH', `/users/${users[(i * 13) % people]}`, { last_name: `Of change ${i}` }),
  )
  await inParallel(16, numbers(120), (i) =>
    call('PATCH', `/organizations/${organizations[(i * 7) % companies]}`, { name: `Company ${i}, renamed` }),
  )
  await inParallel(16, numbers(150), (i) =>
    call('PATCH', `/organizations/${organizations[i % companies]}/memberships/${users[(i * 7 + 70) % people]}`, {
      role: 'org:admin',
    }).catch(() => {}),
  )
  await inParallel(16, numbers(100), (i) =>
    call('DELETE', `/organizations/${organizations[i % companies]}/memberships/${users[(i * 7 + 70) % people]}`).catch(
      () => {},
    ),
  )
  await inParallel(8, numbers(40), (i) => call('DELETE', `/users/${users[people - 1 - i]}`))
  await inParallel(8, numbers(8), (i) => call('DELETE', `/organizations/${organizations[companies - 1 - i]}`))
}

type StreamEntry = { id: string; type: string; sequence: number }

/** The whole stream by its cursor. */
async function readStream(call: Call): Promise<StreamEntry[]> {
  const all: StreamEntry[] = []
  let cursor = 0
  for (;;) {
    type Part = { data: StreamEntry[]; has_more: boolean; cursor: number }
    const part: Part = await call<Part>('GET', `/events?after=${cursor}&limit=500`)
    all.push(...part.data)
    cursor = part.cursor
    if (!part.has_more) return all
  }
}

async function readSource(sdk: Sdk) {
  const byId = <T extends { id: string }>(rows: T[]) => rows.sort((a, b) => (a.id < b.id ? -1 : 1))
  const all = async <T>(read: (offset: number) => Promise<{ data: T[]; totalCount: number }>) => {
    const rows: T[] = []
    for (;;) {
      const page = await read(rows.length)
      rows.push(...page.data)
      if (page.data.length === 0 || rows.length >= page.totalCount) return rows
    }
  }
  const users = await all((offset) => sdk.users.getUserList({ limit: 500, offset, orderBy: '+created_at' }))
  const organizations = await all((offset) => sdk.organizations.getOrganizationList({ limit: 500, offset }))
  const members: { id: string; organization_id: string; user_id: string | undefined; role: string }[] = []
  await inParallel(8, organizations, async ({ id }) => {
    const found = await all((offset) =>
      sdk.organizations.getOrganizationMembershipList({ organizationId: id, limit: 500, offset }),
    )
    for (const m of found)
      members.push({ id: m.id, organization_id: id, user_id: m.publicUserData?.userId, role: m.role })
  })
  return {
    users: byId(
      users.map((u) => ({
        id: u.id,
        email: u.primaryEmailAddress?.emailAddress ?? null,
        first_name: u.firstName,
        last_name: u.lastName,
      })),
    ),
    organizations: byId(organizations.map((o) => ({ id: o.id, name: o.name, slug: o.slug }))),
    memberships: byId(members),
  }
}

async function startReceiver(env: Record<string, string>) {
  const program = join(import.meta.dir, '../support/webhook-receiver.ts')
  const child = Bun.spawn([process.execPath, program], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const { value } = await child.stdout.getReader().read()
  const { url } = JSON.parse(new TextDecoder().decode(value)) as { url: string }
  return {
    url,
    [Symbol.asyncDispose]: async () => {
      child.kill()
      await child.exited
    },
  }
}

async function inParallel<T>(places: number, items: readonly T[], work: (item: T) => Promise<unknown>) {
  let next = 0
  const one = async () => {
    while (next < items.length) await work(items[next++] as T)
  }
  await Promise.all(Array.from({ length: places }, one))
}

function withoutHop(headers: Headers): Headers {
  const copy = new Headers(headers)
  for (const name of ['host', 'connection', 'content-length']) copy.delete(name)
  return copy
}

/** A small generator with a seed, so that an order that failed can be had again. */
function mulberry(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
