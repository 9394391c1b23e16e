import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { createPermission, createRole, getRoleByKey } from '../access/index.ts'
import {
  addGroupMember,
  addGroupRole,
  addMember,
  addMemberPermission,
  addMemberRole,
  changeMemberRole,
  createGroup,
  createOrganization,
  createOrganizationRole,
  deleteGroup,
  deleteOrganization,
  deleteOrganizationRole,
  getGroup,
  getMembership,
  listGroupMembers,
  listGroups,
  listOrganizationRoles,
  removeGroupMember,
  removeGroupRole,
  removeMember,
  removeMemberPermission,
  removeMemberRole,
  updateGroup,
  updateOrganizationRole,
} from './index.ts'
import { insertMembership } from './manage-memberships.ts'
import { announced, createManagerRole, frontiers, outcome, outcomes, person } from './testing.ts'

const page = { limit: 100, offset: 0 }

/** Permissions of the application, and a role for each. */
async function vocabulary(t: TestInstance, ...names: string[]) {
  for (const name of names) {
    const { id } = await createPermission(t.ctx(), { key: `org:tasks:${name}`, name })
    await createRole(t.ctx(), { key: `org:${name}`, name, permissionIds: [id] })
  }
}

async function permissionsOf(ctx: Ctx, input: { organizationId: string; userId: string }) {
  return (await getMembership(ctx, input)).permissions.filter((key) => !key.startsWith('org:sys_'))
}

test('a member holds what every role, group and permission gives, and each says where it comes from', async () => {
  const t = await testInstance()
  await vocabulary(t, 'read', 'write', 'delete', 'share')
  const { organization, bob } = await frontiers(t)
  const member = { organizationId: organization.id, userId: bob.id }
  const group = await createGroup(t.ctx(), { organizationId: organization.id, name: 'Editors' })
  const inGroup = { organizationId: organization.id, groupId: group.id }
  await addGroupRole(t.ctx(), { ...inGroup, role: 'org:write' })
  await addGroupMember(t.ctx(), { ...inGroup, userId: bob.id })
  await addMemberRole(t.ctx(), { ...member, role: 'org:read' })
  await addMemberPermission(t.ctx(), { ...member, permission: 'org:tasks:delete' })
  const found = await getMembership(t.ctx(), member)
  expect(await permissionsOf(t.ctx(), member)).toEqual(['org:tasks:delete', 'org:tasks:read', 'org:tasks:write'])
  expect(found.role.key).toBe('org:member')
  const grant = (source: string, key: string | undefined, permissions: string[], group: object | null = null) =>
    expect.objectContaining({ source, role: key ? expect.objectContaining({ key }) : null, permissions, group })
  expect(found.grants).toEqual([
    grant('direct', 'org:member', ['org:sys_billing:read', 'org:sys_memberships:read']),
    grant('direct', 'org:read', ['org:tasks:read']),
    grant('group', 'org:write', ['org:tasks:write'], { id: group.id, name: 'Editors' }),
    grant('direct', undefined, ['org:tasks:delete']),
  ])
  await removeMemberRole(t.ctx(), { ...member, role: 'org:read' })
  await removeMemberPermission(t.ctx(), { ...member, permission: 'org:tasks:delete' })
  expect(await permissionsOf(t.ctx(), member)).toEqual(['org:tasks:write'])
  await deleteGroup(t.ctx(), inGroup)
  expect(await permissionsOf(t.ctx(), member)).toEqual([])
  const told = (await announced(t, /^(organizationMembership|group)\.updated$/)).map(({ data }) => data)
  for (const change of [
    { role_added: 'org:write', name: 'Editors' },
    { role_added: 'org:read', user_id: bob.id },
    { role_removed: 'org:read', user_id: bob.id },
    { permission_added: 'org:tasks:delete', user_id: bob.id },
    { permission_removed: 'org:tasks:delete', user_id: bob.id },
  ])
    expect(told).toContainEqual(expect.objectContaining({ organization_id: organization.id, ...change }))
})

test('the primary role changes places with a further one, and is never taken away', async () => {
  const t = await testInstance()
  await vocabulary(t, 'read', 'write')
  const { organization, bob } = await frontiers(t)
  const member = { organizationId: organization.id, userId: bob.id }
  await addMemberRole(t.ctx(), { ...member, role: 'org:read' })
  await addMemberRole(t.ctx(), { ...member, role: 'org:read', primary: true })
  const { role, grants } = await getMembership(t.ctx(), member)
  expect([role.key, grants.map((g) => g.role?.key)]).toEqual(['org:read', ['org:read', 'org:member']])
  expect(await outcome(removeMemberRole(t.ctx(), { ...member, role: 'org:read' }))).toBe('form_param_value_invalid')
  expect(await outcome(removeMemberRole(t.ctx(), { ...member, role: 'org:write' }))).toBe('resource_not_found')
  expect(await outcomes(10, () => addMemberRole(t.ctx(), { ...member, role: 'org:write' }))).toEqual({ done: 10 })
  expect(await outcomes(10, () => removeMemberRole(t.ctx(), { ...member, role: 'org:write' }))).toEqual({
    done: 1,
    resource_not_found: 9,
  })
})

test('whoever may not manage members changes no group, role or permission; a stranger does not even see them', async () => {
  const t = await testInstance()
  await vocabulary(t, 'read')
  const { organization, ada, bob, eve } = await frontiers(t)
  const organizationId = organization.id
  const { id: groupId } = await createGroup(ada.ctx(), { organizationId, name: 'Editors' })
  await addGroupRole(ada.ctx(), { organizationId, groupId, role: 'org:read' })
  await addGroupMember(ada.ctx(), { organizationId, groupId, userId: bob.id })
  const own = await createOrganizationRole(ada.ctx(), { organizationId, key: 'own', name: 'Own' })
  const changes: ((ctx: Ctx) => Promise<unknown>)[] = [
    (ctx) => createGroup(ctx, { organizationId, name: 'Others' }),
    (ctx) => updateGroup(ctx, { organizationId, groupId, name: 'Others' }),
    (ctx) => deleteGroup(ctx, { organizationId, groupId }),
    (ctx) => addGroupRole(ctx, { organizationId, groupId, role: 'org:member' }),
    (ctx) => removeGroupRole(ctx, { organizationId, groupId, role: 'org:read' }),
    (ctx) => addGroupMember(ctx, { organizationId, groupId, userId: ada.id }),
    (ctx) => removeGroupMember(ctx, { organizationId, groupId, userId: bob.id }),
    (ctx) => addMemberRole(ctx, { organizationId, userId: bob.id, role: 'org:read' }),
    (ctx) => removeMemberRole(ctx, { organizationId, userId: bob.id, role: 'org:read' }),
    (ctx) => addMemberPermission(ctx, { organizationId, userId: bob.id, permission: 'org:tasks:read' }),
    (ctx) => removeMemberPermission(ctx, { organizationId, userId: bob.id, permission: 'org:tasks:read' }),
    (ctx) => createOrganizationRole(ctx, { organizationId, key: 'other', name: 'Other' }),
    (ctx) => updateOrganizationRole(ctx, { organizationId, roleId: own.id, name: 'Other' }),
    (ctx) => deleteOrganizationRole(ctx, { organizationId, roleId: own.id }),
  ]
  for (const change of changes) {
    expect(await outcome(change(bob.ctx()))).toBe('forbidden')
    expect(await outcome(change(eve.ctx()))).toBe('organization_not_found_or_unauthorized')
  }
  const reads: ((ctx: Ctx) => Promise<unknown>)[] = [
    (ctx) => listGroups(ctx, { ...page, organizationId }),
    (ctx) => getGroup(ctx, { organizationId, groupId }),
    (ctx) => listGroupMembers(ctx, { ...page, organizationId, groupId }),
    (ctx) => listOrganizationRoles(ctx, { ...page, organizationId }),
  ]
  for (const read of reads) {
    expect(await outcome(read(bob.ctx()))).toBe('done')
    expect(await outcome(read(eve.ctx()))).toBe('organization_not_found_or_unauthorized')
  }
})

test('I4 groups and roles of another organization or instance are given to nobody', async () => {
  const [t, other] = [await testInstance(), await testInstance()]
  const { organization, ada, bob } = await frontiers(t)
  const second = await createOrganization(ada.ctx(), { name: 'Second' })
  const here = { organizationId: organization.id }
  const { id: theirs } = await createGroup(ada.ctx(), { organizationId: second.id, name: 'Theirs' })
  const role = await createOrganizationRole(ada.ctx(), { organizationId: second.id, key: 'own', name: 'Own' })
  expect(role.key).toBe('org:org_own')
  const notFound: [string, () => Promise<unknown>][] = [
    ['group', () => getGroup(ada.ctx(), { ...here, groupId: theirs })],
    ['add', () => addGroupMember(ada.ctx(), { ...here, groupId: theirs, userId: bob.id })],
    ['add there', () => addGroupMember(ada.ctx(), { organizationId: second.id, groupId: theirs, userId: bob.id })],
    ['delete', () => deleteGroup(ada.ctx(), { ...here, groupId: theirs })],
    ['change role', () => updateOrganizationRole(ada.ctx(), { ...here, roleId: role.id, name: 'Mine' })],
    ['delete role', () => deleteOrganizationRole(ada.ctx(), { ...here, roleId: role.id })],
    ['other instance’s list', () => listGroups(other.ctx(), { ...page, ...here })],
    ['other instance', () => getGroup(other.ctx(), { organizationId: second.id, groupId: theirs })],
  ]
  for (const [name, call] of notFound) expect([name, await outcome(call())]).toEqual([name, 'resource_not_found'])
  const invalid: [string, () => Promise<unknown>][] = [
    ['change', () => changeMemberRole(ada.ctx(), { ...here, userId: bob.id, role: 'org:org_own' })],
    ['further', () => addMemberRole(ada.ctx(), { ...here, userId: bob.id, role: 'org:org_own' })],
    ['several', () => addMemberRole(ada.ctx(), { ...here, userId: bob.id, role: 'org:member,org:admin' })],
    ['array', () => addMemberRole(ada.ctx(), { ...here, userId: bob.id, role: ['org:admin'] })],
    ['by the application', () => addMemberRole(t.ctx(), { ...here, userId: bob.id, role: 'org:org_own' })],
  ]
  for (const [name, call] of invalid) expect([name, await outcome(call())]).toEqual([name, 'form_param_value_invalid'])
})

test('I13 nobody gives rights that they lack, by a role, a group, a permission or a role of their making', async () => {
  const t = await testInstance()
  await createManagerRole(t)
  await vocabulary(t, 'read')
  const { organization, ada, bob } = await frontiers(t)
  const organizationId = organization.id
  await changeMemberRole(t.ctx(), { organizationId, userId: bob.id, role: 'org:manager' })
  const { id: admins } = await createGroup(ada.ctx(), { organizationId, name: 'Admins' })
  await addGroupRole(ada.ctx(), { organizationId, groupId: admins, role: 'org:admin' })
  const { id: groupId } = await createGroup(bob.ctx(), { organizationId, name: 'Mine' })
  const above = await createOrganizationRole(ada.ctx(), {
    organizationId,
    key: 'above',
    name: 'Above',
    permissions: ['org:sys_profile:delete'],
  })
  const me = { organizationId, userId: bob.id }
  const attempts: [string, () => Promise<unknown>][] = [
    ['role', () => changeMemberRole(bob.ctx(), { ...me, role: 'org:admin' })],
    ['further role', () => addMemberRole(bob.ctx(), { ...me, role: 'org:admin' })],
    ['own role of others', () => addMemberRole(bob.ctx(), { ...me, role: above.key })],
    ['group', () => addGroupMember(bob.ctx(), { ...me, groupId: admins })],
    ['role of a group', () => addGroupRole(bob.ctx(), { organizationId, groupId, role: 'org:admin' })],
    ['system permission', () => addMemberPermission(bob.ctx(), { ...me, permission: 'org:sys_profile:delete' })],
    ['permission', () => addMemberPermission(bob.ctx(), { ...me, permission: 'org:tasks:read' })],
    [
      'new role',
      () => createOrganizationRole(bob.ctx(), { organizationId, key: 'x', name: 'X', permissions: ['org:tasks:read'] }),
    ],
    ['take', () => updateOrganizationRole(bob.ctx(), { organizationId, roleId: above.id, permissions: [] })],
    ['delete', () => deleteOrganizationRole(bob.ctx(), { organizationId, roleId: above.id })],
  ]
  for (const [name, attempt] of attempts) expect([name, await outcome(attempt())]).toEqual([name, 'forbidden'])
  expect((await getMembership(t.ctx(), me)).permissions).toEqual([
    'org:sys_memberships:manage',
    'org:sys_memberships:read',
  ])
  // What they have they may give.
  const permissions = ['org:sys_memberships:read']
  expect(
    await outcome(createOrganizationRole(bob.ctx(), { organizationId, key: 'less', name: 'Less', permissions })),
  ).toBe('done')
})

test('I14 the last who can manage members keeps it, whichever way it would be lost', async () => {
  const t = await testInstance()
  const { organization, ada, bob } = await frontiers(t)
  const organizationId = organization.id
  const { id: groupId } = await createGroup(ada.ctx(), { organizationId, name: 'Guardians' })
  const role = await createOrganizationRole(ada.ctx(), {
    organizationId,
    key: 'guardian',
    name: 'Guardian',
    permissions: ['org:sys_memberships:manage', 'org:sys_memberships:read'],
  })
  await addGroupRole(ada.ctx(), { organizationId, groupId, role: role.key })
  await addGroupMember(ada.ctx(), { organizationId, groupId, userId: bob.id })
  // Bob is a guardian by the group alone: that is enough for Ada to go.
  expect(await outcome(removeMember(ada.ctx(), { organizationId, userId: ada.id }))).toBe('done')
  const last = 'organization_minimum_permissions_needed'
  expect(await outcome(removeGroupMember(bob.ctx(), { organizationId, groupId, userId: bob.id }))).toBe(last)
  expect(await outcome(removeGroupRole(bob.ctx(), { organizationId, groupId, role: role.key }))).toBe(last)
  expect(await outcome(deleteGroup(bob.ctx(), { organizationId, groupId }))).toBe(last)
  expect(await outcome(updateOrganizationRole(bob.ctx(), { organizationId, roleId: role.id, permissions: [] }))).toBe(
    last,
  )
  expect(await outcome(removeMember(bob.ctx(), { organizationId, userId: bob.id }))).toBe(last)
  await addMemberPermission(bob.ctx(), { organizationId, userId: bob.id, permission: 'org:sys_memberships:manage' })
  expect(await outcome(deleteGroup(bob.ctx(), { organizationId, groupId }))).toBe('done')
  const permission = 'org:sys_memberships:manage'
  expect(await outcome(removeMemberPermission(bob.ctx(), { organizationId, userId: bob.id, permission }))).toBe(last)
})

test('I14 two who hold it by different ways cannot both lose it at once', async () => {
  const t = await testInstance()
  const { organization, ada, bob } = await frontiers(t)
  const organizationId = organization.id
  const { id: groupId } = await createGroup(ada.ctx(), { organizationId, name: 'Admins' })
  await addGroupRole(ada.ctx(), { organizationId, groupId, role: 'org:admin' })
  await addGroupMember(ada.ctx(), { organizationId, groupId, userId: bob.id })
  const done = await Promise.all([
    outcome(changeMemberRole(bob.ctx(), { organizationId, userId: ada.id, role: 'org:member' })),
    outcome(removeGroupMember(ada.ctx(), { organizationId, groupId, userId: bob.id })),
  ])
  expect(done.filter((o) => o === 'done')).toHaveLength(1)
})

test('a group has one name once, its members each once, and goes once', async () => {
  const t = await testInstance()
  const { organization, ada, bob } = await frontiers(t)
  const organizationId = organization.id
  const create = () => createGroup(ada.ctx(), { organizationId, name: 'Editors' })
  expect(await outcomes(10, create)).toEqual({ done: 1, duplicate_record: 9 })
  expect(await outcome(createGroup(ada.ctx(), { organizationId, name: ' EDITORS ' }))).toBe('duplicate_record')
  expect(await outcome(createGroup(ada.ctx(), { organizationId, name: ' ' }))).toBe('form_param_nil')
  const [group] = (await listGroups(ada.ctx(), { ...page, organizationId })).data
  const groupId = group?.id ?? ''
  const add = () => addGroupMember(ada.ctx(), { organizationId, groupId, userId: bob.id })
  expect(await outcomes(10, add)).toEqual({ done: 10 })
  expect(await listGroups(ada.ctx(), { ...page, organizationId, userId: bob.id })).toMatchObject({
    totalCount: 1,
    data: [{ name: 'Editors', membersCount: 1 }],
  })
  expect(await listGroups(ada.ctx(), { ...page, organizationId, userId: ada.id })).toMatchObject({ totalCount: 0 })
  const remove = () => removeGroupMember(ada.ctx(), { organizationId, groupId, userId: bob.id })
  expect(await outcomes(10, remove)).toEqual({ done: 1, resource_not_found: 9 })
  expect(await outcomes(10, () => deleteGroup(ada.ctx(), { organizationId, groupId }))).toEqual({
    done: 1,
    resource_not_found: 9,
  })
})

test('who leaves an organization leaves its groups, and an organization goes with its groups and roles', async () => {
  const t = await testInstance()
  const { organization, ada, bob } = await frontiers(t)
  const organizationId = organization.id
  const { id: groupId } = await createGroup(ada.ctx(), { organizationId, name: 'Editors' })
  const own = await createOrganizationRole(ada.ctx(), { organizationId, key: 'own', name: 'Own' })
  await addGroupRole(ada.ctx(), { organizationId, groupId, role: own.key })
  await addGroupMember(ada.ctx(), { organizationId, groupId, userId: bob.id })
  await addMemberRole(ada.ctx(), { organizationId, userId: bob.id, role: own.key, primary: true })
  await removeMember(ada.ctx(), { organizationId, userId: bob.id })
  expect((await getGroup(ada.ctx(), { organizationId, groupId })).membersCount).toBe(0)
  await addMember(ada.ctx(), { organizationId, userId: bob.id, role: own.key })
  await addGroupMember(ada.ctx(), { organizationId, groupId, userId: bob.id })
  expect(await outcome(deleteOrganizationRole(ada.ctx(), { organizationId, roleId: own.id }))).toBe('role_in_use')
  expect(await outcome(deleteOrganization(ada.ctx(), organizationId))).toBe('done')
  const kim = await person(t, 'kim')
  expect(await outcome(createOrganization(kim.ctx(), { name: 'Again' }))).toBe('done')
})

test('who came by a verified domain has a role of that source, until somebody gives them another', async () => {
  const t = await testInstance()
  const { organization, ada, eve } = await frontiers(t)
  const member = { organizationId: organization.id, userId: eve.id }
  await transaction(t.ctx(), async (tx) => {
    const { id, key } = await getRoleByKey(tx, 'org:member')
    await insertMembership(tx, { ...member, roleId: id, roleKey: key, roleSource: 'domain' })
  })
  const sourceOf = async () => (await getMembership(t.ctx(), member)).grants.map((g) => [g.role?.key, g.source])
  expect(await sourceOf()).toEqual([['org:member', 'domain']])
  await addMemberRole(ada.ctx(), { ...member, role: 'org:admin', primary: true })
  expect(await sourceOf()).toEqual([
    ['org:admin', 'direct'],
    ['org:member', 'domain'],
  ])
  await changeMemberRole(ada.ctx(), { ...member, role: 'org:member' })
  expect(await sourceOf()).toEqual([['org:member', 'direct']])
})
