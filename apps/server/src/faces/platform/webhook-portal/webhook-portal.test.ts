import { expect, test } from 'bun:test'
import { eq } from 'drizzle-orm'
import { transaction } from '../../../database/index.ts'
import { listEvents, type StreamEvent } from '../../../domains/events/index.ts'
import { deleteWhatIsOver } from '../../../domains/upkeep/index.ts'
import { oneTimeTokens } from '../../../domains/verifications/tables.ts'
import { webhookEndpoints, webhookPortalSessions } from '../../../domains/webhooks/tables.ts'
import { type TestInstance, testInstance } from '../../../testing/server.ts'

const base = '/webhooks/portal'
/** Any address on the internet will do: nothing is delivered to it here. */
const literal = 'https://93.184.215.14/hooks'

async function newLink(t: TestInstance, path = 'svix_url'): Promise<string> {
  const response = await t.fetch(`/v1/webhooks/${path}`, { method: 'POST', secretKey: true })
  expect(response.status).toBe(200)
  const url = new URL(((await response.json()) as { svix_url: string }).svix_url)
  expect([url.pathname, url.search]).toEqual([`${base}/open`, ''])
  return url.hash.slice(1)
}

/** A form as a browser sends it. */
const post = (t: TestInstance, path: string, form: Record<string, string>, headers: Record<string, string> = {}) =>
  t.fetch(`${base}${path}`, {
    method: 'POST',
    body: new URLSearchParams(form).toString(),
    headers: { 'content-type': 'application/x-www-form-urlencoded', origin: `http://${t.host}`, ...headers },
  })
const open = (t: TestInstance, token: string) => post(t, '/open', { token })
const cookieOf = (response: Response) => response.headers.get('set-cookie')?.split(';')[0] ?? ''
async function opened(t: TestInstance): Promise<string> {
  const response = await open(t, await newLink(t))
  expect([response.status, response.headers.get('location')]).toEqual([303, base])
  return cookieOf(response)
}
const look = async (t: TestInstance, cookie: string) => (await t.fetch(base, { headers: { cookie } })).status

test('J11 a link opens the portal once, for ten minutes, in its own instance', async () => {
  const [t, other] = [await testInstance(), await testInstance()]
  const token = await newLink(t)
  // Looking at the page uses nothing up, and what it shows holds no secret.
  expect(await (await t.fetch(`${base}/open`)).text()).not.toContain(token)
  const elsewhere = await open(other, token)
  expect([elsewhere.status, cookieOf(elsewhere)]).toEqual([400, ''])
  const tries = await Promise.all(Array.from({ length: 6 }, () => open(t, token)))
  expect(tries.map(({ status }) => status).sort()).toEqual([303, 400, 400, 400, 400, 400])
  const again = await open(t, token)
  expect([again.status, cookieOf(again)]).toEqual([400, ''])
  expect(await again.text()).toContain('used already')

  const late = await newLink(t, 'svix')
  const past = new Date(Date.now() - 1000)
  await transaction(t.ctx(), (tx) =>
    tx.db.update(oneTimeTokens).set({ expiresAt: past }).where(eq(oneTimeTokens.kind, 'webhook_portal')),
  )
  const expired = await open(t, late)
  expect([expired.status, cookieOf(expired)]).toEqual([400, ''])
  expect(await expired.text()).toContain('expired')
  for (const token of ['', 'x', 'x'.repeat(10_000)]) expect((await open(t, token)).status).toBe(400)
  // Nobody but the application makes links.
  expect((await t.fetch('/v1/webhooks/svix_url', { method: 'POST' })).status).toBe(404)
})

test('J11 a session of the portal ends after an hour, when it is closed and when the application says so', async () => {
  const [t, other] = [await testInstance(), await testInstance()]
  const response = await open(t, await newLink(t))
  const attributes = response.headers.get('set-cookie') ?? ''
  expect(attributes).toMatch(/^usher_webhooks_[^=]+=[A-Za-z0-9_-]{43}; Path=\/webhooks\/portal; Expires=/)
  expect(attributes).toContain('HttpOnly')
  expect(attributes).toContain('SameSite=Strict')
  const left = Date.parse(attributes.match(/Expires=([^;]+)/)?.[1] ?? '') - Date.now()
  expect(left > 3_500_000 && left <= 3_600_000).toBe(true)

  const cookie = cookieOf(response)
  expect(await look(t, cookie)).toBe(200)
  // In another instance, and under that instance’s name, it is nothing.
  const [, value] = cookie.split('=')
  const theirName = cookieOf(await open(other, await newLink(other))).split('=')[0]
  for (const sent of [cookie, `${theirName}=${value}`]) expect(await look(other, sent)).toBe(401)
  for (const path of ['/v1/webhooks/endpoints', '/v1/client', '/inbox.json'])
    expect((await (await t.fetch(path, { headers: { cookie } })).text()).includes('webhook_endpoint')).toBe(false)
  expect(await look(t, '')).toBe(401)

  // Shared with somebody else, it ends for them too.
  expect((await post(t, '/close', {}, { cookie })).status).toBe(303)
  expect(await look(t, cookie)).toBe(401)
  expect((await post(t, '/endpoints', { url: literal }, { cookie })).status).toBe(401)

  const second = await opened(t)
  const past = new Date(Date.now() - 1000)
  await transaction(t.ctx(), (tx) => tx.db.update(webhookPortalSessions).set({ expiresAt: past }))
  expect(await look(t, second)).toBe(401)
  await deleteWhatIsOver(t.ctx())
  expect(await transaction(t.ctx(), (tx) => tx.db.$count(webhookPortalSessions))).toBe(0)

  const [third, link] = [await opened(t), await newLink(t)]
  expect((await t.fetch('/v1/webhooks/svix', { method: 'DELETE', secretKey: true })).status).toBe(204)
  expect(await look(t, third)).toBe(401)
  expect((await open(t, link)).status).toBe(400)
})

test('endpoints are added, changed, tried and deleted by forms, and only by those of the portal itself', async () => {
  const [t, other] = [await testInstance(), await testInstance()]
  const cookie = await opened(t)
  const send = (path: string, form: Record<string, string> = {}) => post(t, path, form, { cookie })
  const made = await send('/endpoints', { url: literal, description: '<b>CRM</b>', event_types: 'user.*' })
  expect(made.status).toBe(303)
  const [endpoint] = await transaction(t.ctx(), (tx) => tx.db.select().from(webhookEndpoints))
  const path = `/endpoints/${endpoint?.id}`
  expect(made.headers.get('location')).toBe(`${base}${path}?done=made`)
  const shown = await t.fetch(`${base}${path}`, { headers: { cookie } })
  const text = await shown.text()
  expect(text).toContain('&lt;b&gt;CRM&lt;/b&gt;')
  expect(text).not.toContain('whsec_')
  expect(shown.headers.get('content-security-policy')).toContain("default-src 'none'")
  expect(shown.headers.get('cache-control')).toBe('no-store')
  const secretOf = async (response: Response) => (await response.text()).match(/whsec_[A-Za-z0-9+/=]+/)?.[0]
  const secret = await secretOf(await send(`${path}/secret`))
  expect(secret).toBeString()
  expect(await secretOf(await send(`${path}/rotate`, { overlap: 'none' }))).not.toBe(secret as string)
  expect((await send(path, { url: literal, description: 'CRM' })).status).toBe(303)
  expect((await send(`${path}/state`, { disabled: 'true' })).status).toBe(303)
  const [changed] = await transaction(t.ctx(), (tx) => tx.db.select().from(webhookEndpoints))
  expect(changed).toMatchObject({ description: 'CRM', eventTypes: null, disabledReason: 'operator' })

  // What is refused says why, and keeps what was typed.
  const refused = await send('/endpoints', { url: 'http://127.0.0.1/inside', description: 'kept' })
  expect([refused.status, (await refused.text()).includes('value="kept"')]).toEqual([422, true])
  expect((await send(path, { url: 'nonsense' })).status).toBe(422)
  expect((await send(`${path}/test`, { event_type: 'no.such' })).status).toBe(422)
  expect((await send(`${path}/replay`, { position: '999' })).status).toBe(422)
  expect((await send('/endpoints/whep_nobody/secret')).status).toBe(404)
  // Another site’s form, and one that says nothing of where it is from.
  const foreign = { cookie, origin: 'https://evil.example' }
  for (const headers of [foreign, { cookie, origin: 'null' }, { cookie, 'sec-fetch-site': 'cross-site' }])
    expect((await post(t, `${path}/delete`, {}, headers)).status).toBe(403)
  // Another instance’s portal does not know it.
  const theirs = await opened(other)
  for (const at of ['', '/secret', '/rotate', '/test', '/replay', '/state', '/delete'])
    expect([at, (await post(other, `${path}${at}`, { url: literal }, { cookie: theirs })).status]).toEqual([at, 404])
  expect((await other.fetch(`${base}${path}`, { headers: { cookie: theirs } })).status).toBe(404)
  expect((await send(`${path}/delete`)).headers.get('location')).toBe(base)
  expect(await transaction(t.ctx(), (tx) => tx.db.$count(webhookEndpoints))).toBe(0)
})

test('J11 what a link leads to is told with the link, the session and the host, without secrets, and has an end', async () => {
  const t = await testInstance()
  const token = await newLink(t)
  const cookie = cookieOf(await open(t, token))
  const send = (path: string, form: Record<string, string> = {}) => post(t, path, form, { cookie })
  await send('/endpoints', { url: `${literal}?key=private` })
  const [endpoint] = await transaction(t.ctx(), (tx) => tx.db.select().from(webhookEndpoints))
  const path = `/endpoints/${endpoint?.id}`
  const secret = (await (await send(`${path}/secret`)).text()).match(/whsec_[A-Za-z0-9+/=]+/)?.[0] ?? ''
  await send(path, { url: 'https://93.184.215.15/elsewhere' })
  await send(`${path}/delete`)
  await t.fetch('/v1/webhooks/svix', { method: 'DELETE', secretKey: true })

  const [session] = await transaction(t.ctx(), (tx) => tx.db.select().from(webhookPortalSessions))
  let told: StreamEvent[] = []
  // They get their place in the stream a moment after the commit.
  for (let i = 0; i < 100 && told.length < 7; i++) {
    await Bun.sleep(50)
    const { data } = await transaction(t.ctx(), (tx) => listEvents(tx, { limit: 500 }))
    told = data.filter(({ type }) => type.startsWith('webhook'))
  }
  const by = `webhook portal ${session?.id}`
  expect(told.map(({ type, actor, data }) => [type, data.host, (actor as { job?: string }).job])).toEqual([
    ['webhookPortal.linkCreated', undefined, undefined],
    ['webhookPortal.opened', undefined, 'webhook portal'],
    ['webhookEndpoint.created', '93.184.215.14', by],
    ['webhookEndpoint.updated', '93.184.215.15', by],
    ['webhookEndpoint.deleted', '93.184.215.15', by],
    ['webhookPortal.linksRevoked', undefined, undefined],
    ['webhookPortal.closed', undefined, undefined],
  ])
  expect(told[1]?.data.link_id).toBe(told[0]?.subject as string)
  for (const private_ of [token, cookie.split('=')[1] ?? '', secret, 'private'])
    expect(JSON.stringify(told)).not.toContain(private_)

  const again = await opened(t)
  const statuses = []
  for (let i = 0; i < 61; i++) statuses.push((await post(t, '/endpoints/none/test', {}, { cookie: again })).status)
  expect([statuses.filter((status) => status === 404).length, statuses.at(-1)]).toEqual([60, 429])
  const refused = await post(t, '/endpoints/none/test', {}, { cookie: again })
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
  expect(await refused.text()).toContain('Please wait')
})

test('a person sees a page, whatever comes of what they asked the portal for', async () => {
  const t = await testInstance()
  const cookie = await opened(t)
  const large = { url: `${literal}/${'x'.repeat(70_000)}` }
  const answers: [Promise<Response>, number, string][] = [
    [t.fetch(`${base}/endpoints/whep_nobody`, { headers: { cookie } }), 404, 'There is no such endpoint'],
    [t.fetch(`${base}/elsewhere`, { headers: { cookie } }), 404, 'nothing at this address'],
    [t.fetch(`${base}/elsewhere`), 401, 'not open in this browser'],
    [post(t, '/endpoints', { url: literal }, { cookie, origin: 'https://evil.example' }), 403, 'its own page only'],
    [post(t, '/endpoints', large, { cookie }), 413, 'too large'],
  ]
  for (const [asked, status, words] of answers) {
    const answer = await asked
    const text = await answer.text()
    expect([answer.status, text.includes(words), text.startsWith('<!doctype html>')]).toEqual([status, true, true])
    expect(answer.headers.get('content-security-policy')).toContain("frame-ancestors 'none'")
  }
  // An opened link that is sent too often is told the same way.
  const { attemptsPerMinute } = t.ctx().instance.settings.rateLimits
  for (let i = 0; i < attemptsPerMinute; i++) await open(t, 'x')
  const over = await open(t, 'x')
  expect([over.status, (await over.text()).includes('Please wait')]).toEqual([429, true])
})
