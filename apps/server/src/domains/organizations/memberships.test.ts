import { expect, test } from 'bun:test'
import { testInstance } from '../../testing/server.ts'
import {
  addMember,
  changeMemberRole,
  createOrganization,
  findMembership,
  listMemberships,
  mergeMembershipMetadata,
  removeMember,
  updateOrganization,
} from './index.ts'
import { createManagerRole, frontiers, outcome, outcomes, type Person, person } from './testing.ts'

const page = { limit: 100, offset: 0 }

async function withTwoAdmins() {
  const t = await testInstance()
  const all = await frontiers(t)
  const organizationId = all.organization.id
  await changeMemberRole(all.ada.ctx(), { organizationId, userId: all.bob.id, role: 'org:admin' })
  const admins = async () => (await listMemberships(t.ctx(), { ...page, organizationId, roles: ['org:admin'] })).data
  return { t, ...all, organizationId, admins }
}

test('I14 two administrators who demote each other at once: one remains', async () => {
  const { ada, bob, organizationId, admins } = await withTwoAdmins()
  const [me, other]: [Person, Person] = [ada, bob]
  for (let round = 0; round < 5; round += 1) {
    const demote = (by: Person, whom: Person) =>
      changeMemberRole(by.ctx(), { organizationId, userId: whom.id, role: 'org:member' })
    const counts = await outcomes(20, (i) => (i % 2 ? demote(me, other) : demote(other, me)))
    expect(counts.done).toBeGreaterThanOrEqual(1)
    const [left, ...more] = await admins()
    expect([left === undefined, more]).toEqual([false, []])
    const [up, down] = left?.userId === me.id ? [me, other] : [other, me]
    await changeMemberRole(up.ctx(), { organizationId, userId: down.id, role: 'org:admin' })
  }
}, 60_000)

test('I14 administrators who leave at once, or remove each other: one remains', async () => {
  const { ada, bob, organizationId, admins } = await withTwoAdmins()
  const ways = [
    () => removeMember(ada.ctx(), { organizationId, userId: ada.id }),
    () => removeMember(bob.ctx(), { organizationId, userId: bob.id }),
    () => removeMember(ada.ctx(), { organizationId, userId: bob.id }),
    () => removeMember(bob.ctx(), { organizationId, userId: ada.id }),
  ]
  expect((await outcomes(20, (i) => (ways[i % 4] as () => Promise<unknown>)())).done).toBe(1)
  expect(await admins()).toHaveLength(1)
})

test('I14 the last administrator neither leaves nor steps down', async () => {
  const t = await testInstance()
  const { organization, ada, bob } = await frontiers(t)
  const organizationId = organization.id
  const refused = 'organization_minimum_permissions_needed'
  expect(await outcome(removeMember(ada.ctx(), { organizationId, userId: ada.id }))).toBe(refused)
  const step = changeMemberRole(ada.ctx(), { organizationId, userId: ada.id, role: 'org:member' })
  expect(await outcome(step)).toBe(refused)
  expect(await outcome(removeMember(bob.ctx(), { organizationId, userId: bob.id }))).toBe('done')
})

test('I4 a role is given by who may, and never one above their own', async () => {
  const t = await testInstance()
  await createManagerRole(t)
  const { organization, ada, bob, eve } = await frontiers(t)
  const organizationId = organization.id
  const give = (by: Person, whom: Person, role: unknown) =>
    outcome(changeMemberRole(by.ctx(), { organizationId, userId: whom.id, role }))
  expect(await give(bob, bob, 'org:admin')).toBe('forbidden')
  expect(await give(eve, bob, 'org:admin')).toBe('organization_not_found_or_unauthorized')
  expect(await give(ada, bob, 'org:manager')).toBe('done')
  expect(await give(bob, bob, 'org:admin')).toBe('forbidden')
  const add = (role: unknown) => outcome(addMember(bob.ctx(), { organizationId, userId: eve.id, role }))
  expect(await add('org:admin')).toBe('forbidden')
  for (const role of ['member,admin', 'org:member,org:admin', 'org:nothing', ['org:member'], null])
    expect([role, await add(role)]).toEqual([role, 'form_param_value_invalid'])
  expect(await give(ada, eve, 'org:member')).toBe('resource_not_found')
  expect(await add('org:manager')).toBe('done')
})

test('a person is added once, however often at once, and only within the seats', async () => {
  const t = await testInstance()
  const { organization, ada, eve } = await frontiers(t)
  const organizationId = organization.id
  const add = (userId: string) => addMember(ada.ctx(), { organizationId, userId, role: 'org:member' })
  expect(await outcomes(20, () => add(eve.id))).toEqual({ done: 1, already_a_member_in_organization: 19 })
  await updateOrganization(t.ctx(), { id: organizationId, maxAllowedMemberships: 5 })
  const people = await Promise.all(Array.from({ length: 20 }, (_, i) => person(t, `p${i}`)))
  expect(await outcomes(20, (i) => add(people[i]?.id ?? ''))).toEqual({
    done: 2,
    organization_membership_quota_exceeded: 18,
  })
})

test('a membership ends once; strangers and plain members end nobody else’s', async () => {
  const t = await testInstance()
  const { organization, ada, bob, eve } = await frontiers(t)
  const organizationId = organization.id
  const remove = (by: Person, whom: Person) => removeMember(by.ctx(), { organizationId, userId: whom.id })
  expect(await outcome(remove(bob, ada))).toBe('forbidden')
  expect(await outcome(remove(eve, bob))).toBe('organization_not_found_or_unauthorized')
  expect(await outcome(remove(eve, eve))).toBe('organization_not_found_or_unauthorized')
  expect(await outcomes(20, () => remove(ada, bob))).toEqual({ done: 1, resource_not_found: 19 })
})

test('I7 members of one organization reach no membership of another, nor of another instance', async () => {
  const [t, other] = [await testInstance(), await testInstance()]
  const { ada, bob } = await frontiers(t)
  const far = await frontiers(other)
  const eve = await person(t, 'mallory')
  const theirs = await createOrganization(eve.ctx(), { name: 'Theirs' })
  for (const organizationId of [theirs.id, far.organization.id]) {
    const input = { organizationId, userId: bob.id, role: 'org:member' }
    for (const call of [addMember, changeMemberRole, removeMember])
      expect(await outcome(call(ada.ctx(), input))).toBe('organization_not_found_or_unauthorized')
  }
  const foreign = { organizationId: far.organization.id, userId: far.bob.id }
  expect(await findMembership(t.ctx(), foreign)).toBeUndefined()
  expect(await outcome(removeMember(t.ctx(), foreign))).toBe('resource_not_found')
  expect(await outcome(addMember(t.ctx(), { organizationId: theirs.id, userId: far.bob.id, role: 'org:member' }))).toBe(
    'resource_not_found',
  )
})

test('metadata merged at the same time all arrives', async () => {
  const t = await testInstance()
  const { organization, bob } = await frontiers(t)
  const input = { organizationId: organization.id, userId: bob.id }
  const keys = Array.from({ length: 20 }, (_, i) => `k${i}`)
  await Promise.all(keys.map((key) => mergeMembershipMetadata(t.ctx(), { ...input, publicMetadata: { [key]: 1 } })))
  const found = await findMembership(t.ctx(), input)
  expect(Object.keys(found?.publicMetadata ?? {}).sort()).toEqual(keys.sort())
})
