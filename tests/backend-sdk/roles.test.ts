import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { ClerkClient } from '@clerk/backend'
import { serverSdk } from '../support/clerk.ts'
import { startUsher, type UsherProcess } from '../support/usher.ts'

/** Roles, permissions and role sets: every method that the server SDK has for them, and what it makes of the answers. */
let usher: UsherProcess
let clerk: ClerkClient

beforeAll(async () => {
  usher = await startUsher()
  clerk = serverSdk(usher.ready)
}, 60_000)
afterAll(() => usher.stop())

let n = 0
const unique = () => `x${++n}`
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (error) => error.errors?.[0]?.code ?? String(error),
  )
/** What the SDK made of an answer: an instance of one of its classes, and not the bare JSON that it could not read. */
const isRead = (value: unknown) => {
  expect(value).toBeObject()
  expect((value as object).constructor.name).not.toBe('Object')
}

type Calls = Record<string, () => Promise<void>>

function everyMethodOf(name: string, resource: () => object, calls: Calls) {
  describe(name, () => {
    test('every method of the package is called below', () => {
      const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(resource())).filter((m) => m !== 'constructor')
      expect(Object.keys(calls).sort()).toEqual(methods.sort())
    })
    for (const [method, call] of Object.entries(calls)) test(method, call, 20_000)
  })
}

const newPermission = () => {
  const name = unique()
  return clerk.organizationPermissions.createOrganizationPermission({ key: `org:${name}:read`, name })
}
const newRole = async (input: { includeInInitialRoleSet?: boolean; manages?: boolean } = {}) => {
  const name = unique()
  const { data } = await clerk.organizationPermissions.getOrganizationPermissionList({ query: 'sys_memberships' })
  const permissions = input.manages ? data.map((p) => p.id) : []
  const { includeInInitialRoleSet } = input
  return clerk.organizationRoles.createOrganizationRole({
    key: `org:${name}`,
    name,
    permissions,
    ...(includeInInitialRoleSet !== undefined && { includeInInitialRoleSet }),
  })
}
const newOrganization = async (more: object = {}) => {
  const name = unique()
  const { id: userId } = await clerk.users.createUser({
    emailAddress: [`${name}@example.com`],
    skipPasswordRequirement: true,
  })
  const { id } = await clerk.organizations.createOrganization({ name, createdBy: userId, ...more })
  return { id, userId }
}
const roleOf = async ({ id, userId }: { id: string; userId: string }) =>
  (await clerk.organizations.getOrganizationMembershipList({ organizationId: id, userId: [userId] })).data[0]?.role
/** A set of two roles of its own: one for members, one for creators. */
const newSet = async () => {
  const [member, creator] = [await newRole(), await newRole({ manages: true })]
  const set = await clerk.roleSets.createRoleSet({
    name: `Agencies ${unique()}`,
    roles: [member.key, creator.key],
    defaultRoleKey: member.key,
    creatorRoleKey: creator.key,
  })
  return { set, member, creator }
}

everyMethodOf('organizationPermissions', () => clerk.organizationPermissions, {
  getOrganizationPermissionList: async () => {
    const made = await newPermission()
    const page = await clerk.organizationPermissions.getOrganizationPermissionList({ query: made.key })
    expect(page).toMatchObject({ totalCount: 1, data: [{ id: made.id, key: made.key }] })
    isRead(page.data[0])
    const byKey = await clerk.organizationPermissions.getOrganizationPermissionList({ orderBy: '-key', limit: 500 })
    const keys = byKey.data.map((p) => p.key)
    expect(keys).toEqual(keys.toSorted().reverse())
    const byId = await clerk.organizationPermissions.getOrganizationPermissionList({ query: made.id })
    expect(byId.totalCount).toBe(1)
    const wrong = clerk.organizationPermissions.getOrganizationPermissionList({ orderBy: 'secret' as never })
    expect(await codeOf(wrong)).toBe('form_param_value_invalid')
  },
  getOrganizationPermission: async () => {
    const { id, key } = await newPermission()
    const found = await clerk.organizationPermissions.getOrganizationPermission(id)
    isRead(found)
    expect(found.key).toBe(key)
    expect(await codeOf(clerk.organizationPermissions.getOrganizationPermission('perm_x'))).toBe('resource_not_found')
  },
  createOrganizationPermission: async () => {
    const made = await newPermission()
    const again = { key: made.key, name: 'Again' }
    expect(await codeOf(clerk.organizationPermissions.createOrganizationPermission(again))).toBe('duplicate_record')
    const system = { key: 'org:sys_new:read', name: 'System' }
    expect(await codeOf(clerk.organizationPermissions.createOrganizationPermission(system))).toBe(
      'form_param_format_invalid',
    )
  },
  updateOrganizationPermission: async () => {
    const { id: permissionId } = await newPermission()
    const change = { permissionId, name: 'Renamed', description: 'New' }
    const changed = await clerk.organizationPermissions.updateOrganizationPermission(change)
    expect(changed).toMatchObject({ name: 'Renamed', description: 'New' })
  },
  deleteOrganizationPermission: async () => {
    const { id } = await newPermission()
    expect(await clerk.organizationPermissions.deleteOrganizationPermission(id)).toMatchObject({ id, deleted: true })
    expect(await codeOf(clerk.organizationPermissions.deleteOrganizationPermission(id))).toBe('resource_not_found')
  },
})

everyMethodOf('organizationRoles', () => clerk.organizationRoles, {
  getOrganizationRoleList: async () => {
    const made = await newRole()
    const page = await clerk.organizationRoles.getOrganizationRoleList({ query: made.name, orderBy: '-created_at' })
    expect(page.data[0]).toMatchObject({ id: made.id, key: made.key })
    isRead(page.data[0])
  },
  getOrganizationRole: async () => {
    const { id, key } = await newRole({ manages: true })
    const found = await clerk.organizationRoles.getOrganizationRole(id)
    isRead(found)
    expect(found.key).toBe(key)
    expect(found.permissions.map((p) => p.key)).toEqual(['org:sys_memberships:manage', 'org:sys_memberships:read'])
    isRead(found.permissions[0])
  },
  createOrganizationRole: async () => {
    const [inside, outside] = [await newRole(), await newRole({ includeInInitialRoleSet: false })]
    const keys = (await clerk.roleSets.getRoleSet('role_set:default')).roles.map((r) => r.key)
    expect([keys.includes(inside.key), keys.includes(outside.key)]).toEqual([true, false])
    // What is in no set of an organization is given to nobody there.
    const { id: organizationId, userId } = await newOrganization()
    const give = (role: string) =>
      codeOf(clerk.organizations.updateOrganizationMembership({ organizationId, userId, role }))
    expect(await give(outside.key)).toBe('form_param_value_invalid')
    expect(await codeOf(clerk.organizationRoles.createOrganizationRole({ key: 'org:org_x', name: 'X' }))).toBe(
      'form_param_format_invalid',
    )
  },
  updateOrganizationRole: async () => {
    const { id: organizationRoleId } = await newRole({ manages: true })
    const { id } = await newPermission()
    const change = { organizationRoleId, name: 'Renamed', key: null, permissions: [id] }
    const changed = await clerk.organizationRoles.updateOrganizationRole(change)
    expect(changed).toMatchObject({ name: 'Renamed', permissions: [{ id }] })
    expect(changed.permissions).toHaveLength(1)
  },
  deleteOrganizationRole: async () => {
    const { id } = await newRole()
    expect(await clerk.organizationRoles.deleteOrganizationRole(id)).toMatchObject({ id, deleted: true })
    const { creator } = await newSet()
    expect(await codeOf(clerk.organizationRoles.deleteOrganizationRole(creator.id))).toBe('role_in_use')
  },
  assignPermissionToOrganizationRole: async () => {
    const [{ id: organizationRoleId }, { id: permissionId }] = [await newRole(), await newPermission()]
    const input = { organizationRoleId, permissionId }
    for (let i = 0; i < 2; i++) {
      const role = await clerk.organizationRoles.assignPermissionToOrganizationRole(input)
      expect(role.permissions.map((p) => p.id)).toEqual([permissionId])
    }
  },
  removePermissionFromOrganizationRole: async () => {
    const [{ id: organizationRoleId }, { id: permissionId }] = [await newRole(), await newPermission()]
    const input = { organizationRoleId, permissionId }
    await clerk.organizationRoles.assignPermissionToOrganizationRole(input)
    const role = await clerk.organizationRoles.removePermissionFromOrganizationRole(input)
    expect(role.permissions).toEqual([])
  },
})

everyMethodOf('roleSets', () => clerk.roleSets, {
  getRoleSetList: async () => {
    const { set } = await newSet()
    const page = await clerk.roleSets.getRoleSetList({ query: set.name, orderBy: 'name' })
    expect(page).toMatchObject({ totalCount: 1, data: [{ id: set.id }] })
    isRead(page.data[0])
  },
  getRoleSet: async () => {
    const initial = await clerk.roleSets.getRoleSet('role_set:default')
    isRead(initial)
    isRead(initial.roles[0])
    expect(initial).toMatchObject({
      type: 'initial',
      defaultRole: { key: 'org:member' },
      creatorRole: { key: 'org:admin' },
      roleSetMigration: null,
    })
    const before = initial.creatorRole?.membersCount ?? 0
    await newOrganization()
    expect((await clerk.roleSets.getRoleSet(initial.id)).creatorRole).toMatchObject({
      membersCount: before + 1,
      hasMembers: true,
    })
    expect(await codeOf(clerk.roleSets.getRoleSet('role_set:none'))).toBe('resource_not_found')
  },
  createRoleSet: async () => {
    const { set, member, creator } = await newSet()
    isRead(set)
    expect(set.key).toBe(`role_set:${set.name.toLowerCase().replace(' ', '_')}`)
    const organization = await newOrganization({ roleSetKey: set.key })
    expect(await roleOf(organization)).toBe(creator.key)
    const { id: organizationId } = organization
    const invite = (role: string) =>
      codeOf(
        clerk.organizations.createOrganizationInvitation({ organizationId, role, emailAddress: `${unique()}@e.com` }),
      )
    expect(await invite(member.key)).toBe('no error')
    expect(await invite('org:member')).toBe('form_param_value_invalid')
    const input = { name: 'X', roles: [member.key], defaultRoleKey: member.key, creatorRoleKey: member.key }
    // A creator who cannot manage members would leave nobody who can.
    expect(await codeOf(clerk.roleSets.createRoleSet(input))).toBe('form_param_value_invalid')
    expect(await codeOf(clerk.roleSets.createRoleSet({ ...input, roles: ['org:none'] }))).toBe(
      'form_param_value_invalid',
    )
    const same = { ...input, roles: [creator.key], defaultRoleKey: creator.key, creatorRoleKey: creator.key }
    expect(await codeOf(clerk.roleSets.createRoleSet({ ...same, key: set.key }))).toBe('duplicate_record')
  },
  updateRoleSet: async () => {
    const { set, creator } = await newSet()
    const changed = await clerk.roleSets.updateRoleSet({
      roleSetKeyOrId: set.id,
      name: 'Renamed',
      description: 'New',
      defaultRoleKey: creator.key,
    })
    expect(changed).toMatchObject({ name: 'Renamed', description: 'New', defaultRole: { key: creator.key } })
    // The initial one is the one that new organizations get; others keep theirs.
    const before = await newOrganization()
    const initial = await clerk.roleSets.updateRoleSet({ roleSetKeyOrId: set.key, type: 'initial' })
    expect(initial.type).toBe('initial')
    expect((await clerk.roleSets.getRoleSet('role_set:default')).type).toBe('custom')
    expect(await roleOf(await newOrganization())).toBe(creator.key)
    expect(await roleOf(before)).toBe('org:admin')
    const back = await clerk.roleSets.updateRoleSet({ roleSetKeyOrId: 'role_set:default', type: 'initial' })
    expect(back).toMatchObject({ type: 'initial', creatorRole: { key: 'org:admin' } })
    expect(await roleOf(await newOrganization())).toBe('org:admin')
  },
  addRolesToRoleSet: async () => {
    const [{ set }, role] = [await newSet(), await newRole()]
    const input = { roleSetKeyOrId: set.key, roleKeys: [role.key], defaultRoleKey: role.key }
    const changed = await clerk.roleSets.addRolesToRoleSet(input)
    expect(changed).toMatchObject({ defaultRole: { key: role.key } })
    expect(changed.roles).toHaveLength(3)
  },
  replaceRoleInRoleSet: async () => {
    const { set, member, creator } = await newSet()
    const organization = await newOrganization({ roleSetKey: set.key })
    const user = await clerk.users.createUser({ emailAddress: [`${unique()}@e.com`], skipPasswordRequirement: true })
    const membership = { organizationId: organization.id, userId: user.id }
    await clerk.organizations.createOrganizationMembership({ ...membership, role: member.key })
    const input = { roleSetKeyOrId: set.key, roleKey: member.key, toRoleKey: creator.key }
    const changed = await clerk.roleSets.replaceRoleInRoleSet(input)
    expect(changed).toMatchObject({ defaultRole: { key: creator.key }, creatorRole: { key: creator.key } })
    expect(changed.roles).toHaveLength(1)
    expect(await roleOf({ id: organization.id, userId: user.id })).toBe(creator.key)
    expect(await codeOf(clerk.roleSets.replaceRoleInRoleSet(input))).toBe('form_param_value_invalid')
  },
  replaceRoleSet: async () => {
    const [from, to] = [await newSet(), await newSet()]
    const organization = await newOrganization({ roleSetKey: from.set.key })
    const input = { roleSetKeyOrId: from.set.key, destRoleSetKey: to.set.key }
    expect(await codeOf(clerk.roleSets.replaceRoleSet(input))).toBe('role_in_use')
    const reassignmentMappings = { [from.creator.key]: to.creator.key }
    const gone = await clerk.roleSets.replaceRoleSet({ ...input, reassignmentMappings })
    expect(gone).toMatchObject({ id: from.set.id, deleted: true })
    expect(await roleOf(organization)).toBe(to.creator.key)
    expect(await codeOf(clerk.roleSets.getRoleSet(from.set.id))).toBe('resource_not_found')
    const initial = { roleSetKeyOrId: 'role_set:default', destRoleSetKey: to.set.key }
    expect(await codeOf(clerk.roleSets.replaceRoleSet(initial))).toMatch(/system_record_immutable|role_in_use/)
  },
})

test('an organization changes its role set while everybody’s role is in the new one', async () => {
  const { set, creator } = await newSet()
  const organization = await newOrganization()
  const update = () => clerk.organizations.updateOrganization(organization.id, { roleSetKey: set.key } as never)
  expect(await codeOf(update())).toBe('role_in_use')
  await clerk.roleSets.addRolesToRoleSet({ roleSetKeyOrId: set.key, roleKeys: ['org:admin'] })
  expect(await codeOf(update())).toBe('no error')
  const { id: organizationId, userId } = organization
  await clerk.organizations.updateOrganizationMembership({ organizationId, userId, role: creator.key })
  expect(await roleOf(organization)).toBe(creator.key)
})
