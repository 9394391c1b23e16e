import { expect, test } from 'bun:test'
import {
  acceptSuggestion,
  createOrganization,
  createOrganizationDomain,
  inviteMembers,
  listMembershipRequests,
  listMemberships,
  listSuggestions,
} from '../../domains/organizations/index.ts'
import { addEmailAddress, createUser } from '../../domains/users/index.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { claimsOf, mailsTo, TestBrowser } from './testing.ts'

type SignedIn = { userId: string; sessionId: string; browser: TestBrowser; at: (path: string) => string }

async function signedIn(t: TestInstance, emailAddress: string): Promise<SignedIn> {
  const browser = new TestBrowser(t)
  const { userId, sessionId } = await browser.signUp(emailAddress)
  return { userId, sessionId, browser, at: (path) => `${path}?_clerk_session_id=${sessionId}` }
}

async function createdBy(who: SignedIn, name: string): Promise<string> {
  const made = await who.browser.post(who.at('/organizations'), { name })
  expect(made.status).toBe(200)
  return made.body.response.id
}

/** Ada has an organization, Eve another; Eve is no member of Ada's. */
async function twoOrganizations() {
  const t = await testInstance()
  const [ada, eve] = [await signedIn(t, 'ada@example.com'), await signedIn(t, 'eve@example.com')]
  const [adas, eves] = [await createdBy(ada, 'Frontiers'), await createdBy(eve, 'Theirs')]
  return { t, ada, eve, adas, eves }
}

const publicUrl = 'http://localhost:3913'

test('I7 every route of another organization answers as if it did not exist, nested ids too', async () => {
  const { t, ada, eve, adas, eves } = await twoOrganizations()
  const input = { organizationId: adas, emailAddress: 'carol@example.com', role: 'org:member', publicUrl }
  const [invitation] = await inviteMembers(t.ctx(), [input])
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { organizations: { domains: true } })
  const domain = await createOrganizationDomain(t.ctx(), {
    organizationId: adas,
    name: 'acme.example',
    enrollmentMode: 'automatic_suggestion',
    verified: true,
  })
  const page = { limit: 10, offset: 0 }
  const asks = async (emailAddress: string) => {
    const { id } = await createUser(t.ctx(), { emailAddresses: [{ emailAddress, verifiedBy: 'email_code' }] })
    const [suggestion] = (await listSuggestions(t.ctx(), { ...page, userId: id })).data
    return { id, suggestion }
  }
  const { suggestion } = await asks('dan@acme.example')
  const dora = await asks('dora@acme.example')
  await acceptSuggestion(t.ctx(), { suggestionId: dora.suggestion?.id ?? '', userId: dora.id })
  const [request] = (await listMembershipRequests(t.ctx(), { ...page, organizationId: adas })).data
  const bulk = { organization_domain_ids: domain.id }
  const mailbox = { affiliation_email_address: 'eve@acme.example' }
  const manual = 'manual_invitation'
  // Eve speaks for her own organization, and names Ada's.
  await eve.browser.post(`/client/sessions/${eve.sessionId}/touch`, { active_organization_id: eves })
  const role = 'org:admin'
  const routes: [string, string, Record<string, string>?][] = [
    ['GET', `/organizations/${adas}`],
    ['PATCH', `/organizations/${adas}`, { name: 'Mine' }],
    ['DELETE', `/organizations/${adas}`],
    ['PUT', `/organizations/${adas}/logo`],
    ['DELETE', `/organizations/${adas}/logo`],
    ['GET', `/organizations/${adas}/memberships`],
    ['POST', `/organizations/${adas}/memberships`, { user_id: eve.userId, role }],
    ['PATCH', `/organizations/${adas}/memberships/${ada.userId}`, { role: 'org:member' }],
    ['DELETE', `/organizations/${adas}/memberships/${ada.userId}`],
    ['DELETE', `/organizations/${adas}/memberships/${eve.userId}`],
    ['GET', `/organizations/${adas}/invitations`],
    ['POST', `/organizations/${adas}/invitations`, { email_address: 'eve2@example.com', role }],
    ['POST', `/organizations/${adas}/invitations/bulk`, { email_address: 'eve2@example.com', role }],
    ['POST', `/organizations/${adas}/invitations/${invitation?.id}/revoke`],
    ['GET', `/organizations/${adas}/roles`],
    ['GET', `/organizations/${adas}/domains`],
    ['POST', `/organizations/${adas}/domains`, { name: 'eve.example' }],
    ['POST', `/organizations/${adas}/domains/prepare_ownership_verification/bulk`, bulk],
    ['POST', `/organizations/${adas}/domains/attempt_ownership_verification/bulk`, bulk],
    ...[adas, eves].flatMap((id): [string, string, Record<string, string>?][] => [
      ['GET', `/organizations/${id}/domains/${domain.id}`],
      ['DELETE', `/organizations/${id}/domains/${domain.id}`],
      ['POST', `/organizations/${id}/domains/${domain.id}/update_enrollment_mode`, { enrollment_mode: manual }],
      ['POST', `/organizations/${id}/domains/${domain.id}/prepare_affiliation_verification`, mailbox],
      ['POST', `/organizations/${id}/domains/${domain.id}/attempt_affiliation_verification`, { code: '424242' }],
      ['POST', `/organizations/${id}/domains/${domain.id}/prepare_ownership_verification`],
      ['POST', `/organizations/${id}/domains/${domain.id}/attempt_ownership_verification`],
      ['POST', `/organizations/${id}/membership_requests/${request?.id}/accept`],
      ['POST', `/organizations/${id}/membership_requests/${request?.id}/reject`],
    ]),
    ['GET', `/organizations/${adas}/membership_requests`],
    ['POST', `/me/organization_suggestions/${suggestion?.id}/accept`],
    ['GET', `/organizations/${adas}/enterprise_connections`],
    ['DELETE', `/me/organization_memberships/${adas}`],
    ['POST', `/me/organization_invitations/${invitation?.id}/accept`],
    ['POST', `/client/sessions/${eve.sessionId}/touch`, { active_organization_id: adas }],
    ['POST', `/client/sessions/${eve.sessionId}/tokens`, { organization_id: adas }],
    // Eve's own organization in front, ids of Ada's behind it.
    ['PATCH', `/organizations/${eves}/memberships/${ada.userId}`, { role: 'org:member' }],
    ['DELETE', `/organizations/${eves}/memberships/${ada.userId}`],
    ['POST', `/organizations/${eves}/invitations/${invitation?.id}/revoke`],
  ]
  for (const [method, path, form] of routes) {
    const { status, body } = await eve.browser.send(method, eve.at(path), form)
    expect([method, path, status]).toEqual([method, path, 404])
    expect(JSON.stringify(body)).not.toContain('Frontiers')
    const stranger = await new TestBrowser(t).send(method, path, form)
    expect([method, path, [401, 404].includes(stranger.status)]).toEqual([method, path, true])
  }
  const { data } = await listMemberships(t.ctx(), { organizationId: adas, limit: 10, offset: 0 })
  expect(data.map((m) => [m.userId, m.role.key, m.organization.name])).toEqual([[ada.userId, 'org:admin', 'Frontiers']])
  expect(await mailsTo(t, 'eve2@example.com')).toEqual([])
  expect(await mailsTo(t, 'eve@acme.example')).toEqual([])
}, 60_000)

test('I7 a slug, an organization of another instance and one that never was look the same', async () => {
  const { ada, eve, adas } = await twoOrganizations()
  const slug = (await ada.browser.get(ada.at(`/organizations/${adas}`))).body.response.slug
  const elsewhere = await createOrganization((await testInstance()).ctx(), { name: 'Far' })
  const seen = await Promise.all(
    [adas, slug, elsewhere.id, 'org_nothing'].map((id) => eve.browser.get(eve.at(`/organizations/${id}`))),
  )
  const [first, ...rest] = seen.map(({ status, body }) => [status, body.errors])
  for (const other of rest) expect(other).toEqual(first as typeof other)
})

test('I1 an unproven address brings no invitation, neither in the list nor by its id', async () => {
  const { t, eve, adas } = await twoOrganizations()
  const input = { organizationId: adas, emailAddress: 'victim@example.com', role: 'org:member', publicUrl }
  const [invitation] = await inviteMembers(t.ctx(), [input])
  await addEmailAddress(t.ctx(), { userId: eve.userId, emailAddress: 'victim@example.com', verifiedBy: null })
  const list = await eve.browser.get(eve.at('/me/organization_invitations'))
  expect(list.body.response).toEqual({ data: [], total_count: 0 })
  const accepted = await eve.browser.post(eve.at(`/me/organization_invitations/${invitation?.id}/accept`))
  expect(accepted.status).toBe(404)
})

test('I8 who is removed speaks for the organization no more: gone at the next token', async () => {
  const { t, ada, eve, adas } = await twoOrganizations()
  await ada.browser.post(ada.at(`/organizations/${adas}/memberships`), { user_id: eve.userId, role: 'org:member' })
  const active = { active_organization_id: adas }
  expect((await eve.browser.post(`/client/sessions/${eve.sessionId}/touch`, active)).status).toBe(200)
  const mint = async (form?: Record<string, string>) =>
    eve.browser.post(`/client/sessions/${eve.sessionId}/tokens`, form ?? {})
  expect(claimsOf((await mint()).body.jwt).o.id).toBe(adas)
  const removed = await ada.browser.send('DELETE', ada.at(`/organizations/${adas}/memberships/${eve.userId}`))
  expect(removed.status).toBe(200)
  expect(claimsOf((await mint()).body.jwt)).not.toHaveProperty('o')
  expect((await mint({ organization_id: adas })).status).toBe(404)
  const client = (await eve.browser.get('/client')).body.response
  expect(JSON.stringify(client)).not.toContain(adas)
  expect((await eve.browser.get(eve.at(`/organizations/${adas}`))).status).toBe(404)
  expect((await listMemberships(t.ctx(), { organizationId: adas, limit: 9, offset: 0 })).totalCount).toBe(1)
})

test('I4 I22 roles in forms: unknown, several in one, repeated', async () => {
  const { t, ada, adas } = await twoOrganizations()
  const path = ada.at(`/organizations/${adas}/invitations`)
  for (const role of ['member,admin', 'org:member,org:admin', 'org:owner', '', ['org:member', 'org:admin']]) {
    const { status } = await ada.browser.post(path, { email_address: 'carol@example.com', role })
    expect([role, status]).toEqual([role, 422])
  }
  expect(await mailsTo(t, 'carol@example.com')).toEqual([])
})

test('I20 an administrator sets no metadata and no limit through a form; the link of an invitation is not shown', async () => {
  const { ada, adas } = await twoOrganizations()
  const changed = await ada.browser.send('PATCH', ada.at(`/organizations/${adas}`), {
    name: 'New',
    public_metadata: '{"plan":"pro"}',
    private_metadata: '{"plan":"pro"}',
    max_allowed_memberships: '99',
    admin_delete_enabled: 'false',
  })
  expect(changed.body.response).toMatchObject({ name: 'New', public_metadata: {}, max_allowed_memberships: 0 })
  expect(changed.body.response).toMatchObject({ admin_delete_enabled: true })
  expect(changed.body.response).not.toHaveProperty('private_metadata')
  const made = await ada.browser.post(ada.at('/organizations'), { name: 'X', max_allowed_memberships: '99' })
  expect(made.body.response.max_allowed_memberships).toBe(0)
  const form = { email_address: 'carol@example.com', role: 'org:member' }
  const invited = await ada.browser.post(ada.at(`/organizations/${adas}/invitations`), form)
  expect([invited.status, invited.body.response.url]).toEqual([200, null])
  expect(JSON.stringify(invited.body)).not.toContain('ticket=')
})

test('I17 who looks for people, names or domains of another organization finds, counts and learns nothing', async () => {
  const { t, ada, eve, adas, eves } = await twoOrganizations()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, {
    organizations: { domains: true, creationDefaults: true },
  })
  const domain = { organizationId: adas, name: 'acme.example', verified: true }
  await createOrganizationDomain(t.ctx(), { ...domain, enrollmentMode: 'automatic_suggestion' })
  const get = async (path: string) =>
    (await eve.browser.get(`${eve.at(path.split('?')[0] ?? '')}&${path.split('?')[1] ?? ''}`)).body
  const nothing = { data: [], total_count: 0 }
  const hers = `/organizations/${eves}`
  // Their words, in every list that is searched or filtered.
  for (const query of ['ada', 'ada@example.com', 'Frontiers', adas, ada.userId])
    expect([query, (await get(`${hers}/memberships?query=${query}`)).response]).toEqual([query, nothing])
  for (const path of [
    `${hers}/invitations`,
    `${hers}/domains`,
    `${hers}/membership_requests`,
    '/me/organization_suggestions',
  ])
    expect([path, (await get(`${path}?query=Frontiers&organization_id=${adas}`)).response]).toEqual([path, nothing])
  expect(
    (await get(`/me/organization_memberships?organization_id=${adas}&user_id=${ada.userId}`)).response,
  ).toMatchObject({
    total_count: 1,
    data: [{ organization: { id: eves } }],
  })
  // Whoever has no address at the domain does not learn whose it is, and a claim to it is like any other.
  expect((await get('/me/organization_creation_defaults?domain=acme.example')).response.advisory).toBeNull()
  const claim = await eve.browser.post(eve.at(`${hers}/domains`), { name: 'acme.example' })
  expect([claim.status, JSON.stringify(claim.body).includes('Frontiers')]).toEqual([200, false])
  // An invitation to somebody says nothing about whether they are here.
  const invite = (email_address: string) =>
    eve.browser.post(eve.at(`${hers}/invitations`), { email_address, role: 'org:member' })
  const [known, unknown] = [await invite('ada@example.com'), await invite('nobody@example.com')]
  const shape = ({ status, body }: typeof known) => [status, Object.keys(body.response).sort(), body.response.status]
  expect(shape(known)).toEqual(shape(unknown))
})
