import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { ClerkClient } from '@clerk/backend'
import { serverSdk } from '../support/clerk.ts'
import { startUsher, type UsherProcess } from '../support/usher.ts'

let usher: UsherProcess
let clerk: ClerkClient

beforeAll(async () => {
  usher = await startUsher()
  clerk = serverSdk(usher.ready)
  await clerk.instance.updateOrganizationSettings({ domainsEnabled: true })
}, 60_000)
afterAll(() => usher.stop())

const code = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (error) => error.errors?.[0]?.code ?? String(error),
  )
let people = 0
const person = (more: object = {}) =>
  clerk.users.createUser({
    emailAddress: [`person${++people}@example.com`],
    skipPasswordRequirement: true,
    ...more,
  })
let made = 0
/** An organization with an administrator. */
async function organization(more: object = {}) {
  const ada = await person()
  const created = await clerk.organizations.createOrganization({ name: `No. ${++made}`, createdBy: ada.id, ...more })
  return { ada, created, organizationId: created.id }
}
/** An answer that the SDK has read into its own class, with what the wire said beside it. */
const isRead = (value: { raw: unknown } | object) => expect(value).toHaveProperty('raw')

/** Each method of the resource, by name: one that a new version of the package brings fails the last test. */
const methods: Record<string, () => Promise<void>> = {
  createOrganization: async () => {
    const ada = await person()
    const created = await clerk.organizations.createOrganization({
      name: 'Acme',
      slug: 'acme',
      createdBy: ada.id,
      maxAllowedMemberships: 7,
      publicMetadata: { plan: 'pro' },
      privateMetadata: { risk: 1 },
    })
    isRead(created)
    expect(created).toMatchObject({
      name: 'Acme',
      slug: 'acme',
      createdBy: ada.id,
      maxAllowedMemberships: 7,
      adminDeleteEnabled: true,
      hasImage: false,
      membersCount: 1,
      publicMetadata: { plan: 'pro' },
      privateMetadata: { risk: 1 },
    })
    expect(created.id).toStartWith('org_')
    expect(created.imageUrl).toStartWith('data:image/svg+xml')
    expect(created.createdAt).toBeGreaterThan(Date.now() - 60_000)
    expect(await code(clerk.organizations.createOrganization({ name: 'Other', slug: 'acme' }))).toBe(
      'organization_slug_taken',
    )
    expect(await code(clerk.organizations.createOrganization({ name: 'Аcme' }))).toBe('organization_name_misleading')
    expect(await code(clerk.organizations.createOrganization({ name: 'X', createdBy: 'user_nobody' }))).toBe(
      'resource_not_found',
    )
  },
  getOrganization: async () => {
    const { created } = await organization()
    const byId = await clerk.organizations.getOrganization({ organizationId: created.id, includeMembersCount: true })
    expect([byId.id, byId.membersCount]).toEqual([created.id, 1])
    expect((await clerk.organizations.getOrganization({ slug: created.slug as string })).id).toBe(created.id)
    expect(await code(clerk.organizations.getOrganization({ organizationId: 'org_nobody' }))).toBe('resource_not_found')
  },
  getOrganizationList: async () => {
    const [a, b] = [await organization({ name: 'List Zeta' }), await organization({ name: 'List Alpha' })]
    await clerk.organizations.createOrganizationMembership({
      organizationId: a.organizationId,
      userId: (await person()).id,
      role: 'org:member',
    })
    const organizationId = [a.organizationId, b.organizationId]
    const names = async (params: object) =>
      (await clerk.organizations.getOrganizationList({ includeMembersCount: true, ...params })).data.map((o) => o.name)
    expect(await names({ organizationId, orderBy: '+name' })).toEqual(['List Alpha', 'List Zeta'])
    expect(await names({ organizationId, orderBy: '-created_at' })).toEqual(['List Alpha', 'List Zeta'])
    expect(await names({ organizationId, orderBy: '-members_count' })).toEqual(['List Zeta', 'List Alpha'])
    expect(await names({ organizationId, orderBy: '+name', limit: 1, offset: 1 })).toEqual(['List Zeta'])
    expect(await names({ query: 'list zE' })).toEqual(['List Zeta'])
    expect(await names({ query: a.organizationId })).toEqual(['List Zeta'])
    expect(await names({ query: '%' })).toEqual([])
    const page = await clerk.organizations.getOrganizationList({ organizationId, limit: 1 })
    expect([page.data.length, page.totalCount]).toEqual([1, 2])
    for (const orderBy of ['name;--', 'private_metadata', '__proto__'])
      expect(await code(clerk.organizations.getOrganizationList({ orderBy: orderBy as never }))).toBe(
        'form_param_value_invalid',
      )
  },
  updateOrganization: async () => {
    const { organizationId } = await organization()
    const changed = await clerk.organizations.updateOrganization(organizationId, {
      name: 'Renamed',
      slug: 'renamed',
      adminDeleteEnabled: false,
      maxAllowedMemberships: 3,
    })
    expect(changed).toMatchObject({
      name: 'Renamed',
      slug: 'renamed',
      adminDeleteEnabled: false,
      maxAllowedMemberships: 3,
    })
    expect(await code(clerk.organizations.updateOrganization('org_nobody', { name: 'X' }))).toBe('resource_not_found')
    expect(await code(clerk.organizations.updateOrganization(organizationId, { slug: 'admin' }))).toBe(
      'form_param_format_invalid',
    )
  },
  updateOrganizationLogo: async () => {
    const { ada, organizationId } = await organization()
    const pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
    const file = new Blob([Buffer.from(pixel, 'base64')], { type: 'image/png' })
    const set = await clerk.organizations.updateOrganizationLogo(organizationId, { file, uploaderUserId: ada.id })
    expect([set.hasImage, (await fetch(set.imageUrl)).status]).toEqual([true, 200])
  },
  deleteOrganizationLogo: async () => {
    const { organizationId } = await organization()
    expect((await clerk.organizations.deleteOrganizationLogo(organizationId)).hasImage).toBe(false)
  },
  updateOrganizationMetadata: async () => {
    const { organizationId } = await organization({ publicMetadata: { a: { b: 1, c: 2 }, d: 3 } })
    const merged = await clerk.organizations.updateOrganizationMetadata(organizationId, {
      publicMetadata: { a: { b: null }, e: 4 },
    })
    expect(merged.publicMetadata).toEqual({ a: { c: 2 }, d: 3, e: 4 })
  },
  replaceOrganizationMetadata: async () => {
    const { organizationId } = await organization({ publicMetadata: { a: 1 }, privateMetadata: { b: 2 } })
    const replaced = await clerk.organizations.replaceOrganizationMetadata(organizationId, { publicMetadata: { c: 3 } })
    expect([replaced.publicMetadata, replaced.privateMetadata]).toEqual([{ c: 3 }, { b: 2 }])
  },
  deleteOrganization: async () => {
    const { organizationId } = await organization()
    expect(await clerk.organizations.deleteOrganization(organizationId)).toMatchObject({ id: organizationId })
    expect(await code(clerk.organizations.deleteOrganization(organizationId))).toBe('resource_not_found')
  },
  createOrganizationMembership: async () => {
    const { organizationId } = await organization({ maxAllowedMemberships: 2 })
    const bob = await person({ firstName: 'Bob' })
    const input = { organizationId, userId: bob.id, role: 'org:member' }
    const membership = await clerk.organizations.createOrganizationMembership(input)
    isRead(membership)
    expect(membership).toMatchObject({
      role: 'org:member',
      organization: { id: organizationId },
      publicUserData: { userId: bob.id, firstName: 'Bob' },
    })
    expect(await code(clerk.organizations.createOrganizationMembership({ ...input, role: 'org:none' }))).toBe(
      'form_param_value_invalid',
    )
    const more = { ...input, userId: (await person()).id }
    expect(await code(clerk.organizations.createOrganizationMembership(more))).toBe(
      'organization_membership_quota_exceeded',
    )
  },
  getOrganizationMembershipList: async () => {
    const { ada, organizationId } = await organization()
    const zoe = await person({
      firstName: 'Zoe',
      lastName: 'Moss',
      username: 'zoe_m',
      emailAddress: ['zoe@moss.example'],
    })
    const yan = await person({ firstName: 'Yan', phoneNumber: ['+14155550190'] })
    for (const { id: userId } of [zoe, yan])
      await clerk.organizations.createOrganizationMembership({ organizationId, userId, role: 'org:member' })
    const users = async (params: object) =>
      (await clerk.organizations.getOrganizationMembershipList({ organizationId, ...params })).data.map((m) =>
        [ada, zoe, yan].findIndex((u) => u.id === m.publicUserData?.userId),
      )
    expect(await users({})).toEqual([2, 1, 0])
    expect(await users({ orderBy: '+created_at' })).toEqual([0, 1, 2])
    expect(await users({ orderBy: '+first_name', role: ['org:member'] })).toEqual([2, 1])
    expect(await users({ orderBy: '-email_address', role: ['org:member'], limit: 1 })).toEqual([1])
    expect(await users({ role: ['org:admin'] })).toEqual([0])
    expect(await users({ userId: [zoe.id] })).toEqual([1])
    expect(await users({ emailAddress: ['ZOE@moss.example'] })).toEqual([1])
    expect(await users({ phoneNumber: ['+14155550190'] })).toEqual([2])
    expect(await users({ username: ['zoe_m'] })).toEqual([1])
    expect(await users({ web3Wallet: ['0x0'] })).toEqual([])
    expect(await users({ query: 'MOSS.ex' })).toEqual([1])
    expect(await users({ emailAddressQuery: '@moss' })).toEqual([1])
    expect(await users({ phoneNumberQuery: '55501' })).toEqual([2])
    expect(await users({ usernameQuery: 'oe_' })).toEqual([1])
    expect(await users({ nameQuery: 'zoe moss' })).toEqual([1])
    expect(await users({ createdAtAfter: Date.now() + 60_000 })).toEqual([])
    expect(await users({ createdAtBefore: Date.now() + 60_000 })).toHaveLength(3)
    expect(await users({ lastActiveAtAfter: Date.now() - 60_000 })).toEqual([])
    for (const orderBy of ['id;--', 'private_metadata'])
      expect(
        await code(clerk.organizations.getOrganizationMembershipList({ organizationId, orderBy: orderBy as never })),
      ).toBe('form_param_value_invalid')
    expect(await code(clerk.organizations.getOrganizationMembershipList({ organizationId: 'org_nobody' }))).toBe(
      'resource_not_found',
    )
  },
  getInstanceOrganizationMembershipList: async () => {
    const { organizationId } = await organization()
    const page = await clerk.organizations.getInstanceOrganizationMembershipList({ limit: 1, orderBy: '-created_at' })
    expect(page.data[0]?.organization.id).toBe(organizationId)
    expect(page.totalCount).toBeGreaterThan(1)
  },
  updateOrganizationMembership: async () => {
    const { ada, organizationId } = await organization()
    const input = { organizationId, userId: ada.id, role: 'org:member' }
    // Nobody would be left to manage the members.
    expect(await code(clerk.organizations.updateOrganizationMembership(input))).toBe(
      'organization_minimum_permissions_needed',
    )
    const bob = await person()
    await clerk.organizations.createOrganizationMembership({ organizationId, userId: bob.id, role: 'org:admin' })
    expect((await clerk.organizations.updateOrganizationMembership(input)).role).toBe('org:member')
    const nobody = { ...input, userId: 'user_nobody' }
    expect(await code(clerk.organizations.updateOrganizationMembership(nobody))).toBe('resource_not_found')
  },
  updateOrganizationMembershipMetadata: async () => {
    const { ada, organizationId } = await organization()
    const changed = await clerk.organizations.updateOrganizationMembershipMetadata({
      organizationId,
      userId: ada.id,
      publicMetadata: { desk: 4 },
      privateMetadata: { pay: 5 },
    })
    expect([changed.publicMetadata, changed.privateMetadata]).toEqual([{ desk: 4 }, { pay: 5 }])
  },
  deleteOrganizationMembership: async () => {
    const { organizationId } = await organization()
    const bob = await person()
    await clerk.organizations.createOrganizationMembership({ organizationId, userId: bob.id, role: 'org:member' })
    const input = { organizationId, userId: bob.id }
    expect((await clerk.organizations.deleteOrganizationMembership(input)).publicUserData?.userId).toBe(bob.id)
    expect(await code(clerk.organizations.deleteOrganizationMembership(input))).toBe('resource_not_found')
  },
  createOrganizationInvitation: async () => {
    const { ada, organizationId } = await organization()
    const input = {
      organizationId,
      inviterUserId: ada.id,
      emailAddress: 'guest@example.com',
      role: 'org:member',
      expiresInDays: 3,
      redirectUrl: 'https://app.example/welcome',
      publicMetadata: { team: 1 },
      privateMetadata: { by: 2 },
    }
    const invited = await clerk.organizations.createOrganizationInvitation(input)
    isRead(invited)
    expect(invited).toMatchObject({
      emailAddress: 'guest@example.com',
      role: 'org:member',
      roleName: 'Member',
      status: 'pending',
      organizationId,
      publicMetadata: { team: 1 },
      privateMetadata: { by: 2 },
      publicOrganizationData: { id: organizationId },
    })
    expect(invited.url).toContain('/v1/tickets/accept?ticket=')
    expect(Math.round((invited.expiresAt - invited.createdAt) / 86_400_000)).toBe(3)
    expect(await code(clerk.organizations.createOrganizationInvitation(input))).toBe('duplicate_record')
  },
  createOrganizationInvitationBulk: async () => {
    const { organizationId } = await organization()
    const invite = (...names: string[]) =>
      clerk.organizations.createOrganizationInvitationBulk(
        organizationId,
        names.map((name) => ({ emailAddress: `${name}@example.com`, role: 'org:member' })),
      )
    const page = await invite('one', 'two')
    expect(page.data.map((i) => [i.emailAddress, i.status])).toEqual([
      ['one@example.com', 'pending'],
      ['two@example.com', 'pending'],
    ])
    expect(page.totalCount).toBe(2)
    // One that cannot be invited undoes the others.
    expect(await code(invite('three', 'one'))).toBe('duplicate_record')
    const open = await clerk.organizations.getOrganizationInvitationList({ organizationId })
    expect(open.totalCount).toBe(2)
  },
  getOrganizationInvitationList: async () => {
    const { organizationId } = await organization()
    for (const name of ['a', 'b'])
      await clerk.organizations.createOrganizationInvitation({
        organizationId,
        emailAddress: `list-${name}@example.com`,
        role: 'org:member',
      })
    const list = (params: object) => clerk.organizations.getOrganizationInvitationList({ organizationId, ...params })
    const page = await list({ status: ['pending'], limit: 1 })
    expect([page.data[0]?.emailAddress, page.totalCount]).toEqual(['list-b@example.com', 2])
    expect((await list({ status: ['accepted', 'revoked'] })).totalCount).toBe(0)
  },
  getOrganizationInvitation: async () => {
    const { organizationId } = await organization()
    const { id: invitationId } = await clerk.organizations.createOrganizationInvitation({
      organizationId,
      emailAddress: 'read@example.com',
      role: 'org:member',
    })
    const read = await clerk.organizations.getOrganizationInvitation({ organizationId, invitationId })
    expect(read.id).toBe(invitationId)
    const { organizationId: other } = await organization()
    const nested = { organizationId: other, invitationId }
    expect(await code(clerk.organizations.getOrganizationInvitation(nested))).toBe('resource_not_found')
  },
  revokeOrganizationInvitation: async () => {
    const { ada, organizationId } = await organization()
    const { id: invitationId } = await clerk.organizations.createOrganizationInvitation({
      organizationId,
      emailAddress: 'revoke@example.com',
      role: 'org:member',
    })
    const revoke = () =>
      clerk.organizations.revokeOrganizationInvitation({ organizationId, invitationId, requestingUserId: ada.id })
    expect((await revoke()).status).toBe('revoked')
    expect(await code(revoke())).toBe('resource_not_found')
  },
  createOrganizationDomain: async () => {
    const { organizationId } = await organization()
    const input = { organizationId, name: 'made.example', enrollmentMode: 'automatic_invitation' as const }
    const domain = await clerk.organizations.createOrganizationDomain(input)
    expect(domain).toMatchObject({
      object: 'organization_domain',
      name: 'made.example',
      organization_id: organizationId,
      enrollment_mode: 'automatic_invitation',
      verification: { status: 'verified', strategy: 'admin' },
    })
    const { organizationId: other } = await organization()
    const again = { ...input, organizationId: other }
    expect(await code(clerk.organizations.createOrganizationDomain(again))).toBe('organization_domain_taken')
    const claim = await clerk.organizations.createOrganizationDomain({ ...again, verified: false })
    expect(claim).toMatchObject({ verification: null, affiliation_verification: null, ownership_verification: null })
    expect(await code(clerk.organizations.createOrganizationDomain({ ...input, name: 'gmail.com' }))).toBe(
      'organization_domain_common',
    )
  },
  getOrganizationDomainList: async () => {
    const { organizationId } = await organization()
    for (const name of ['a-list.example', 'b-list.example'])
      await clerk.organizations.createOrganizationDomain({ organizationId, name, enrollmentMode: 'manual_invitation' })
    const page = await clerk.organizations.getOrganizationDomainList({ organizationId, limit: 1 })
    expect([page.data[0]?.name, page.totalCount]).toEqual(['b-list.example', 2])
    const next = await clerk.organizations.getOrganizationDomainList({ organizationId, limit: 1, offset: 1 })
    expect(next.data[0]?.name).toBe('a-list.example')
  },
  updateOrganizationDomain: async () => {
    const { organizationId } = await organization()
    const bob = await person({ emailAddress: ['bob@change.example'] })
    const { id: domainId } = await clerk.organizations.createOrganizationDomain({
      organizationId,
      name: 'change.example',
      enrollmentMode: 'manual_invitation',
      verified: false,
    })
    const change = (fields: object) =>
      clerk.organizations.updateOrganizationDomain({ organizationId, domainId, ...fields })
    expect(await change({ enrollmentMode: 'automatic_invitation' })).toMatchObject({ total_pending_invitations: 0 })
    expect(await change({ verified: true })).toMatchObject({
      enrollment_mode: 'automatic_invitation',
      verification: { status: 'verified' },
      total_pending_invitations: 1,
    })
    const mine = await clerk.users.getOrganizationInvitationList({ userId: bob.id })
    expect(mine.data).toMatchObject([{ organizationId, emailAddress: 'bob@change.example' }])
    expect(await change({ verified: false })).toMatchObject({ verification: null, total_pending_invitations: 0 })
    expect(await code(change({ name: 'other.example' }))).toBe('form_param_unknown')
  },
  deleteOrganizationDomain: async () => {
    const { organizationId } = await organization()
    const { id: domainId } = await clerk.organizations.createOrganizationDomain({
      organizationId,
      name: 'gone.example',
      enrollmentMode: 'manual_invitation',
    })
    const remove = () => clerk.organizations.deleteOrganizationDomain({ organizationId, domainId })
    expect(await remove()).toMatchObject({ id: domainId, deleted: true })
    expect(await code(remove())).toBe('resource_not_found')
  },
}

for (const [name, run] of Object.entries(methods)) test(`organizations.${name}`, run, 20_000)

test('every method of the resource is called above', () => {
  const own = Object.getOwnPropertyNames(Object.getPrototypeOf(clerk.organizations)).filter((n) => n !== 'constructor')
  expect(own.filter((n) => !(n in methods))).toEqual([])
})

test('an organization is found by the id that the application gave it', async () => {
  const call = async (method: string, path: string, body?: object) => {
    const headers = { authorization: `Bearer ${usher.ready.secret_key}`, 'content-type': 'application/json' }
    const response = await fetch(usher.ready.url + path, {
      method,
      headers,
      ...(body && { body: JSON.stringify(body) }),
    })
    return response.json()
  }
  const { id } = await call('POST', '/v1/organizations', { name: 'With an id', external_id: 'crm-9' })
  expect(await call('GET', '/v1/organizations?external_id=crm-9')).toMatchObject({
    data: [{ id, external_id: 'crm-9' }],
    total_count: 1,
  })
  expect((await call('POST', '/v1/organizations', { name: 'Another', external_id: 'crm-9' })).errors[0]).toMatchObject({
    code: 'duplicate_record',
    meta: { param_name: 'external_id' },
  })
})

test('J13 an order that is no column of ours is refused, and a filter is a value', async () => {
  const { organizationId } = await organization({ name: 'Columns' })
  for (const orderBy of ['id;--', 'created_at desc', 'private_metadata', '__proto__', 'constructor', '-']) {
    const wrong = { orderBy: orderBy as never }
    expect(await code(clerk.organizations.getOrganizationList(wrong))).toBe('form_param_value_invalid')
    expect(await code(clerk.organizations.getOrganizationMembershipList({ organizationId, ...wrong }))).toBe(
      'form_param_value_invalid',
    )
  }
  for (const text of ["' or 1=1 --", '%', '_', '\\', "Columns' --", '") or ("1"="1']) {
    expect((await clerk.organizations.getOrganizationList({ query: text })).data).toEqual([])
    const members = { organizationId, query: text, emailAddress: [text], nameQuery: text }
    expect((await clerk.organizations.getOrganizationMembershipList(members)).data).toEqual([])
  }
})

test('domains of all organizations are listed and filtered', async () => {
  const [a, b] = [await organization(), await organization()]
  await clerk.organizations.createOrganizationDomain({
    organizationId: a.organizationId,
    name: 'all-a.example',
    enrollmentMode: 'automatic_suggestion',
  })
  await clerk.organizations.createOrganizationDomain({
    organizationId: b.organizationId,
    name: 'all-b.example',
    enrollmentMode: 'manual_invitation',
    verified: false,
  })
  const list = async (query: string) => {
    const headers = { authorization: `Bearer ${usher.ready.secret_key}` }
    const response = await fetch(
      `${usher.ready.url}/v1/organization_domains?domain=all-a.example&domain=ALL-b.example&${query}`,
      { headers },
    )
    const body = (await response.json()) as { data?: { name: string }[]; total_count?: number }
    return response.ok ? [body.data?.map((d) => d.name), body.total_count] : response.status
  }
  expect(await list('')).toEqual([['all-b.example', 'all-a.example'], 2])
  expect(await list('limit=1&offset=1')).toEqual([['all-a.example'], 2])
  expect(await list('verified=true')).toEqual([['all-a.example'], 1])
  expect(await list('verified=false')).toEqual([['all-b.example'], 1])
  expect(await list('enrollment_mode=automatic_suggestion')).toEqual([['all-a.example'], 1])
  expect(await list(`organization_id=${b.organizationId}`)).toEqual([['all-b.example'], 1])
  for (const wrong of ['verified=maybe', 'enrollment_mode=by_magic', 'limit=-1']) expect(await list(wrong)).toBe(422)
})
