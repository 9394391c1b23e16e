import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { listMessages } from '../messaging/index.ts'
import { spendTicket } from '../signup/tickets.ts'
import { addEmailAddress, createUser } from '../users/index.ts'
import { findTicket } from '../verifications/index.ts'
import {
  acceptInvitation,
  createOrganization,
  findInvitationForTicket,
  getOrganization,
  type InviteInput,
  inviteMembers,
  listMemberships,
  listOrganizationInvitations,
  removeMember,
  revokeOrganizationInvitation,
  updateOrganization,
} from './index.ts'
import { createManagerRole, frontiers, outcome, outcomes, person } from './testing.ts'

const day = 24 * 3600_000
const page = { limit: 100, offset: 0 }

const inputFor = (organizationId: string, emailAddress: unknown, role: unknown = 'org:member'): InviteInput => ({
  organizationId,
  emailAddress,
  role,
  publicUrl: 'http://localhost:3913',
})

async function invite(t: TestInstance, organizationId: string, emailAddress: string) {
  const [made] = await inviteMembers(t.ctx(), [inputFor(organizationId, emailAddress)])
  if (!made) throw new Error('nobody was invited')
  return { ...made, token: new URL(made.url).searchParams.get('ticket') ?? '' }
}

const membersOf = async (t: TestInstance, organizationId: string) =>
  (await listMemberships(t.ctx(), { ...page, organizationId })).totalCount

test('I1 an account that only claims the address neither sees nor accepts its invitation', async () => {
  const t = await testInstance()
  const { organization, eve } = await frontiers(t)
  const { id } = await invite(t, organization.id, 'victim@example.com')
  await addEmailAddress(t.ctx(), { userId: eve.id, emailAddress: 'victim@example.com', verifiedBy: null })
  expect(await outcome(acceptInvitation(eve.ctx(), { invitationId: id, userId: eve.id }))).toBe('forbidden')
  const claimed = [{ emailAddress: 'victim@example.com', verifiedBy: null }]
  const claimer = await createUser(t.ctx(), { emailAddresses: claimed }).catch(() => createUser(t.ctx(), {}))
  expect(await outcome(acceptInvitation(t.ctx(), { invitationId: id, userId: claimer.id }))).toBe('forbidden')
  expect((await listOrganizationInvitations(t.ctx(), { ...page, emailAddresses: [] })).data).toEqual([])
  expect(await membersOf(t, organization.id)).toBe(2)
})

test('I2 a ticket opens its own invitation only: not when altered, unsigned, of another instance, or spent', async () => {
  const [t, other] = [await testInstance(), await testInstance()]
  const { organization, eve } = await frontiers(t)
  const { id, token } = await invite(t, organization.id, eve.emailAddress)
  const find = (at: TestInstance, value: string) => transaction(at.ctx(), (tx) => findInvitationForTicket(tx, value))
  const flipped = (token.startsWith('a') ? 'b' : 'a') + token.slice(1)
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
  const unsigned = `${encode({ alg: 'none' })}.${encode({ sub: id, oid: organization.id })}.`
  for (const value of [flipped, `${token}x`, token.slice(0, -1), unsigned, id, '', 'x'.repeat(10_000)])
    expect(await find(t, value)).toBeUndefined()
  expect(await find(other, token)).toBeUndefined()
  expect((await find(t, token))?.id).toBe(id)
  await acceptInvitation(eve.ctx(), { invitationId: id, userId: eve.id })
  expect(await find(t, token)).toBeUndefined()
})

test('I4 I22 nobody invites to a role above their own, to none, to several, or to one of another instance', async () => {
  const [t, other] = [await testInstance(), await testInstance()]
  await createManagerRole(t)
  await createManagerRole(other)
  const { organization, ada, bob, eve } = await frontiers(t)
  const [lead] = await inviteMembers(t.ctx(), [inputFor(organization.id, eve.emailAddress, 'org:manager')])
  await acceptInvitation(eve.ctx(), { invitationId: lead?.id ?? '', userId: eve.id })
  const tryAs = (who: { ctx: () => ReturnType<TestInstance['ctx']> }, role: unknown) =>
    outcome(inviteMembers(who.ctx(), [inputFor(organization.id, 'new@example.com', role)]))
  expect(await tryAs(eve, 'org:admin')).toBe('forbidden')
  expect(await tryAs(bob, 'org:member')).toBe('forbidden')
  const strange = ['member,admin', 'org:member,org:admin', 'org:owner', 'admin', '', ['org:admin'], null, {}]
  for (const role of strange) expect([role, await tryAs(ada, role)]).toEqual([role, 'form_param_value_invalid'])
  const theirs = await createOrganization(other.ctx(), { name: 'Theirs' })
  expect(await outcome(inviteMembers(t.ctx(), [inputFor(theirs.id, 'new@example.com')]))).toBe('resource_not_found')
  expect(await outcome(inviteMembers(ada.ctx(), [inputFor(theirs.id, 'new@example.com')]))).toBe(
    'organization_not_found_or_unauthorized',
  )
  expect(await listMessages(t.ctx(), { to: 'new@example.com', limit: 10 })).toEqual([])
})

test('I5 a forwarded invitation makes nobody else a member', async () => {
  const t = await testInstance()
  const { organization, eve } = await frontiers(t)
  const { id, token } = await invite(t, organization.id, 'carol@example.com')
  const spent = transaction(eve.ctx(), async (tx) => {
    const ticket = await findTicket(tx, token)
    return spendTicket(tx, ticket?.id ?? '', eve.id)
  })
  expect(await outcome(spent)).toBe('forbidden')
  // The refused attempt has spent nothing: the invited person still gets in.
  const carol = await person(t, 'carol')
  expect(await outcome(acceptInvitation(carol.ctx(), { invitationId: id, userId: carol.id }))).toBe('done')
})

test('an invitation that is accepted twenty times at once makes one membership', async () => {
  const t = await testInstance()
  const { organization, eve } = await frontiers(t)
  const { id } = await invite(t, organization.id, eve.emailAddress)
  const accept = () => acceptInvitation(eve.ctx(), { invitationId: id, userId: eve.id })
  expect(await outcomes(20, accept)).toEqual({ done: 1, resource_not_found: 19 })
  expect(await membersOf(t, organization.id)).toBe(3)
})

test('the link and the button of one invitation, pressed together, do not wait for each other for ever', async () => {
  const t = await testInstance()
  const { organization, eve } = await frontiers(t)
  for (let round = 0; round < 8; round += 1) {
    const { id, token } = await invite(t, organization.id, eve.emailAddress)
    const byLink = () =>
      transaction(t.ctx(), async (tx) => spendTicket(tx, (await findTicket(tx, token))?.id ?? '', eve.id))
    const byButton = () => acceptInvitation(eve.ctx(), { invitationId: id, userId: eve.id })
    const takenBack = () => revokeOrganizationInvitation(t.ctx(), { organizationId: organization.id, invitationId: id })
    const ways = [byLink, byButton, takenBack]
    const counts = await outcomes(9, (i) => (ways[i % 3] as () => Promise<unknown>)())
    expect(counts.done).toBe(1)
    for (const code of Object.keys(counts))
      expect(['done', 'resource_not_found', 'token_used', 'ticket_invalid']).toContain(code)
    await outcome(removeMember(t.ctx(), { organizationId: organization.id, userId: eve.id }))
  }
}, 60_000)

test('an address that is invited twenty times at once has one open invitation and one email', async () => {
  const t = await testInstance()
  const { organization, ada } = await frontiers(t)
  const again = () => inviteMembers(ada.ctx(), [inputFor(organization.id, 'Carol@Example.com')])
  expect(await outcomes(20, again)).toEqual({ done: 1, duplicate_record: 19 })
  expect(await listMessages(t.ctx(), { to: 'carol@example.com', limit: 50 })).toHaveLength(1)
})

test('N4 twenty people who accept at once do not outnumber the seats, though the limit came after the invitations', async () => {
  const t = await testInstance()
  const { organization } = await frontiers(t)
  const people = await Promise.all(Array.from({ length: 20 }, (_, i) => person(t, `guest${i}`)))
  const made = await inviteMembers(
    t.ctx(),
    people.map((p) => inputFor(organization.id, p.emailAddress)),
  )
  await updateOrganization(t.ctx(), { id: organization.id, maxAllowedMemberships: 5 })
  const counts = await outcomes(20, (i) =>
    acceptInvitation(people[i]?.ctx() ?? t.ctx(), { invitationId: made[i]?.id ?? '', userId: people[i]?.id ?? '' }),
  )
  expect(counts).toEqual({ done: 3, organization_membership_quota_exceeded: 17 })
  expect(await membersOf(t, organization.id)).toBe(5)
}, 60_000)

test('N4 open invitations take seats, and those that expire or are taken back give them up', async () => {
  const t = await testInstance()
  const { organization, ada } = await frontiers(t)
  await updateOrganization(t.ctx(), { id: organization.id, maxAllowedMemberships: 5 })
  const counts = await outcomes(20, (i) => inviteMembers(ada.ctx(), [inputFor(organization.id, `g${i}@example.com`)]))
  expect(counts).toEqual({ done: 3, organization_membership_quota_exceeded: 17 })
  const { data } = await listOrganizationInvitations(t.ctx(), { ...page, organizationId: organization.id })
  await revokeOrganizationInvitation(ada.ctx(), { organizationId: organization.id, invitationId: data[0]?.id ?? '' })
  expect(await outcome(inviteMembers(ada.ctx(), [inputFor(organization.id, 'late@example.com')]))).toBe('done')
  t.advance(31 * day)
  expect(await outcome(inviteMembers(ada.ctx(), [inputFor(organization.id, 'later@example.com')]))).toBe('done')
})

test('an expired invitation is not accepted, its ticket opens nothing, and the address can be invited again', async () => {
  const t = await testInstance()
  const { organization, eve, ada } = await frontiers(t)
  const { id, token } = await invite(t, organization.id, eve.emailAddress)
  t.advance(30 * day)
  expect(await outcome(acceptInvitation(eve.ctx(), { invitationId: id, userId: eve.id }))).toBe('resource_not_found')
  expect(await transaction(t.ctx(), (tx) => findInvitationForTicket(tx, token))).toBeUndefined()
  expect(await outcome(inviteMembers(ada.ctx(), [inputFor(organization.id, eve.emailAddress)]))).toBe('done')
  const { data } = await listOrganizationInvitations(t.ctx(), { ...page, organizationId: organization.id })
  expect(data.map((i) => i.status).sort()).toEqual(['expired', 'pending'])
})

test('an invitation is taken back by who may, in its own organization, once', async () => {
  const t = await testInstance()
  const { organization, ada, bob, eve } = await frontiers(t)
  const theirs = await createOrganization(eve.ctx(), { name: 'Theirs' })
  const { id, token } = await invite(t, organization.id, 'carol@example.com')
  const revoke = (who: typeof ada, organizationId: string) =>
    outcome(revokeOrganizationInvitation(who.ctx(), { organizationId, invitationId: id }))
  expect(await revoke(bob, organization.id)).toBe('forbidden')
  expect(await revoke(eve, organization.id)).toBe('organization_not_found_or_unauthorized')
  expect(await revoke(eve, theirs.id)).toBe('resource_not_found')
  const counts = await outcomes(20, () =>
    revokeOrganizationInvitation(ada.ctx(), { organizationId: organization.id, invitationId: id }),
  )
  expect(counts).toEqual({ done: 1, resource_not_found: 19 })
  expect(await transaction(t.ctx(), (tx) => findInvitationForTicket(tx, token))).toBeUndefined()
})

test('of several addresses all are invited or none; members and addresses that hide two are refused', async () => {
  const t = await testInstance()
  const { organization, ada, bob } = await frontiers(t)
  const invite = (...addresses: unknown[]) =>
    outcome(
      inviteMembers(
        ada.ctx(),
        addresses.map((a) => inputFor(organization.id, a)),
      ),
    )
  expect(await invite('x@example.com', bob.emailAddress)).toBe('already_a_member_in_organization')
  expect(await invite('x@example.com', 'y@example.com,z@example.com')).toBe('form_param_format_invalid')
  expect(await invite('x@example.com', 'X@example.com')).toBe('duplicate_record')
  expect(await listMessages(t.ctx(), { limit: 10 })).toEqual([])
  expect((await getOrganization(t.ctx(), organization.id)).pendingInvitationsCount).toBe(0)
})
