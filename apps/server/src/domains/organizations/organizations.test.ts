import { expect, test } from 'bun:test'
import { testInstance } from '../../testing/server.ts'
import { updateUser } from '../users/index.ts'
import {
  createOrganization,
  deleteOrganization,
  findMembership,
  getOrganization,
  listOrganizations,
  mergeOrganizationMetadata,
  updateOrganization,
} from './index.ts'
import { frontiers, outcome, outcomes, type Person } from './testing.ts'

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
