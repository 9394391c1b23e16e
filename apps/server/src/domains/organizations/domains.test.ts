import { expect, test } from 'bun:test'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { createRole, listPermissions } from '../access/index.ts'
import { listMessages } from '../messaging/index.ts'
import { addEmailAddress, deleteEmailAddress } from '../users/index.ts'
import {
  attemptAffiliation,
  changeMemberRole,
  createOrganization,
  createOrganizationDomain,
  deleteOrganizationDomain,
  getDomain,
  listOrganizationDomains,
  prepareAffiliation,
  updateOrganizationDomain,
} from './index.ts'
import { allowDomains, announced, frontiers, outcome, outcomes, type Person } from './testing.ts'

const page = { limit: 100, offset: 0 }
const name = 'acme.example'
const mailbox = `postmaster@${name}`

async function withDomains(settings?: Record<string, unknown>) {
  const t = await testInstance()
  const people = await frontiers(t)
  await allowDomains(t, settings)
  return { t, ...people, organizationId: people.organization.id }
}

async function claimed(by: Person, organizationId: string, domain = name) {
  const { id } = await createOrganizationDomain(by.ctx(), { organizationId, name: domain })
  return { organizationId, domainId: id }
}

async function codeFor(t: TestInstance, to = mailbox): Promise<string> {
  const [message] = await listMessages(t.ctx(), { to, limit: 1 })
  return message?.text.match(/\b\d{6}\b/)?.[0] ?? ''
}

test('a name is a domain name, in its one spelling, and not one at which anybody has a mailbox', async () => {
  const { ada, organizationId, t } = await withDomains()
  const add = (value: unknown) => outcome(createOrganizationDomain(ada.ctx(), { organizationId, name: value }))
  const bad = ['', 'acme', 'a b.example', 'acme..example', '-a.example', 'acme.example/x', 'a@acme.example', '10.0.0.1']
  for (const value of [...bad, 'acme.example:80', 'acme.example.', '*.acme.example', ['acme.example'], 7, null])
    expect([value, await add(value)]).toEqual([value, 'form_param_format_invalid'])
  for (const value of ['gmail.com', 'GMAIL.com', 'yahoo.co.uk', 'hotmail.fr', 'icloud.com', 'web.de', 'qq.com'])
    expect([value, await add(value)]).toEqual([value, 'organization_domain_common'])
  expect(await add('mailinator.com')).toBe('organization_domain_blocked')
  expect([await add(' ACME.example '), await add('acme.example')]).toEqual(['done', 'duplicate_record'])
  expect([await add('münchen.example'), await add('xn--mnchen-3ya.example')]).toEqual(['done', 'duplicate_record'])
  const { data } = await listOrganizationDomains(ada.ctx(), { organizationId, ...page })
  expect(data.map((d) => d.name)).toEqual(['xn--mnchen-3ya.example', 'acme.example'])
  expect((await announced(t, /^organizationDomain/)).map((e) => e.type)).toEqual([
    'organizationDomain.created',
    'organizationDomain.created',
  ])
})

test('where domains are off there are none, and a mode that is off cannot be chosen', async () => {
  const t = await testInstance()
  const { ada, organization } = await frontiers(t)
  const organizationId = organization.id
  const add = (enrollmentMode?: string) =>
    outcome(createOrganizationDomain(ada.ctx(), { organizationId, name, enrollmentMode }))
  expect(await add()).toBe('organization_domains_not_enabled')
  await allowDomains(t, { enrollmentModes: ['automatic_suggestion'] })
  expect(await add('automatic_invitation')).toBe('enrollment_mode_not_enabled')
  expect(await add('by_magic')).toBe('form_param_value_invalid')
  expect(await add()).toBe('done')
  const [domain] = (await listOrganizationDomains(ada.ctx(), { organizationId, ...page })).data
  const key = { organizationId, domainId: domain?.id ?? '' }
  const change = (enrollmentMode: string) => outcome(updateOrganizationDomain(ada.ctx(), { ...key, enrollmentMode }))
  expect(await change('automatic_invitation')).toBe('enrollment_mode_not_enabled')
  expect(await change('automatic_suggestion')).toBe('done')
})

test('I7 domains are read and managed by who may, in their own organization and instance', async () => {
  const { t, ada, bob, eve, organizationId } = await withDomains()
  const other = await testInstance()
  await allowDomains(other)
  const theirs = await createOrganization(eve.ctx(), { name: 'Theirs' })
  const key = await claimed(ada, organizationId)
  const calls: [string, (p: { ctx: Person['ctx'] }, k: typeof key) => Promise<unknown>][] = [
    ['list', (p, k) => listOrganizationDomains(p.ctx(), { ...page, organizationId: k.organizationId })],
    ['get', (p, k) => getDomain(p.ctx(), k)],
    ['create', (p, k) => createOrganizationDomain(p.ctx(), { organizationId: k.organizationId, name: 'b.example' })],
    ['update', (p, k) => updateOrganizationDomain(p.ctx(), { ...k, enrollmentMode: 'automatic_invitation' })],
    ['prepare', (p, k) => prepareAffiliation(p.ctx(), { ...k, emailAddress: mailbox })],
    ['attempt', (p, k) => attemptAffiliation(p.ctx(), { ...k, code: '000000' })],
    ['delete', (p, k) => deleteOrganizationDomain(p.ctx(), k)],
  ]
  const hidden = 'organization_not_found_or_unauthorized'
  for (const [what, call] of calls) {
    expect([what, await outcome(call(bob, key))]).toEqual([what, 'forbidden'])
    expect([what, await outcome(call(eve, key))]).toEqual([what, hidden])
    expect([what, await outcome(call({ ctx: () => t.ctx({ type: 'anonymous' }) }, key))]).toEqual([what, hidden])
    if (what === 'list' || what === 'create') continue
    // Her own organization, and the domain of another one.
    const nested = { ...key, organizationId: theirs.id }
    expect([what, await outcome(call(eve, nested))]).toEqual([what, 'resource_not_found'])
    expect([what, await outcome(call({ ctx: () => other.ctx() }, key))]).toEqual([what, 'resource_not_found'])
  }
  expect(await listMessages(t.ctx(), { to: mailbox, limit: 10 })).toEqual([])
  // Reading is a permission of its own.
  const { data } = await listPermissions(t.ctx(), page)
  const permissionIds = data.filter((p) => p.key === 'org:sys_domains:read').map((p) => p.id)
  await createRole(t.ctx(), { key: 'org:reader', name: 'Reader', permissionIds })
  await changeMemberRole(t.ctx(), { organizationId, userId: bob.id, role: 'org:reader' })
  expect((await getDomain(bob.ctx(), key)).name).toBe(name)
  expect(await outcome(deleteOrganizationDomain(bob.ctx(), key))).toBe('forbidden')
})

test('the word of the caller verifies a domain only if the caller is the application’s server', async () => {
  const { t, ada, organizationId } = await withDomains()
  const mine = await createOrganizationDomain(ada.ctx(), { organizationId, name, verified: true })
  expect(mine.affiliationVerifiedAt).toBeNull()
  const key = { organizationId, domainId: mine.id }
  expect((await updateOrganizationDomain(ada.ctx(), { ...key, verified: true })).affiliationVerifiedAt).toBeNull()
  const trusted = await updateOrganizationDomain(t.ctx(), { ...key, verified: true })
  expect(trusted).toMatchObject({ affiliationVerifiedAt: expect.any(Date), affiliationStrategy: 'admin' })
  expect((await updateOrganizationDomain(ada.ctx(), { ...key, verified: false })).affiliationVerifiedAt).not.toBeNull()
  expect((await updateOrganizationDomain(t.ctx(), { ...key, verified: false })).affiliationVerifiedAt).toBeNull()
})

test('a code proves the mailbox at the domain that it was sent to, and no other', async () => {
  const { t, ada, organizationId } = await withDomains()
  const key = await claimed(ada, organizationId)
  const prepare = (emailAddress: unknown) => outcome(prepareAffiliation(ada.ctx(), { ...key, emailAddress }))
  const attempt = (code: unknown) => outcome(attemptAffiliation(ada.ctx(), { ...key, code }))
  expect(await attempt('424242')).toBe('verification_failed')
  const elsewhere = ['x@sub.acme.example', 'x@example', 'x@acme.example.evil.test', 'x@evil-acme.example']
  for (const address of elsewhere)
    expect(['organization_domain_mismatch', 'form_param_format_invalid']).toContain(await prepare(address))
  for (const address of [`${mailbox}, eve@evil.test`, [mailbox, 'eve@evil.test'], `eve@evil.test<${mailbox}>`, null])
    expect(await prepare(address)).toBe('form_param_format_invalid')
  expect(await prepare(mailbox)).toBe('done')
  const first = await codeFor(t)
  // Another mailbox is named: what was sent to the first one is worth nothing.
  expect(await prepare(`other@${name}`)).toBe('done')
  const second = await codeFor(t, `other@${name}`)
  if (first !== second) expect(await attempt(first)).toBe('form_code_incorrect')
  expect(await attempt(second)).toBe('done')
  expect([await attempt(second), await prepare(mailbox)]).toEqual(Array(2).fill('verification_already_verified'))
})

test('a code of a domain is used once, stands five guesses and is over after ten minutes', async () => {
  const { t, ada, organizationId } = await withDomains()
  const key = await claimed(ada, organizationId)
  const prepare = () => prepareAffiliation(ada.ctx(), { ...key, emailAddress: mailbox })
  const attempt = (code: string) => attemptAffiliation(ada.ctx(), { ...key, code })
  await prepare()
  const wrong = (await codeFor(t)) === '111111' ? '222222' : '111111'
  const guesses = await outcomes(20, () => attempt(wrong))
  expect(guesses).toEqual({ form_code_incorrect: 5, verification_failed: 15 })
  expect(await outcome(attempt(await codeFor(t)))).toBe('verification_failed')
  expect((await getDomain(ada.ctx(), key)).affiliationAttempts).toBe(5)
  await prepare()
  t.advance(11 * 60_000)
  expect(await outcome(attempt(await codeFor(t)))).toBe('verification_expired')
  await prepare()
  const code = await codeFor(t)
  const { done, ...others } = await outcomes(20, () => attempt(code))
  expect(done).toBe(1)
  for (const refusal of Object.keys(others)) expect(refusal).toBe('verification_already_verified')
})

test('an organization has only so many codes sent, to however many mailboxes', async () => {
  const { ada, organizationId } = await withDomains()
  const key = await claimed(ada, organizationId)
  const send = (i: number) => prepareAffiliation(ada.ctx(), { ...key, emailAddress: `m${i}@${name}` })
  expect(await outcomes(25, send)).toEqual({ done: 20, too_many_requests: 5 })
})

test('A8 guesses at the codes of a domain are bounded, however many organizations and mailboxes ask for them', async () => {
  const { ada, organizationId } = await withDomains()
  const others = await Promise.all([1, 2, 3].map((n) => createOrganization(ada.ctx(), { name: `Ada ${n}` })))
  const keys = await Promise.all([organizationId, ...others.map(({ id }) => id)].map((id) => claimed(ada, id)))
  const counted: Record<string, number> = {}
  for (const [k, key] of keys.entries()) {
    const send = (i: number) => prepareAffiliation(ada.ctx(), { ...key, emailAddress: `m${k}-${i}@${name}` })
    for (const [what, n] of Object.entries(await outcomes(15, send))) counted[what] = (counted[what] ?? 0) + n
  }
  expect(counted).toEqual({ done: 50, too_many_requests: 10 })
  // Another domain is not concerned.
  const elsewhere = await claimed(ada, organizationId, 'other.example')
  expect(await outcome(prepareAffiliation(ada.ctx(), { ...elsewhere, emailAddress: 'm@other.example' }))).toBe('done')
})

test('a domain that several claim belongs to the first who proves it, also when they prove it at once', async () => {
  const { t, ada, eve, organizationId } = await withDomains()
  const theirs = await createOrganization(eve.ctx(), { name: 'Theirs' })
  const [mine, hers] = [await claimed(ada, organizationId), await claimed(eve, theirs.id)]
  await prepareAffiliation(ada.ctx(), { ...mine, emailAddress: `a@${name}` })
  await prepareAffiliation(eve.ctx(), { ...hers, emailAddress: `e@${name}` })
  const codes = [await codeFor(t, `a@${name}`), await codeFor(t, `e@${name}`)] as const
  const ends = await Promise.all([
    outcome(attemptAffiliation(ada.ctx(), { ...mine, code: codes[0] })),
    outcome(attemptAffiliation(eve.ctx(), { ...hers, code: codes[1] })),
  ])
  expect(ends.sort()).toEqual(['done', 'organization_domain_taken'])
  expect(await outcome(updateOrganizationDomain(t.ctx(), { ...mine, verified: true }))).toBe(
    (await getDomain(t.ctx(), mine)).affiliationVerifiedAt ? 'done' : 'organization_domain_taken',
  )
  // Another instance knows nothing of it.
  const other = await testInstance()
  await allowDomains(other)
  const elsewhere = await createOrganization(other.ctx(), { name: 'Elsewhere' })
  const again = createOrganizationDomain(other.ctx(), { organizationId: elsewhere.id, name, verified: true })
  expect(await outcome(again)).toBe('done')
})

test('a domain that twenty add at once is there once, and is deleted once', async () => {
  const { t, ada, organizationId } = await withDomains()
  const add = () => createOrganizationDomain(ada.ctx(), { organizationId, name })
  expect(await outcomes(20, add)).toEqual({ done: 1, duplicate_record: 19 })
  const [domain] = (await listOrganizationDomains(ada.ctx(), { organizationId, ...page })).data
  const remove = () => deleteOrganizationDomain(ada.ctx(), { organizationId, domainId: domain?.id ?? '' })
  expect(await outcomes(20, remove)).toEqual({ done: 1, resource_not_found: 19 })
  expect((await announced(t, /^organizationDomain/)).map((e) => e.type).sort()).toEqual([
    'organizationDomain.created',
    'organizationDomain.deleted',
  ])
})

test('an organization names fifty domains at most, however many at once', async () => {
  const { ada, organizationId } = await withDomains()
  const add = (i: number) => createOrganizationDomain(ada.ctx(), { organizationId, name: `d${i}.example` })
  expect(await outcomes(55, add)).toEqual({ done: 50, organization_domain_quota_exceeded: 5 })
})

test('whoever has shown a mailbox at a domain needs no second code; the word of others is no mailbox', async () => {
  const { t, ada, bob, organizationId } = await withDomains()
  const add = (by: Person) => createOrganizationDomain(by.ctx(), { organizationId, name })
  const remove = ({ id }: { id: string }) => deleteOrganizationDomain(t.ctx(), { organizationId, domainId: id })
  for (const verifiedBy of [null, 'admin', 'ticket', 'from_oauth_google'] as const) {
    const { id } = await addEmailAddress(t.ctx(), { userId: ada.id, emailAddress: `ada@${name}`, verifiedBy })
    const made = await add(ada)
    expect([verifiedBy, made.affiliationVerifiedAt]).toEqual([verifiedBy, null])
    await remove(made)
    await deleteEmailAddress(t.ctx(), id)
  }
  await addEmailAddress(t.ctx(), { userId: ada.id, emailAddress: `ada@sub.${name}`, verifiedBy: 'email_code' })
  // Somebody else's mailbox is not the caller's.
  await addEmailAddress(t.ctx(), { userId: bob.id, emailAddress: `bob@${name}`, verifiedBy: 'email_code' })
  const unproven = await add(ada)
  expect(unproven.affiliationVerifiedAt).toBeNull()
  await remove(unproven)
  await addEmailAddress(t.ctx(), { userId: ada.id, emailAddress: `ada@${name}`, verifiedBy: 'email_link' })
  expect(await add(ada)).toMatchObject({
    affiliationEmailAddress: `ada@${name}`,
    affiliationStrategy: 'email_code',
    affiliationVerifiedAt: expect.any(Date),
  })
  const { id } = await createOrganization(ada.ctx(), { name: 'Second' })
  const second = createOrganizationDomain(ada.ctx(), { organizationId: id, name })
  expect(await outcome(second)).toBe('organization_domain_taken')
})
