import { expect, test } from 'bun:test'
import { createDns } from '../../kernel/dns.ts'
import { startDns } from '../../testing/dns.ts'
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

  // Whoever is turned down stays outside, and is not let in afterwards.
  const [asked] = (await suggestions(early)).data
  await early.browser.post(early.at(`/me/organization_suggestions/${asked.id}/accept`))
  const { data } = (await ada.browser.get(ada.at(requests, '&status=pending'))).body.response
  const turnDown = () => ada.browser.post(ada.at(`${requests}/${data[0].id}/reject`))
  expect((await early.browser.post(early.at(`${requests}/${data[0].id}/reject`))).status).toBe(404)
  expect((await turnDown()).body.response).toMatchObject({ id: data[0].id, status: 'rejected' })
  expect((await turnDown()).status).toBe(404)
  expect((await ada.browser.post(ada.at(`${requests}/${data[0].id}/accept`))).status).toBe(404)
  const theirs = await early.browser.get(early.at('/me/organization_memberships'))
  expect(theirs.body.response.total_count).toBe(0)
})

test('one domain is proven by its record, and says so to whoever asks', async () => {
  const t = await withDomains()
  const dns = await startDns()
  const { runtime } = t.server
  const { dns: before } = runtime
  runtime.dns = createDns([dns.address])
  try {
    const ada = await signedIn(t, 'ada@home.example')
    const path = `/organizations/${await createdBy(ada, 'Frontiers')}/domains`
    const { id } = (await ada.browser.post(ada.at(path), { name: 'zone.example' })).body.response
    const post = async (what: string) => (await ada.browser.post(ada.at(`${path}/${id}/${what}`))).body
    expect((await post('attempt_ownership_verification')).errors[0].code).toBe('verification_failed')
    const prepared = (await post('prepare_ownership_verification')).response.ownership_verification
    expect(prepared).toMatchObject({
      status: 'unverified',
      strategy: 'txt',
      attempts: 0,
      verified_at: null,
      txt_record_name: '_usher-challenge.zone.example',
    })
    expect((await post('attempt_ownership_verification')).errors[0].code).toBe('verification_failed')
    dns.records.set(prepared.txt_record_name, [[prepared.txt_record_value]])
    expect((await post('attempt_ownership_verification')).response).toMatchObject({
      verification: null,
      ownership_verification: { status: 'verified', attempts: 2 },
    })
    for (const what of ['prepare_ownership_verification', 'attempt_ownership_verification'])
      expect((await post(what)).errors[0].code).toBe('verification_already_verified')
    expect((await ada.browser.get(ada.at(`${path}/${id}`))).body.response.ownership_verification.status).toBe(
      'verified',
    )
    const remove = () => ada.browser.send('DELETE', ada.at(`${path}/${id}`))
    expect((await remove()).body.response).toMatchObject({ object: 'organization_domain', id, deleted: true })
    expect((await remove()).status).toBe(404)
    expect((await ada.browser.get(ada.at(path))).body.response.total_count).toBe(0)
  } finally {
    runtime.dns = before
    dns.close()
  }
})

test('a form without a field, with a wrong one or with the wrong type is refused and changes nothing', async () => {
  const t = await withDomains()
  const ada = await signedIn(t, 'ada@home.example')
  const path = `/organizations/${await createdBy(ada, 'Frontiers')}/domains`
  const { id } = (await ada.browser.post(ada.at(path), { name: 'acme.example' })).body.response
  const cases: [string, Record<string, string | string[]>][] = [
    [path, {}],
    [path, { name: ['a.example', 'b.example'] }],
    [path, { name: 'a.example', enrollment_mode: 'by_magic' }],
    [`${path}/${id}/update_enrollment_mode`, {}],
    [`${path}/${id}/update_enrollment_mode`, { enrollment_mode: 'enterprise_sso' }],
    [`${path}/${id}/prepare_affiliation_verification`, {}],
    [
      `${path}/${id}/prepare_affiliation_verification`,
      { affiliation_email_address: ['a@acme.example', 'e@evil.test'] },
    ],
    [`${path}/prepare_ownership_verification/bulk`, {}],
    [`${path}/prepare_ownership_verification/bulk`, { organization_domain_ids: Array(21).fill(id) }],
  ]
  for (const [at, form] of cases) {
    const { status, body } = await ada.browser.post(ada.at(at), form)
    expect([at, form, status, body.errors?.length]).toEqual([at, form, 422, 1])
  }
  expect((await ada.browser.get(ada.at(path))).body.response).toMatchObject({
    total_count: 1,
    data: [{ id, enrollment_mode: 'manual_invitation', verification: null }],
  })
  expect(await mailsTo(t, 'a@acme.example')).toEqual([])
})
