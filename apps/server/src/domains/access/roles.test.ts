import { expect, test } from 'bun:test'
import { testInstance } from '../../testing/server.ts'
import { changeMemberRole } from '../organizations/index.ts'
import { createManagerRole, frontiers, outcome, outcomes } from '../organizations/testing.ts'
import {
  createPermission,
  createRole,
  deletePermission,
  deleteRole,
  getRole,
  grantPermission,
  listPermissions,
  listRoles,
  updatePermission,
  updateRole,
  withdrawPermission,
} from './index.ts'

const page = { limit: 100, offset: 0 }

test('I22 a key that would be read as several is refused, for roles and permissions', async () => {
  const ctx = (await testInstance()).ctx()
  const parts = ['member,admin', 'a b', 'a:b', 'Admin', '', 'é', 'a\n', 'x'.repeat(51)]
  for (const part of parts) {
    expect([part, await outcome(createRole(ctx, { key: `org:${part}`, name: 'X' }))]).toEqual([
      part,
      'form_param_format_invalid',
    ])
    expect([part, await outcome(createPermission(ctx, { key: `org:x:${part}`, name: 'X' }))]).toEqual([
      part,
      'form_param_format_invalid',
    ])
  }
  expect(await outcome(createPermission(ctx, { key: 'org:sys_profile:own', name: 'X' }))).toBe(
    'form_param_format_invalid',
  )
})

test('a key is given once, however many ask at once; every instance has its own', async () => {
  const [t, other] = [await testInstance(), await testInstance()]
  const role = () => createRole(t.ctx(), { key: 'org:reader', name: 'Reader' })
  const permission = () => createPermission(t.ctx(), { key: 'org:tasks:read', name: 'Read' })
  expect(await outcomes(20, role)).toEqual({ done: 1, duplicate_record: 19 })
  expect(await outcomes(20, permission)).toEqual({ done: 1, duplicate_record: 19 })
  expect(await outcome(createRole(other.ctx(), { key: 'org:reader', name: 'Reader' }))).toBe('done')
})

test('what the system made stays as it is', async () => {
  const ctx = (await testInstance()).ctx()
  const refused = 'system_record_immutable'
  for (const role of (await listRoles(ctx, page)).data) {
    expect(await outcome(deleteRole(ctx, role.id))).toBe(refused)
    expect(await outcome(updateRole(ctx, { id: role.id, key: 'org:other' }))).toBe(refused)
  }
  for (const permission of (await listPermissions(ctx, page)).data) {
    expect(await outcome(deletePermission(ctx, permission.id))).toBe(refused)
    expect(await outcome(updatePermission(ctx, { id: permission.id, name: 'Other' }))).toBe(refused)
  }
})

test('I4 roles and permissions of another instance are not there', async () => {
  const [t, other] = [await testInstance(), await testInstance()]
  const role = await createRole(other.ctx(), { key: 'org:theirs', name: 'Theirs' })
  const permission = await createPermission(other.ctx(), { key: 'org:theirs:read', name: 'Theirs' })
  const own = await createRole(t.ctx(), { key: 'org:own', name: 'Own' })
  const calls = [
    () => getRole(t.ctx(), role.id),
    () => updateRole(t.ctx(), { id: role.id, name: 'Mine' }),
    () => deleteRole(t.ctx(), role.id),
    () => grantPermission(t.ctx(), { roleId: own.id, permissionId: permission.id }),
    () => grantPermission(t.ctx(), { roleId: role.id, permissionId: permission.id }),
    () => withdrawPermission(t.ctx(), { roleId: role.id, permissionId: permission.id }),
    () => updatePermission(t.ctx(), { id: permission.id, name: 'Mine' }),
    () => deletePermission(t.ctx(), permission.id),
  ]
  for (const call of calls) expect(await outcome(call())).toBe('resource_not_found')
  for (const change of [
    () => createRole(t.ctx(), { key: 'org:x', name: 'X', permissionIds: [permission.id] }),
    () => updateRole(t.ctx(), { id: own.id, permissionIds: [permission.id] }),
  ])
    expect(await outcome(change())).toBe('form_param_value_invalid')
  const { ada, bob, organization } = await frontiers(t)
  const input = { organizationId: organization.id, userId: bob.id, role: 'org:theirs' }
  expect(await outcome(changeMemberRole(ada.ctx(), input))).toBe('form_param_value_invalid')
})

test('a role that somebody has is not deleted; one that nobody has goes once', async () => {
  const t = await testInstance()
  await createManagerRole(t)
  const { bob, organization } = await frontiers(t)
  const id = (await listRoles(t.ctx(), page)).data.find((r) => r.key === 'org:manager')?.id ?? ''
  const give = (role: string) => changeMemberRole(t.ctx(), { organizationId: organization.id, userId: bob.id, role })
  await give('org:manager')
  expect(await outcome(deleteRole(t.ctx(), id))).toBe('role_in_use')
  await give('org:member')
  expect(await outcome(deleteRole(t.ctx(), id))).toBe('done')
  expect(await outcome(deleteRole(t.ctx(), id))).toBe('resource_not_found')
})

test('permissions that are set and granted at once end as one of both, without a failure', async () => {
  const ctx = (await testInstance()).ctx()
  const permissions = await Promise.all(
    ['a', 'b', 'c'].map((k) => createPermission(ctx, { key: `org:x:${k}`, name: k })),
  )
  const ids = permissions.map((p) => p.id)
  const role = await createRole(ctx, { key: 'org:reader', name: 'Reader' })
  const ways = [
    () => updateRole(ctx, { id: role.id, permissionIds: ids }),
    () => grantPermission(ctx, { roleId: role.id, permissionId: ids[0] ?? '' }),
    () => withdrawPermission(ctx, { roleId: role.id, permissionId: ids[0] ?? '' }),
  ]
  expect(await outcomes(60, (i) => (ways[i % 3] as () => Promise<unknown>)())).toEqual({ done: 60 })
  expect((await getRole(ctx, role.id)).permissions.length).toBeGreaterThanOrEqual(2)
})
