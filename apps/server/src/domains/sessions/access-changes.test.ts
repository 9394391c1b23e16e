import { expect, spyOn, test } from 'bun:test'
import { claimsOf, TestBrowser } from '../../faces/frontend/testing.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { createPermission, createRole, standingOfClaims, updateRole } from '../access/index.ts'
import { createFeature, deleteFeature, grantFeature, updateFeature, withdrawFeature } from '../features/index.ts'
import {
  addGroupMember,
  addGroupRole,
  addMember,
  addMemberPermission,
  addMemberRole,
  createGroup,
  createOrganization,
  deleteGroup,
  removeGroupMember,
  removeGroupRole,
  removeMember,
  removeMemberPermission,
  removeMemberRole,
} from '../organizations/index.ts'

/** A member in a browser, and what the next token says. */
async function member(t: TestInstance) {
  const browser = new TestBrowser(t)
  const { userId, sessionId } = await browser.signUp('ada@example.com')
  const { id: organizationId } = await createOrganization(t.ctx(), { name: 'Frontiers' })
  await addMember(t.ctx(), { organizationId, userId, role: 'org:member' })
  await browser.post(`/client/sessions/${sessionId}/touch`, { active_organization_id: organizationId })
  const mint = async () => (await browser.post(`/client/sessions/${sessionId}/tokens`)).body.jwt as string
  return {
    browser,
    sessionId,
    userId,
    organizationId,
    mint,
    standing: async () => standingOfClaims(claimsOf(await mint())),
  }
}

test('every change of roles, groups, permissions and features is in the next token', async () => {
  const t = await testInstance()
  const ctx = t.ctx()
  const { userId, organizationId, standing } = await member(t)
  const me = { organizationId, userId }
  const { id } = await createPermission(ctx, { key: 'org:tasks:read', name: 'Read' })
  const role = await createRole(ctx, { key: 'org:reader', name: 'Reader', permissionIds: [id] })
  const { id: groupId } = await createGroup(ctx, { organizationId, name: 'Readers' })
  const group = { organizationId, groupId }
  const feature = { holder: { organizationId }, feature: 'tasks' }
  const mine = { holder: { userId }, feature: 'extra' }
  const holds = async () => {
    const { permissions, features } = await standing()
    return [permissions.includes('org:tasks:read'), features.user.includes('extra')]
  }
  const steps: [string, () => Promise<unknown>, [boolean, boolean]][] = [
    ['nothing', async () => {}, [false, false]],
    ['a further role', () => addMemberRole(ctx, { ...me, role: 'org:reader' }), [true, false]],
    ['the role loses it', () => updateRole(ctx, { id: role.id, permissionIds: [] }), [false, false]],
    ['the role gets it', () => updateRole(ctx, { id: role.id, permissionIds: [id] }), [true, false]],
    ['the role is taken', () => removeMemberRole(ctx, { ...me, role: 'org:reader' }), [false, false]],
    ['a permission', () => addMemberPermission(ctx, { ...me, permission: id }), [true, false]],
    ['a feature is defined', () => createFeature(ctx, { slug: 'tasks', name: 'Tasks' }), [false, false]],
    ['it is granted', () => grantFeature(ctx, { ...feature, enabled: true }), [true, false]],
    ['it is refused', () => grantFeature(ctx, { ...feature, enabled: false }), [false, false]],
    ['the grant is withdrawn', () => withdrawFeature(ctx, feature), [false, false]],
    ['it is everybody’s', () => updateFeature(ctx, { id: 'tasks', defaultFor: 'everyone' }), [true, false]],
    ['it is switched off', () => updateFeature(ctx, { id: 'tasks', enabled: false }), [false, false]],
    ['it is deleted', () => deleteFeature(ctx, 'tasks'), [true, false]],
    ['the permission is taken', () => removeMemberPermission(ctx, { ...me, permission: id }), [false, false]],
    ['into a group', () => addGroupMember(ctx, { ...group, userId }), [false, false]],
    ['the group gets a role', () => addGroupRole(ctx, { ...group, role: 'org:reader' }), [true, false]],
    ['the group loses it', () => removeGroupRole(ctx, { ...group, role: 'org:reader' }), [false, false]],
    ['again', () => addGroupRole(ctx, { ...group, role: 'org:reader' }), [true, false]],
    ['out of the group', () => removeGroupMember(ctx, { ...group, userId }), [false, false]],
    ['again in', () => addGroupMember(ctx, { ...group, userId }), [true, false]],
    ['the group is deleted', () => deleteGroup(ctx, group), [false, false]],
    ['a feature of theirs', () => createFeature(ctx, { slug: 'extra', name: 'Extra' }), [false, false]],
    ['is granted', () => grantFeature(ctx, { ...mine, enabled: true }), [false, true]],
    ['is withdrawn', () => withdrawFeature(ctx, mine), [false, false]],
  ]
  for (const [name, step, expected] of steps) {
    await step()
    expect([name, ...(await holds())]).toEqual([name, ...expected])
  }
}, 60_000)

test('minting asks the database for nothing, with groups and features too', async () => {
  const t = await testInstance()
  const { organizationId, userId, mint } = await member(t)
  const { id } = await createPermission(t.ctx(), { key: 'org:tasks:read', name: 'Read' })
  await createRole(t.ctx(), { key: 'org:reader', name: 'Reader', permissionIds: [id] })
  const { id: groupId } = await createGroup(t.ctx(), { organizationId, name: 'Readers' })
  await addGroupRole(t.ctx(), { organizationId, groupId, role: 'org:reader' })
  await addGroupMember(t.ctx(), { organizationId, groupId, userId })
  await createFeature(t.ctx(), { slug: 'extra', name: 'Extra', defaultFor: 'everyone' })
  await mint()
  const queries = spyOn(t.server.runtime.database.tenant, 'begin')
  try {
    for (let i = 0; i < 5; i++)
      expect(claimsOf(await mint())).toMatchObject({ fea: 'uo:extra,o:tasks', o: { per: 'read', fpm: '0,1' } })
    expect(queries).not.toHaveBeenCalled()
  } finally {
    queries.mockRestore()
  }
})

test('a token takes 2,500 characters at most, says that it is partial, and never names what is not held', async () => {
  const t = await testInstance()
  const { organizationId, userId, mint } = await member(t)
  const slugs = Array.from({ length: 150 }, (_, i) => `feature_number_${String(i).padStart(3, '0')}`)
  const ids: string[] = []
  for (const slug of slugs) {
    ids.push((await createPermission(t.ctx(), { key: `org:${slug}:read`, name: slug })).id)
    await createFeature(t.ctx(), { slug: `own_${slug}`, name: slug, defaultFor: 'users' })
  }
  await createRole(t.ctx(), { key: 'org:everything', name: 'Everything', permissionIds: ids })
  await addMemberRole(t.ctx(), { organizationId, userId, role: 'org:everything' })
  const token = await mint()
  expect(token.length).toBeLessThanOrEqual(2500)
  expect(token.length).toBeGreaterThan(2400)
  const claims = claimsOf(token)
  expect(claims).toMatchObject({ acc: 'partial', o: { id: organizationId, rol: 'member' } })
  const { permissions } = standingOfClaims(claims)
  expect(permissions.length).toBeGreaterThan(30)
  expect(permissions).toEqual(slugs.slice(0, permissions.length).map((slug) => `org:${slug}:read`))

  // What the application adds comes on top, up to what a cookie holds.
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, {
    session: { claims: { note: 'x'.repeat(1500) } },
  })
  const withCustom = await mint()
  expect(withCustom.length).toBeLessThanOrEqual(4000)
  expect(claimsOf(withCustom)).toMatchObject({ acc: 'partial', note: expect.any(String) })
}, 60_000)

test('D8 an application’s own claims do not say what somebody holds', async () => {
  const t = await testInstance()
  for (const name of ['o', 'fea', 'pla', 'acc']) {
    const change = { session: { claims: { [name]: 'o:everything' } } }
    await expect(t.server.runtime.instances.changeSettings(t.ctx().instance.id, change)).rejects.toThrow()
  }
})

test('I8 who was removed from an organization has no claims of it in the next token', async () => {
  const t = await testInstance()
  const { organizationId, userId, mint, browser, sessionId } = await member(t)
  expect(claimsOf(await mint()).o).toMatchObject({ id: organizationId })
  await removeMember(t.ctx(), { organizationId, userId })
  const claims = claimsOf(await mint())
  expect([claims.o, claims.fea]).toEqual([undefined, undefined])
  const asked = await browser.post(`/client/sessions/${sessionId}/tokens`, { organization_id: organizationId })
  expect([asked.status, asked.body.errors?.[0]?.code]).toEqual([404, 'organization_not_found_or_unauthorized'])
})
