import { expect, test } from 'bun:test'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { mailedCode, mailsTo, TestBrowser } from './testing.ts'

type SignedIn = { userId: string; browser: TestBrowser; at: (path: string, query?: string) => string }

async function signedIn(t: TestInstance, emailAddress: string): Promise<SignedIn> {
  const browser = new TestBrowser(t)
  const { userId, sessionId } = await browser.signUp(emailAddress)
  return { userId, browser, at: (path, query = '') => `${path}?_clerk_session_id=${sessionId}${query}` }
}

async function withDomains(settings: Record<string, unknown> = {}): Promise<TestInstance> {
  const t = await testInstance()
  const organizations = { domains: true, ...settings }
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { organizations })
  return t
}

async function createdBy(who: SignedIn, name: string): Promise<string> {
  return (await who.browser.post(who.at('/organizations'), { name })).body.response.id
}

/** Claims a domain and proves it by a mailbox at it. */
async function verified(t: TestInstance, who: SignedIn, organization: string, name: string, mode: string) {
  const path = `/organizations/${organization}/domains`
  const made = (await who.browser.post(who.at(path), { name, enrollment_mode: mode })).body.response
  const mailbox = `postmaster@${name}`
  await who.browser.post(who.at(`${path}/${made.id}/prepare_affiliation_verification`), {
    affiliation_email_address: mailbox,
  })
  const code = await mailedCode(t, mailbox)
  return who.browser.post(who.at(`${path}/${made.id}/attempt_affiliation_verification`), { code })
}

test('people of a verified domain are suggested the organization, ask to join and are let in', async () => {
  const t = await withDomains()
  const ada = await signedIn(t, 'ada@home.example')
  const early = await signedIn(t, 'early@acme.example')
  const frontiers = await createdBy(ada, 'Frontiers')
  const done = await verified(t, ada, frontiers, 'acme.example', 'automatic_suggestion')
  expect(done.body.response).toMatchObject({
    object: 'organization_domain',
    name: 'acme.example',
    verification: { status: 'verified', strategy: 'email_code', attempts: 1 },
    affiliation_verification: { status: 'verified' },
    ownership_verification: null,
    // Whoever was there before is suggested it as well.
    total_pending_suggestions: 1,
  })
  const bob = await signedIn(t, 'bob@acme.example')
  const stranger = await signedIn(t, 'eve@sub.acme.example')
  const suggestions = async (who: SignedIn) =>
    (await who.browser.get(who.at('/me/organization_suggestions', '&status=pending&status=accepted'))).body.response
  expect(await suggestions(stranger)).toEqual({ data: [], total_count: 0 })
  expect((await suggestions(early)).total_count).toBe(1)
  const [suggestion] = (await suggestions(bob)).data
  expect(suggestion).toMatchObject({
    object: 'organization_suggestion',
    status: 'pending',
    public_organization_data: { id: frontiers, name: 'Frontiers' },
  })
  // Nobody accepts what was suggested to somebody else.
  const accept = (who: SignedIn) => who.browser.post(who.at(`/me/organization_suggestions/${suggestion.id}/accept`))
  expect((await accept(stranger)).status).toBe(404)
  expect((await accept(bob)).body.response.status).toBe('accepted')
  expect((await accept(bob)).status).toBe(404)
  expect((await suggestions(bob)).data[0].status).toBe('accepted')

  const requests = `/organizations/${frontiers}/membership_requests`
  const open = (await ada.browser.get(ada.at(requests, '&status=pending'))).body.response
  expect(open).toMatchObject({
    total_count: 1,
    data: [{ status: 'pending', organization_id: frontiers, public_user_data: { identifier: 'bob@acme.example' } }],
  })
  const answer = `${requests}/${open.data[0].id}/accept`
  expect((await bob.browser.post(bob.at(answer))).status).toBe(404)
  expect((await ada.browser.post(ada.at(answer))).body.response.status).toBe('accepted')
  expect((await ada.browser.post(ada.at(answer))).status).toBe(404)
  const mine = await bob.browser.get(bob.at('/me/organization_memberships'))
  expect(mine.body.response).toMatchObject({ total_count: 1, data: [{ role: 'org:member' }] })
  expect((await suggestions(bob)).total_count).toBe(0)
  expect(await mailsTo(t, 'bob@acme.example')).toHaveLength(1)
})
