import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import { createOrganization, findMembershipsOfUsers, inviteMembers } from '../../domains/organizations/index.ts'
import { createInvitation } from '../../domains/signup/index.ts'
import { createOneTimeToken } from '../../domains/verifications/index.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { TestBrowser } from './testing.ts'

const bob = 'bob@example.com'
const password = 'correct horse battery'

async function withInvitation() {
  const t = await testInstance()
  const organization = await createOrganization(t.ctx(), { name: 'Frontiers' })
  const input = { organizationId: organization.id, emailAddress: bob, role: 'org:member', publicUrl: t.url }
  const [invitation] = await inviteMembers(t.ctx(), [{ ...input, redirectUrl: 'http://localhost:3000/welcome' }])
  return { t, organization, link: new URL(invitation?.url ?? '') }
}

/** Follows a link from an email; gives what the application finds in its address. */
async function follow(browser: TestBrowser, link: URL) {
  const { status, headers } = await browser.get(`${link.pathname.replace('/v1', '')}${link.search}`)
  const target = new URL(headers.get('location') ?? 'http://none')
  return {
    redirect: status,
    page: `${target.origin}${target.pathname}`,
    status: target.searchParams.get('__clerk_status'),
    ticket: target.searchParams.get('__clerk_ticket'),
  }
}

const organizationsOf = (t: TestInstance, userId: string) =>
  transaction(t.ctx(), async (tx) => (await findMembershipsOfUsers(tx, [userId])).map((m) => m.organizationId))

test('somebody without an account signs up by the ticket: the address counts as verified', async () => {
  const { t, organization, link } = await withInvitation()
  const browser = new TestBrowser(t)
  const followed = await follow(browser, link)
  expect(followed).toMatchObject({ redirect: 303, page: 'http://localhost:3000/welcome', status: 'sign_up' })
  const ticket = followed.ticket as string
  const asSignIn = await browser.post('/client/sign_ins', { strategy: 'ticket', ticket })
  expect(asSignIn.body.errors[0].code).toBe('invitation_account_not_exists')
  const begun = await browser.post('/client/sign_ups', { strategy: 'ticket', ticket })
  expect(begun.body.response).toMatchObject({
    status: 'missing_requirements',
    email_address: bob,
    missing_fields: ['password'],
    unverified_fields: [],
    verifications: { email_address: { status: 'verified', strategy: 'ticket' } },
  })
  const path = `/client/sign_ups/${begun.body.response.id}`
  const other = await browser.send('PATCH', path, { email_address: 'eve@evil.test', password })
  expect(other.status).toBe(422)
  const done = await browser.send('PATCH', path, { password })
  expect(done.body.response.status).toBe('complete')
  expect(done.body.client.sessions[0].last_active_organization_id).toBe(organization.id)
  expect(await organizationsOf(t, done.body.response.created_user_id)).toEqual([organization.id])
  const again = await new TestBrowser(t).post('/client/sign_ups', { ticket, password })
  expect(again.status).toBe(400)
})

test('somebody with an account signs in by the ticket, once', async () => {
  const { t, organization, link } = await withInvitation()
  const { userId } = await new TestBrowser(t).signUp(bob)
  const browser = new TestBrowser(t)
  const followed = await follow(browser, link)
  expect(followed.status).toBe('sign_in')
  const ticket = followed.ticket as string
  const twins = [browser, ...Array.from({ length: 9 }, () => new TestBrowser(t))]
  const replies = await Promise.all(twins.map((b) => b.post('/client/sign_ins', { strategy: 'ticket', ticket })))
  const winners = replies.filter((r) => r.status === 200)
  expect(winners).toHaveLength(1)
  expect(winners[0]?.body.response.status).toBe('complete')
  expect(winners[0]?.body.client.sessions[0].last_active_organization_id).toBe(organization.id)
  expect(await organizationsOf(t, userId)).toEqual([organization.id])
})

test('the invited person who is signed in becomes a member by the link itself; anybody else does not', async () => {
  const { t, organization, link } = await withInvitation()
  const eve = new TestBrowser(t)
  const eves = await eve.signUp('eve@example.com')
  expect((await follow(eve, link)).status).toBe('sign_up')
  expect(await organizationsOf(t, eves.userId)).toEqual([])
  const invited = new TestBrowser(t)
  const { userId } = await invited.signUp(bob)
  expect(await follow(invited, link)).toMatchObject({ status: 'complete', ticket: null })
  expect(await organizationsOf(t, userId)).toEqual([organization.id])
  expect((await follow(invited, link)).redirect).toBe(400)
})

test('an invitation to the application opens restricted sign-up', async () => {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { signUp: { mode: 'restricted' } })
  const browser = new TestBrowser(t)
  const uninvited = await browser.post('/client/sign_ups', { email_address: bob, password })
  expect(uninvited.body.errors[0].code).toBe('sign_up_mode_restricted')
  const { url } = await createInvitation(t.ctx(), {
    emailAddress: bob,
    publicUrl: t.url,
    publicMetadata: { plan: 'early' },
  })
  const { ticket } = await follow(browser, new URL(url))
  const done = await browser.post('/client/sign_ups', { ticket: String(ticket), password })
  expect(done.body.response.status).toBe('complete')
  expect(done.body.client.sessions[0].user.public_metadata).toEqual({ plan: 'early' })
})

test('a sign-in token signs its user in and expires', async () => {
  const t = await testInstance()
  const { userId } = await new TestBrowser(t).signUp(bob)
  const issue = (seconds: number) =>
    transaction(t.ctx(), (tx) =>
      createOneTimeToken(tx, {
        kind: 'sign_in_token',
        subjectId: userId,
        expiresAt: new Date(Date.now() + seconds * 1000),
      }),
    )
  const signIn = async (ticket: string) =>
    (await new TestBrowser(t).post('/client/sign_ins', { strategy: 'ticket', ticket })).body
  const { token } = await issue(60)
  expect((await signIn(token)).client.sessions[0].user.id).toBe(userId)
  expect((await signIn(token)).errors[0].code).toBe('token_used')
  expect((await signIn((await issue(-1)).token)).errors[0].code).toBe('ticket_expired')
})
