import { expect, test } from 'bun:test'
import { createPermission, createRole, listPermissions } from '../../domains/access/index.ts'
import {
  addGroupMember,
  addGroupRole,
  addMember,
  addMemberPermission,
  addMemberRole,
  changeMemberRole,
  checkAccess,
  createGroup,
  createOrganization,
  createOrganizationDomain,
  createOrganizationRole,
  deleteGroup,
  deleteOrganization,
  getGroup,
  inviteMembers,
  listGroups,
  listOrganizationDomains,
  listOrganizationRoles,
  type Organization,
  removeMember,
  updateGroup,
  updateOrganization,
  updateOrganizationRole,
} from '../../domains/organizations/index.ts'
import { outcome, type Person, person } from '../../domains/organizations/testing.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { TestBrowser } from '../frontend/testing.ts'

const page = { limit: 100, offset: 0 }

type Place = { organization: Organization; people: Record<string, Person>; groupId: string; ownRoleId: string }

/** A parent and two children, as far as names, slugs, external ids and metadata can say so, with every kind of member. */
async function family(t: TestInstance): Promise<Record<'parent' | 'child' | 'sibling', Place>> {
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { organizations: { domains: true } })
  await createPermission(t.ctx(), { key: 'org:tasks:write', name: 'Write' })
  const { data: all } = await listPermissions(t.ctx(), page)
  await createRole(t.ctx(), { key: 'org:everything', name: 'Everything', permissionIds: all.map(({ id }) => id) })
  await createRole(t.ctx(), { key: 'org:nothing', name: 'Nothing', permissionIds: [] })

  const found = async (key: string, name: string, parentId?: string): Promise<Place> => {
    const admin = await person(t, `${key}-admin`)
    const link = parentId ? { parent_organization_id: parentId, parent: parentId, inherits: true } : {}
    const organization = await createOrganization(t.ctx(), {
      name,
      slug: name.toLowerCase().replaceAll(' ', '-'),
      externalId: name.toLowerCase().replaceAll(' ', '/'),
      createdBy: admin.id,
      publicMetadata: link,
      privateMetadata: link,
    })
    const organizationId = organization.id
    const { id: groupId } = await createGroup(t.ctx(), { organizationId, name: 'Administrators' })
    await addGroupRole(t.ctx(), { organizationId, groupId, role: 'org:admin' })
    const own = await createOrganizationRole(t.ctx(), { organizationId, key: 'keeper', name: 'Keeper' })
    const people: Record<string, Person> = { admin }
    for (const kind of ['member', 'everything', 'grouped', 'granted'] as const) {
      const each = await person(t, `${key}-${kind}`)
      const role = {
        member: 'org:member',
        everything: 'org:everything',
        grouped: 'org:nothing',
        granted: 'org:nothing',
      }
      await addMember(t.ctx(), { organizationId, userId: each.id, role: role[kind] })
      if (kind === 'grouped') await addGroupMember(t.ctx(), { organizationId, groupId, userId: each.id })
      if (kind === 'granted')
        for (const { key: permission } of all)
          await addMemberPermission(t.ctx(), { organizationId, userId: each.id, permission }).catch(() => {})
      people[kind] = each
    }
    return { organization, people, groupId, ownRoleId: own.id }
  }
  const parent = await found('parent', 'Acme')
  const child = await found('child', 'Acme East', parent.organization.id)
  return { parent, child, sibling: await found('sibling', 'Acme West', parent.organization.id) }
}

/** What can be done to an organization from within. */
function deeds(
  { organization, people, groupId, ownRoleId }: Place,
  self: Person,
): [string, (c: Ctx) => Promise<unknown>][] {
  const organizationId = organization.id
  const userId = people.member?.id as string
  const invite = { organizationId, emailAddress: 'new@example.com', role: 'org:member', publicUrl: 'http://x.test' }
  return [
    ['rename', (c) => updateOrganization(c, { id: organizationId, name: 'Taken over' })],
    ['come in', (c) => addMember(c, { organizationId, userId: self.id, role: 'org:admin' })],
    ['change a role', (c) => changeMemberRole(c, { organizationId, userId, role: 'org:admin' })],
    ['add a role', (c) => addMemberRole(c, { organizationId, userId, role: 'org:admin' })],
    ['grant', (c) => addMemberPermission(c, { organizationId, userId: self.id, permission: 'org:tasks:write' })],
    ['remove', (c) => removeMember(c, { organizationId, userId })],
    ['invite', (c) => inviteMembers(c, [{ ...invite, notify: false }])],
    ['list groups', (c) => listGroups(c, { ...page, organizationId })],
    ['see a group', (c) => getGroup(c, { organizationId, groupId })],
    ['make a group', (c) => createGroup(c, { organizationId, name: 'Ours' })],
    ['change a group', (c) => updateGroup(c, { organizationId, groupId, name: 'Ours' })],
    ['join a group', (c) => addGroupMember(c, { organizationId, groupId, userId: self.id })],
    ['give a group', (c) => addGroupRole(c, { organizationId, groupId, role: 'org:everything' })],
    ['delete a group', (c) => deleteGroup(c, { organizationId, groupId })],
    ['list roles', (c) => listOrganizationRoles(c, { ...page, organizationId })],
    ['make a role', (c) => createOrganizationRole(c, { organizationId, key: 'ours', name: 'Ours' })],
    ['change a role of it', (c) => updateOrganizationRole(c, { organizationId, roleId: ownRoleId, name: 'Ours' })],
    ['list domains', (c) => listOrganizationDomains(c, { ...page, organizationId })],
    ['add a domain', (c) => createOrganizationDomain(c, { organizationId, name: 'acme.example' })],
    ['delete', (c) => deleteOrganization(c, organizationId)],
  ]
}

test('I16 no right goes up, down or sideways between organizations that say they belong together', async () => {
  const t = await testInstance()
  const all = await family(t)
  const places = Object.entries(all)
  const everyone = Object.keys(all.parent.people)
  const long = process.env.USHER_LONG_TESTS === '1'
  const permissions = (await listPermissions(t.ctx(), page)).data
    .map(({ key }) => key)
    .filter((key) => long || /tasks|memberships:manage/.test(key))
  const holders = async (place: Place, at: Place) => {
    const held: string[] = []
    for (const [kind, { id: userId }] of Object.entries(place.people))
      for (const permission of permissions) {
        const check = await checkAccess(t.ctx(), { userId, organizationId: at.organization.id, permission })
        if (check.decision === 'pass') held.push(`${kind} ${permission}`)
      }
    return held
  }
  const look = async (kinds: string[]) => {
    for (const [from, place] of places)
      for (const [to, other] of places) {
        if (place === other) continue
        expect([from, to, await holders(place, other)]).toEqual([from, to, []])
        for (const [kind, self] of Object.entries(place.people).filter(([name]) => kinds.includes(name)))
          for (const [deed, work] of deeds(other, self))
            expect([from, to, kind, deed, await outcome(work(self.ctx()))]).toEqual([
              from,
              to,
              kind,
              deed,
              expect.stringMatching(/^(organization_not_found_or_unauthorized|resource_not_found|forbidden)$/),
            ])
      }
  }
  await look(everyone)
  // At home the same people may what their roles say: it is not that nobody may anything.
  for (const [name, place] of places)
    for (const kind of ['admin', 'everything', 'grouped', 'granted'])
      expect([name, kind, (await holders(place, place)).some((held) => held.startsWith(kind))]).toEqual([
        name,
        kind,
        true,
      ])

  // Moved, turned round and in a circle: metadata can say all of it, and nothing follows.
  const { parent, child, sibling } = all
  const under = (place: Place, above: Place) =>
    updateOrganization(t.ctx(), {
      id: place.organization.id,
      publicMetadata: { parent_organization_id: above.organization.id },
      privateMetadata: { parent_organization_id: above.organization.id },
    })
  await Promise.all([under(parent, child), under(child, sibling), under(sibling, parent)])
  await look(long ? everyone : ['admin'])
}, 60_000)

test('I16 what an organization has is not given to members of another, not even by the application', async () => {
  const t = await testInstance()
  const { parent, child } = await family(t)
  const [above, below] = [parent.organization.id, child.organization.id]
  const stranger = child.people.admin as Person
  for (const work of [
    () => addGroupMember(t.ctx(), { organizationId: above, groupId: parent.groupId, userId: stranger.id }),
    () =>
      addGroupMember(t.ctx(), { organizationId: above, groupId: child.groupId, userId: parent.people.admin?.id ?? '' }),
    () => addGroupMember(t.ctx(), { organizationId: below, groupId: parent.groupId, userId: stranger.id }),
    () => addMemberRole(t.ctx(), { organizationId: above, userId: stranger.id, role: 'org:admin' }),
    () => addMemberPermission(t.ctx(), { organizationId: above, userId: stranger.id, permission: 'org:tasks:write' }),
    () => updateOrganizationRole(t.ctx(), { organizationId: below, roleId: parent.ownRoleId, name: 'x' }),
    () => addGroupRole(t.ctx(), { organizationId: below, groupId: child.groupId, role: parent.ownRoleId }),
    // A group is nobody’s member.
    () => addGroupMember(t.ctx(), { organizationId: above, groupId: parent.groupId, userId: child.groupId }),
    () => addMember(t.ctx(), { organizationId: above, userId: below, role: 'org:member' }),
  ])
    expect(await outcome(work())).not.toBe('done')
})

test('I16 a parent is refused by name on both APIs, and a token speaks for one organization', async () => {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { organizations: { domains: true } })
  const browser = new TestBrowser(t)
  const { sessionId, userId } = await browser.signUp('ada@example.com')
  const parent = await createOrganization(t.ctx(), { name: 'Acme', createdBy: userId })
  const child = await createOrganization(t.ctx(), { name: 'Acme East' })
  const { id: groupId } = await createGroup(t.ctx(), { organizationId: parent.id, name: 'Editors' })
  const group = `/organizations/${parent.id}/groups`
  for (const name of ['parent', 'parent_id', 'parent_organization_id', 'parent_group_id'])
    for (const [method, path] of [
      ['POST', '/organizations'],
      ['PATCH', `/organizations/${child.id}`],
      ['POST', group],
      ['PATCH', `${group}/${groupId}`],
    ] as const) {
      const body = { name: 'Acme North', [name]: parent.id }
      const response = await t.fetch(`/v1${path}`, { method, secretKey: true, body: JSON.stringify(body) })
      const { errors } = (await response.json()) as { errors: { code: string; meta: { param_name: string } }[] }
      expect([name, path, response.status, errors[0]?.code, errors[0]?.meta.param_name]).toEqual([
        name,
        path,
        422,
        'form_param_unknown',
        name,
      ])
    }
  for (const path of ['/organizations', `/organizations/${parent.id}`]) {
    const { status, body } = await browser.send(path === '/organizations' ? 'POST' : 'PATCH', path, {
      name: 'Acme North',
      parent_organization_id: child.id,
    })
    expect([path, status, body.errors?.[0]?.code]).toEqual([path, 422, 'form_param_unknown'])
  }

  // What is read goes by the same: an administrator of the one sees nothing of the other.
  const lists = [
    '',
    ...'memberships invitations roles domains membership_requests audit_logs'.split(' ').map((l) => `/${l}`),
  ]
  for (const list of lists) {
    const seen = [parent, child].map(async ({ id }) => (await browser.get(`/organizations/${id}${list}`)).status)
    expect([list, ...(await Promise.all(seen))]).toEqual([list, 200, 404])
  }

  await browser.post(`/client/sessions/${sessionId}/touch`, { active_organization_id: parent.id })
  const mint = (organizationId: string) =>
    browser.post(`/client/sessions/${sessionId}/tokens`, { organization_id: organizationId })
  const { body } = await mint(parent.id)
  const claims = Buffer.from(body.jwt.split('.')[1], 'base64url').toString()
  expect([claims.includes(parent.id), claims.includes(child.id)]).toEqual([true, false])
  expect((await mint(child.id)).status).toBe(404)
}, 60_000)

test('I16 the schema has no place for a hierarchy, so that there is no cycle to make', async () => {
  const { systemSql } = (await testInstance()).server.runtime.database
  const toItself: { name: string }[] = await systemSql`
    select conrelid::regclass::text as name from pg_constraint where contype = 'f' and conrelid = confrelid`
  expect(toItself.map(({ name }) => name)).toEqual([])
  // Neither by way of a table that joins two of a kind.
  const joins: { name: string; target: string }[] = await systemSql`
    select conrelid::regclass::text as name, confrelid::regclass::text as target from pg_constraint
    where contype = 'f' and confrelid in ('organizations'::regclass, 'groups'::regclass, 'memberships'::regclass)
    group by 1, 2 having count(distinct conkey[1]) > 1`
  expect([...joins]).toEqual([])
  const columns: { name: string }[] = await systemSql`
    select table_name || '.' || column_name as name from information_schema.columns
    where table_schema = 'public' and column_name ~ 'parent|ancestor|inherit'`
  expect(columns.map(({ name }) => name)).toEqual([])
})
