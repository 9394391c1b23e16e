import { expect, test } from 'bun:test'
import { getUser, listUsers } from '../../domains/users/index.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { mailsTo, TestBrowser } from './testing.ts'

const bob = 'bob@example.com'
const password = 'correct horse battery'

async function withInvitation(settings: object = {}, invitation: object = {}) {
  const t = await testInstance()
  const change = { rateLimits: { attemptsPerMinute: 100_000 }, ...settings }
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, change)
  const made = await call(t, '/v1/invitations', {
    email_address: bob,
    public_metadata: { plan: 'early' },
    ...invitation,
  })
  return { t, id: made.id as string, ticket: await mailedTicket(t, bob) }
}

async function call(t: TestInstance, path: string, body: object) {
  const response = await t.fetch(path, {
    method: 'POST',
    body: JSON.stringify(body),
    secretKey: true,
    headers: { 'content-type': 'application/json' },
  })
  return response.json()
}
async function mailedTicket(t: TestInstance, to: string): Promise<string> {
  const [mail] = await mailsTo(t, to)
  return mail?.text.match(/ticket=([\w-]+)/)?.[1] ?? ''
}
const signUp = (t: TestInstance, form: Record<string, string>) =>
  new TestBrowser(t).post('/client/sign_ups', { password, ...form })
const outcome = ({ status, body }: { status: number; body: { errors?: { code: string }[] } }) =>
  `${status} ${body.errors?.[0]?.code ?? 'ok'}`
const people = (t: TestInstance) => listUsers(t.ctx(), { limit: 10, offset: 0 })

test('I1 whoever only claims the invited address gets neither in nor what the invitation gives', async () => {
  const { t } = await withInvitation({ signUp: { mode: 'restricted' } })
  expect(outcome(await signUp(t, { email_address: bob }))).toBe('403 sign_up_mode_restricted')
  // Where anybody may sign up, and nobody has to prove an address, the invitation's gifts are for its ticket alone.
  const open = await withInvitation({ emailAddress: { verifyAtSignUp: false } })
  const claimed = await signUp(open.t, { email_address: bob })
  expect(claimed.body.response.status).toBe('complete')
  expect((await getUser(open.t.ctx(), claimed.body.response.created_user_id)).publicMetadata).toEqual({})
  const list = await open.t.fetch('/v1/invitations', { secretKey: true })
  expect(await list.json()).toMatchObject([{ status: 'pending' }])
})

test('I1 a ticket proves its own address and no other', async () => {
  const { t, ticket } = await withInvitation({ signUp: { mode: 'restricted' } })
  const other = await signUp(t, { ticket, email_address: 'eve@evil.test' })
  expect(other.status).toBe(422)
  const browser = new TestBrowser(t)
  const begun = await browser.post('/client/sign_ups', { ticket })
  const path = `/client/sign_ups/${begun.body.response.id}`
  expect((await browser.send('PATCH', path, { email_address: 'eve@evil.test', password })).status).toBe(422)
  expect(await people(t)).toEqual([])
})

test('I2 a ticket that was altered, taken back, is over or is of another instance opens nothing', async () => {
  const { t, id, ticket } = await withInvitation({ signUp: { mode: 'restricted' } })
  const elsewhere = await withInvitation({ signUp: { mode: 'restricted' } })
  const flipped = `${ticket.startsWith('A') ? 'B' : 'A'}${ticket.slice(1)}`
  const jwt = [{ alg: 'none' }, { email: bob, instance: t.host }]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  for (const bad of [flipped, ticket.slice(0, -1), `${ticket}A`, ticket.toUpperCase(), `${jwt}.`, id, elsewhere.ticket])
    expect(outcome(await signUp(t, { ticket: bad }))).toBe('400 ticket_invalid')
  await call(t, `/v1/invitations/${id}/revoke`, {})
  expect(outcome(await signUp(t, { ticket }))).toBe('400 ticket_invalid')
  // The ticket of the invitation that took the place of another is the only one that counts.
  await call(t, '/v1/invitations', { email_address: bob })
  const first = await mailedTicket(t, bob)
  await call(t, '/v1/invitations', { email_address: bob, ignore_existing: true })
  const second = await mailedTicket(t, bob)
  expect(outcome(await signUp(t, { ticket: first }))).toBe('400 ticket_invalid')
  expect(outcome(await signUp(t, { ticket: second }))).toBe('200 ok')
})

test('I2 a ticket makes one account, however many use it at once', async () => {
  const { t, ticket } = await withInvitation({ signUp: { mode: 'restricted' } })
  const replies = await Promise.all(Array.from({ length: 10 }, () => signUp(t, { ticket })))
  expect(replies.filter((r) => r.body.response?.status === 'complete')).toHaveLength(1)
  expect(replies.filter((r) => r.status >= 500)).toEqual([])
  expect(await people(t)).toMatchObject([{ publicMetadata: { plan: 'early' } }])
})

test('I4 what an invitation gives was set by the application; a form adds nothing to it', async () => {
  const { t, ticket } = await withInvitation({ signUp: { mode: 'restricted' } })
  const done = await signUp(t, {
    ticket,
    public_metadata: '{"plan":"free-forever"}',
    role: 'org:admin',
    organization_id: 'org_1',
    external_id: 'crm-1',
  })
  const { organization_memberships, ...user } = done.body.client.sessions[0].user
  expect(user).toMatchObject({ public_metadata: { plan: 'early' }, external_id: null })
  expect(organization_memberships).toEqual([])
})

test('many are invited at once, or nobody', async () => {
  const { t } = await withInvitation()
  const addresses = ['c@example.com', 'd@example.com']
  const made = await call(t, '/v1/invitations/bulk', addresses.map((email_address) => ({ email_address })) as never)
  expect(made).toMatchObject(addresses.map((email_address) => ({ email_address, status: 'pending' })))
  expect(await mailedTicket(t, 'd@example.com')).not.toBe('')
  const clash = [{ email_address: 'e@example.com' }, { email_address: bob }]
  expect((await call(t, '/v1/invitations/bulk', clash as never)).errors[0].code).toBe('duplicate_record')
  expect(await mailsTo(t, 'e@example.com')).toEqual([])
})
