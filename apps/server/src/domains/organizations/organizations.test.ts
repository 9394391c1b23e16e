import { expect, test } from 'bun:test'
import { testInstance } from '../../testing/server.ts'
import { deleteUser, updateUser } from '../users/index.ts'
import {
  createOrganization,
  createOrganizationDomain,
  deleteOrganization,
  findCreationDefaults,
  findMembership,
  getOrganization,
  inviteMembers,
  listOrganizations,
  mergeOrganizationMetadata,
  updateOrganization,
  updateOrganizationDomain,
} from './index.ts'
import { allowDomains, announced, frontiers, outcome, outcomes, type Person, person } from './testing.ts'

const page = { limit: 100, offset: 0 }

test('a slug that twenty ask for at once goes to one; another instance may have it too', async () => {
  const [t, other] = [await testInstance(), await testInstance()]
  const { ada, organization } = await frontiers(t)
  const create = () => createOrganization(ada.ctx(), { name: 'Acme', slug: 'acme' })
  expect(await outcomes(20, create)).toEqual({ done: 1, organization_slug_taken: 19 })
  const rename = updateOrganization(ada.ctx(), { id: organization.id, slug: 'acme' })
  expect(await outcome(rename)).toBe('organization_slug_taken')
  expect(await outcome(createOrganization(other.ctx(), { name: 'Acme', slug: 'acme' }))).toBe('done')
  expect(await outcomes(5, () => createOrganization(ada.ctx(), { name: 'One name' }))).toEqual({ done: 5 })
})

test('who creates an organization is its administrator; who may not create any, creates none', async () => {
  const t = await testInstance()
  const { ada, bob, organization } = await frontiers(t)
  const own = await findMembership(t.ctx(), { organizationId: organization.id, userId: ada.id })
  expect(own?.role.key).toBe('org:admin')
  await updateUser(t.ctx(), { id: bob.id, createOrganizationEnabled: false })
  expect(await outcome(createOrganization(bob.ctx(), { name: 'Bobs' }))).toBe('organization_creation_not_allowed')
  expect(await outcome(createOrganization(t.ctx({ type: 'anonymous' }), { name: 'Nobodys' }))).toBe(
    'organization_creation_not_allowed',
  )
  expect(await outcome(createOrganization(t.ctx(), { name: 'X', createdBy: 'user_nobody' }))).toBe('resource_not_found')
  expect((await listOrganizations(t.ctx(), page)).totalCount).toBe(1)
})

test('names and slugs that mislead are refused', async () => {
  const t = await testInstance()
  const slugs = ['Acme', 'a b', '-a', 'org_x', 'admin', 'a/b', 'á', 'a\n', 'x'.repeat(101)]
  for (const slug of slugs)
    expect([slug, await outcome(createOrganization(t.ctx(), { name: 'Acme', slug }))]).toEqual([
      slug,
      'form_param_format_invalid',
    ])
  expect(await outcome(createOrganization(t.ctx(), { name: '  ' }))).toBe('form_param_nil')
  expect(await outcome(createOrganization(t.ctx(), { name: 'x'.repeat(257) }))).toBe('form_param_max_length_exceeded')
})

test('I7 an organization is changed and deleted by its own people with the right, once', async () => {
  const [t, other] = [await testInstance(), await testInstance()]
  const { organization, ada, bob, eve } = await frontiers(t)
  const { id } = organization
  const change = (by: Person) => outcome(updateOrganization(by.ctx(), { id, name: 'Taken over' }))
  const end = (by: Person) => outcome(deleteOrganization(by.ctx(), id))
  expect([await change(bob), await end(bob)]).toEqual(['forbidden', 'forbidden'])
  const hidden = 'organization_not_found_or_unauthorized'
  expect([await change(eve), await end(eve)]).toEqual([hidden, hidden])
  expect(await outcome(updateOrganization(other.ctx(), { id, name: 'Taken over' }))).toBe('resource_not_found')
  expect(await outcome(deleteOrganization(other.ctx(), id))).toBe('resource_not_found')
  expect((await getOrganization(t.ctx(), id)).name).toBe('Frontiers')
  await updateOrganization(t.ctx(), { id, adminDeleteEnabled: false })
  expect(await end(ada)).toBe('forbidden')
  await updateOrganization(t.ctx(), { id, adminDeleteEnabled: true })
  const ends = await outcomes(10, () => deleteOrganization(ada.ctx(), id))
  expect(ends.done).toBe(1)
})

test('I20 an administrator in a browser changes no limit, no metadata and no right of deletion', async () => {
  const t = await testInstance()
  const { organization, ada } = await frontiers(t)
  const { id } = organization
  const greedy = { publicMetadata: { plan: 'pro' }, privateMetadata: { plan: 'pro' }, maxAllowedMemberships: 1_000 }
  await updateOrganization(ada.ctx(), { id, name: 'New name', adminDeleteEnabled: false, ...greedy })
  expect(await getOrganization(t.ctx(), id)).toMatchObject({
    name: 'New name',
    publicMetadata: {},
    privateMetadata: {},
    maxAllowedMemberships: 0,
    adminDeleteEnabled: true,
  })
})

test('metadata merged at the same time all arrives', async () => {
  const t = await testInstance()
  const { id } = await createOrganization(t.ctx(), { name: 'Acme' })
  const keys = Array.from({ length: 20 }, (_, i) => `k${i}`)
  await Promise.all(keys.map((key) => mergeOrganizationMetadata(t.ctx(), { id, privateMetadata: { [key]: 1 } })))
  expect(Object.keys((await getOrganization(t.ctx(), id)).privateMetadata).sort()).toEqual(keys.sort())
})

test('a person creates as many organizations as are allowed, also when they ask for all at once', async () => {
  const t = await testInstance()
  const { ada, bob, eve } = await frontiers(t)
  const set = (organizations: Record<string, unknown>) =>
    t.server.runtime.instances.changeSettings(t.ctx().instance.id, { organizations })
  await set({ creationLimit: 3 })
  const create = (by: Person) => () => createOrganization(by.ctx(), { name: 'One of many' })
  // She has one already, and deleting one makes room.
  expect(await outcomes(10, create(ada))).toEqual({ done: 2, organization_creation_quota_exceeded: 8 })
  const [own] = (await listOrganizations(t.ctx(), { ...page, userIds: [ada.id] })).data
  await deleteOrganization(ada.ctx(), own?.id ?? '')
  expect(await outcomes(3, create(ada))).toEqual({ done: 1, organization_creation_quota_exceeded: 2 })
  // What is said of a person counts before what is said of all; 0 is no limit.
  await updateUser(t.ctx(), { id: bob.id, createOrganizationsLimit: 1 })
  await updateUser(t.ctx(), { id: eve.id, createOrganizationsLimit: 0 })
  expect(await outcomes(5, create(bob))).toEqual({ done: 1, organization_creation_quota_exceeded: 4 })
  expect(await outcomes(5, create(eve))).toEqual({ done: 5 })
  // The application's own server is asked for nothing.
  expect(await outcome(createOrganization(t.ctx(), { name: 'More', createdBy: bob.id }))).toBe('done')
  await set({ creation: false })
  expect(await outcome(create(eve)())).toBe('organization_creation_not_allowed')
  expect(await outcome(createOrganization(t.ctx(), { name: 'More', createdBy: eve.id }))).toBe('done')
})

test('an external id is the application’s to give, and is one organization’s', async () => {
  const [t, other] = [await testInstance(), await testInstance()]
  const { ada } = await frontiers(t)
  const create = () => createOrganization(t.ctx(), { name: 'Acme', externalId: 'crm-1' })
  expect(await outcomes(10, create)).toEqual({ done: 1, duplicate_record: 9 })
  expect((await listOrganizations(t.ctx(), { ...page, externalIds: ['crm-1'] })).totalCount).toBe(1)
  expect((await createOrganization(other.ctx(), { name: 'Acme', externalId: 'crm-1' })).externalId).toBe('crm-1')
  const mine = await createOrganization(ada.ctx(), { name: 'Mine', externalId: 'crm-2' })
  expect(mine.externalId).toBeNull()
  expect((await updateOrganization(ada.ctx(), { id: mine.id, externalId: 'crm-2' })).externalId).toBeNull()
  expect(await outcome(updateOrganization(t.ctx(), { id: mine.id, externalId: 'crm-1' }))).toBe('duplicate_record')
  expect((await updateOrganization(t.ctx(), { id: mine.id, externalId: 'crm-2' })).externalId).toBe('crm-2')
  expect((await updateOrganization(t.ctx(), { id: mine.id, name: 'Still mine' })).externalId).toBe('crm-2')
  expect((await updateOrganization(t.ctx(), { id: mine.id, externalId: null })).externalId).toBeNull()
})

test('what goes with an organization or a person is announced, each membership by itself', async () => {
  const t = await testInstance()
  const { organization, ada, bob } = await frontiers(t)
  await allowDomains(t)
  const organizationId = organization.id
  await createOrganizationDomain(t.ctx(), { organizationId, name: 'acme.example' })
  const invitation = { organizationId, role: 'org:member', publicUrl: 'http://localhost:3913' }
  await inviteMembers(ada.ctx(), [{ ...invitation, emailAddress: 'carol@example.com' }])
  await deleteUser(t.ctx(), bob.id)
  const data = (userId: string, role: string) => ({ organization_id: organizationId, user_id: userId, role })
  const ended = () => announced(t, /^organizationMembership\.deleted/)
  expect(await ended()).toEqual([{ type: 'organizationMembership.deleted', data: data(bob.id, 'org:member') }])
  await deleteOrganization(ada.ctx(), organizationId)
  expect(await ended()).toContainEqual({ type: 'organizationMembership.deleted', data: data(ada.id, 'org:admin') })
  expect(
    (await announced(t, /(Invitation\.revoked|Domain\.deleted|organization\.deleted)$/)).map((e) => e.type).sort(),
  ).toEqual(['organization.deleted', 'organizationDomain.deleted', 'organizationInvitation.revoked'])
})

test('the form for a new organization begins with a name from the address, and says who has its domain', async () => {
  const t = await testInstance()
  const nia = await person(t, 'nia@acme-labs.co.uk')
  const defaults = (who: Person) => findCreationDefaults(who.ctx(), who.id)
  const nothing = { name: '', slug: '', existing: null }
  expect(await defaults(nia)).toEqual(nothing)
  await allowDomains(t, { creationDefaults: true })
  expect(await defaults(nia)).toEqual({ name: 'Acme Labs', slug: 'acme-labs', existing: null })
  expect(await defaults(await person(t, 'oke@gmail.com'))).toEqual(nothing)
  const made = await createOrganization(t.ctx(), { name: 'Acme', slug: 'acme-labs' })
  const input = { organizationId: made.id, name: 'acme-labs.co.uk', verified: true }
  const domain = await createOrganizationDomain(t.ctx(), input)
  // One that people are only invited to is told to nobody.
  expect(await defaults(nia)).toEqual({ name: 'Acme Labs', slug: '', existing: null })
  const key = { organizationId: made.id, domainId: domain.id }
  await updateOrganizationDomain(t.ctx(), { ...key, enrollmentMode: 'automatic_suggestion' })
  expect((await defaults(nia)).existing).toEqual({ name: 'Acme', domain: 'acme-labs.co.uk' })
  expect((await defaults(await person(t, 'pia@other.example'))).existing).toBeNull()
})
