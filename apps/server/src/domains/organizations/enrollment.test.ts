import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { addEmailAddress, createUser, deleteEmailAddress, deleteUser, verifyEmailAddress } from '../users/index.ts'
import { emailAddresses, users } from '../users/tables.ts'
import {
  acceptInvitation,
  acceptMembershipRequest,
  acceptSuggestion,
  addMember,
  createOrganizationDomain,
  deleteOrganization,
  deleteOrganizationDomain,
  findMembership,
  getDomain,
  inviteMembers,
  listMembershipRequests,
  listOrganizationInvitations,
  listSuggestions,
  rejectMembershipRequest,
  removeMember,
  revokeOrganizationInvitation,
  updateOrganization,
  updateOrganizationDomain,
} from './index.ts'
import { allowDomains, announced, frontiers, outcome, outcomes, type Person, person } from './testing.ts'

const page = { limit: 100, offset: 0 }
const publicUrl = 'http://localhost:3913'

async function withDomain(enrollmentMode: string) {
  const t = await testInstance()
  const people = await frontiers(t)
  await allowDomains(t)
  const organizationId = people.organization.id
  const { id: domainId } = await createOrganizationDomain(t.ctx(), {
    organizationId,
    name: 'acme.example',
    enrollmentMode,
    verified: true,
  })
  const key = { organizationId, domainId }
  const role = async (who: Person) =>
    (await findMembership(t.ctx(), { organizationId, userId: who.id }))?.role.key ?? null
  return { t, ...people, organizationId, domainId, key, role }
}

const suggested = async (who: Person) => (await listSuggestions(who.ctx(), { ...page, userId: who.id })).data
const invited = async (who: Person) =>
  (await listOrganizationInvitations(who.ctx(), { ...page, emailAddresses: [who.emailAddress], status: ['pending'] }))
    .data
const requests = async (t: TestInstance, organizationId: string) =>
  (await listMembershipRequests(t.ctx(), { ...page, organizationId, status: ['pending'] })).data

/** Somebody at the domain who has asked to join. */
async function asking(t: TestInstance, organizationId: string, name = 'nia@acme.example') {
  const nia = await person(t, name)
  const [suggestion] = await suggested(nia)
  await acceptSuggestion(nia.ctx(), { suggestionId: suggestion?.id ?? '', userId: nia.id })
  const [request] = (await requests(t, organizationId)).filter((r) => r.userId === nia.id)
  return { nia, suggestionId: suggestion?.id ?? '', requestId: request?.id ?? '' }
}

test('only proven addresses at exactly the domain of a domain that counts bring people to it', async () => {
  const { t, ada, key, organizationId } = await withDomain('automatic_suggestion')
  const claimed = await createUser(t.ctx(), {
    emailAddresses: [{ emailAddress: 'liar@acme.example', verifiedBy: null }],
  })
  const others = ['a@sub.acme.example', 'b@acme.example.evil.test', 'c@notacme.example']
  for (const name of others) expect([name, await suggested(await person(t, name))]).toEqual([name, []])
  expect((await listSuggestions(t.ctx(), { ...page, userId: claimed.id })).totalCount).toBe(0)
  const nia = await person(t, 'nia@acme.example')
  expect((await suggested(nia)).map((s) => s.organizationId)).toEqual([organizationId])
  // It is there before anybody looks, for whoever counts.
  expect((await getDomain(t.ctx(), key)).totalPendingSuggestions).toBe(1)
  await person(t, 'oke@acme.example')
  expect((await getDomain(t.ctx(), key)).totalPendingSuggestions).toBe(2)
  const [address] = claimed.emailAddresses
  await verifyEmailAddress(t.ctx(), { id: address?.id ?? '', verifiedBy: 'email_code' })
  expect((await getDomain(t.ctx(), key)).totalPendingSuggestions).toBe(3)
  // A claim that is not proven brings nobody anywhere, and members need no suggestion.
  await createOrganizationDomain(ada.ctx(), {
    organizationId,
    name: 'beta.example',
    enrollmentMode: 'automatic_suggestion',
  })
  expect(await suggested(await person(t, 'x@beta.example'))).toEqual([])
  await addEmailAddress(t.ctx(), { userId: ada.id, emailAddress: 'ada@acme.example', verifiedBy: 'email_code' })
  expect(await suggested(ada)).toEqual([])
})

test('a suggestion ends with what it stands on: the address, the domain, its verification', async () => {
  const { t, key } = await withDomain('automatic_suggestion')
  const nia = await person(t, 'nia@home.example')
  const { id } = await addEmailAddress(t.ctx(), {
    userId: nia.id,
    emailAddress: 'nia@acme.example',
    verifiedBy: 'email_code',
  })
  const [suggestion] = await suggested(nia)
  const accept = () => outcome(acceptSuggestion(nia.ctx(), { suggestionId: suggestion?.id ?? '', userId: nia.id }))
  await deleteEmailAddress(t.ctx(), id)
  expect([await suggested(nia), await accept()]).toEqual([[], 'resource_not_found'])
  await addEmailAddress(t.ctx(), { userId: nia.id, emailAddress: 'nia@acme.example', verifiedBy: 'email_code' })
  expect(await suggested(nia)).toHaveLength(1)
  await updateOrganizationDomain(t.ctx(), { ...key, verified: false })
  expect([await suggested(nia), await accept()]).toEqual([[], 'resource_not_found'])
  await updateOrganizationDomain(t.ctx(), { ...key, verified: true })
  expect(await suggested(nia)).toHaveLength(1)
  await deleteOrganizationDomain(t.ctx(), key)
  expect(await suggested(nia)).toEqual([])
})

test('a suggestion is accepted once, by whom it is for, and makes one request', async () => {
  const { t, eve, organizationId } = await withDomain('automatic_suggestion')
  const nia = await person(t, 'nia@acme.example')
  const [suggestion] = await suggested(nia)
  const accept = (by: Person) => acceptSuggestion(by.ctx(), { suggestionId: suggestion?.id ?? '', userId: by.id })
  expect(await outcome(accept(eve))).toBe('resource_not_found')
  const other = await testInstance()
  await allowDomains(other)
  expect(await outcome(acceptSuggestion(other.ctx(), { suggestionId: suggestion?.id ?? '', userId: nia.id }))).toBe(
    'resource_not_found',
  )
  expect(await outcomes(20, () => accept(nia))).toEqual({ done: 1, resource_not_found: 19 })
  expect(await requests(t, organizationId)).toHaveLength(1)
  expect(await announced(t, /^organizationMembershipRequest/)).toEqual([
    { type: 'organizationMembershipRequest.created', data: { organization_id: organizationId, user_id: nia.id } },
  ])
})

test('a request is answered once, by who may manage members, in its own organization', async () => {
  const { t, ada, bob, eve, organizationId, role } = await withDomain('automatic_suggestion')
  const { nia, requestId } = await asking(t, organizationId)
  const answer = { organizationId, requestId }
  expect(await outcome(listMembershipRequests(bob.ctx(), { ...page, organizationId }))).toBe('forbidden')
  for (const verb of [acceptMembershipRequest, rejectMembershipRequest]) {
    expect(await outcome(verb(bob.ctx(), answer))).toBe('forbidden')
    expect(await outcome(verb(eve.ctx(), answer))).toBe('organization_not_found_or_unauthorized')
    expect(await outcome(verb(nia.ctx(), answer))).toBe('organization_not_found_or_unauthorized')
    expect(await outcome(verb((await testInstance()).ctx(), answer))).toBe('resource_not_found')
  }
  const verbs = [acceptMembershipRequest, rejectMembershipRequest] as const
  const ends = await outcomes(20, (i) => (verbs[i % 2] as (typeof verbs)[0])(ada.ctx(), answer))
  expect(ends).toEqual({ done: 1, resource_not_found: 19 })
  const events = (await announced(t, /^organizationMembershipRequest/)).map((e) => e.type)
  expect(events).toHaveLength(2)
  expect(await role(nia)).toBe(events.includes('organizationMembershipRequest.accepted') ? 'org:member' : null)
})

test('whoever is turned down or removed is not suggested the organization again; whoever leaves is', async () => {
  const { t, ada, organizationId, key, role } = await withDomain('automatic_suggestion')
  const { nia, requestId } = await asking(t, organizationId)
  await rejectMembershipRequest(ada.ctx(), { organizationId, requestId })
  expect(await suggested(nia)).toEqual([])
  const second = await asking(t, organizationId, 'oke@acme.example')
  await acceptMembershipRequest(ada.ctx(), { organizationId, requestId: second.requestId })
  expect(await role(second.nia)).toBe('org:member')
  await removeMember(ada.ctx(), { organizationId, userId: second.nia.id })
  const third = await asking(t, organizationId, 'pia@acme.example')
  await acceptMembershipRequest(ada.ctx(), { organizationId, requestId: third.requestId })
  await removeMember(third.nia.ctx(), { organizationId, userId: third.nia.id })
  expect(await suggested(third.nia)).toHaveLength(1)
  // Neither a domain that is added again nor an invitation by it brings back who was sent away.
  await deleteOrganizationDomain(t.ctx(), key)
  for (const enrollmentMode of ['automatic_invitation', 'automatic_suggestion']) {
    const { id } = await createOrganizationDomain(t.ctx(), {
      organizationId,
      name: 'acme.example',
      enrollmentMode,
      verified: true,
    })
    for (const who of [nia, second.nia]) expect([await suggested(who), await invited(who)]).toEqual([[], []])
    await deleteOrganizationDomain(t.ctx(), { organizationId, domainId: id })
  }
  // Somebody's own invitation does.
  await addMember(ada.ctx(), { organizationId, userId: nia.id, role: 'org:member' })
  expect(await role(nia)).toBe('org:member')
})

test('I8 whoever was removed does not come back by a new account with the same address', async () => {
  const { t, ada, organizationId } = await withDomain('automatic_invitation')
  const join = async (who: Person) => {
    const [invitation] = await invited(who)
    return acceptInvitation(who.ctx(), { invitationId: invitation?.id ?? '', userId: who.id })
  }
  const again = async (who: Person) => {
    await deleteUser(t.ctx(), who.id)
    return invited(await person(t, who.emailAddress))
  }
  const [removed, gone] = [await person(t, 'nia@acme.example'), await person(t, 'oke@acme.example')]
  await join(removed)
  await join(gone)
  await removeMember(ada.ctx(), { organizationId, userId: removed.id })
  await removeMember(gone.ctx(), { organizationId, userId: gone.id })
  expect(await again(removed)).toEqual([])
  // Whoever left may think again.
  expect(await again(gone)).toHaveLength(1)
})

test('N4 requests that are accepted at once do not outnumber the seats', async () => {
  const { t, ada, organizationId } = await withDomain('automatic_suggestion')
  const all: string[] = []
  for (let i = 0; i < 6; i++) all.push((await asking(t, organizationId, `p${i}@acme.example`)).requestId)
  await updateOrganization(t.ctx(), { id: organizationId, maxAllowedMemberships: 4 })
  const accept = (i: number) => acceptMembershipRequest(ada.ctx(), { organizationId, requestId: all[i] ?? '' })
  expect(await outcomes(6, accept)).toEqual({ done: 2, organization_membership_quota_exceeded: 4 })
  // Who did not fit is still waiting.
  expect(await requests(t, organizationId)).toHaveLength(4)
})

test('people of a domain find an open invitation; what was taken back or is over is not taken', async () => {
  const { t, ada, bob, organizationId, role } = await withDomain('automatic_invitation')
  const [nia, oke, pia] = [
    await person(t, 'nia@acme.example'),
    await person(t, 'oke@acme.example'),
    await person(t, 'pia@acme.example'),
  ]
  const [mine] = await invited(nia)
  expect(mine).toMatchObject({ organizationId, status: 'pending', inviterUserId: null, role: { key: 'org:member' } })
  const accept = (who: Person) => acceptInvitation(who.ctx(), { invitationId: mine?.id ?? '', userId: who.id })
  expect([await outcome(accept(oke)), await outcome(accept(bob))]).toEqual(['forbidden', 'forbidden'])
  const ends = await outcomes(10, () => accept(nia))
  expect(ends.done).toBe(1)
  expect(await role(nia)).toBe('org:member')
  const [theirs] = await invited(oke)
  await revokeOrganizationInvitation(ada.ctx(), { organizationId, invitationId: theirs?.id ?? '' })
  expect(await invited(oke)).toEqual([])
  const [over] = await invited(pia)
  t.advance(31 * 24 * 3600_000)
  const late = acceptInvitation(pia.ctx(), { invitationId: over?.id ?? '', userId: pia.id })
  expect(await outcome(late)).toBe('resource_not_found')
})

test('invitations by domain take no seats, and nobody gets in beyond them', async () => {
  const { t, ada, organizationId } = await withDomain('automatic_invitation')
  await updateOrganization(t.ctx(), { id: organizationId, maxAllowedMemberships: 4 })
  const people: Person[] = []
  for (let i = 0; i < 5; i++) people.push(await person(t, `p${i}@acme.example`))
  const invite = (emailAddress: string) =>
    outcome(inviteMembers(ada.ctx(), [{ organizationId, emailAddress, role: 'org:member', publicUrl }]))
  expect(await invite('guest@example.com')).toBe('done')
  const open = await Promise.all(people.map(async (who) => ({ who, id: (await invited(who))[0]?.id ?? '' })))
  const ends = await outcomes(5, (i) => {
    const { who, id } = open[i] as { who: Person; id: string }
    return acceptInvitation(who.ctx(), { invitationId: id, userId: who.id })
  })
  expect(ends).toEqual({ done: 1, organization_membership_quota_exceeded: 4 })
  expect(await invite('another@example.com')).toBe('organization_membership_quota_exceeded')
})

test('what a domain offered can be taken back with a change of its mode, or kept', async () => {
  const { t, ada, key } = await withDomain('automatic_suggestion')
  const nia = await person(t, 'nia@acme.example')
  const change = (enrollmentMode: string, deletePending: boolean) =>
    updateOrganizationDomain(ada.ctx(), { ...key, enrollmentMode, deletePending })
  expect((await change('manual_invitation', false)).totalPendingSuggestions).toBe(1)
  expect(await suggested(nia)).toHaveLength(1)
  const now = await change('automatic_invitation', true)
  expect(now).toMatchObject({ totalPendingSuggestions: 0, totalPendingInvitations: 1 })
  expect([(await suggested(nia)).length, (await invited(nia)).length]).toEqual([0, 1])
  expect(await change('manual_invitation', true)).toMatchObject({ totalPendingInvitations: 0 })
  expect((await announced(t, /^organizationInvitation/)).map((e) => e.type).sort()).toEqual([
    'organizationInvitation.created',
    'organizationInvitation.revoked',
  ])
})

test('whoever becomes a member in another way leaves nothing open behind', async () => {
  const { t, ada, organizationId } = await withDomain('automatic_suggestion')
  const { nia } = await asking(t, organizationId)
  await addMember(ada.ctx(), { organizationId, userId: nia.id, role: 'org:admin' })
  expect([await suggested(nia), await requests(t, organizationId)]).toEqual([[], []])
  const second = await withDomain('automatic_invitation')
  const oke = await person(second.t, 'oke@acme.example')
  await addMember(second.ada.ctx(), { organizationId: second.organizationId, userId: oke.id, role: 'org:member' })
  expect(await invited(oke)).toEqual([])
})

test('twelve hundred people of a domain are brought to it together, and those of an import when they look', async () => {
  const t = await testInstance()
  const { organization, ada } = await frontiers(t)
  await allowDomains(t)
  const now = new Date()
  const stamps = { instanceId: t.ctx().instance.id, createdAt: now, updatedAt: now }
  const imported = async (from: number, to: number) => {
    const ids = Array.from({ length: to - from }, (_, i) => `user_imported${from + i}`)
    await transaction(t.ctx(), async (tx) => {
      await tx.db.insert(users).values(ids.map((id) => ({ id, ...stamps })))
      const addresses = ids.map((id) => ({ id: `idn_${id}`, userId: id, emailAddress: `${id}@acme.example` }))
      await tx.db.insert(emailAddresses).values(addresses.map((a) => ({ ...a, verifiedAt: now, ...stamps })))
    })
  }
  await imported(0, 1200)
  const domain = await createOrganizationDomain(t.ctx(), {
    organizationId: organization.id,
    name: 'acme.example',
    enrollmentMode: 'automatic_suggestion',
    verified: true,
  })
  expect(domain.totalPendingSuggestions).toBe(1200)
  await imported(1200, 1201)
  const late = await listSuggestions(ada.ctx(), { ...page, userId: 'user_imported1200' })
  expect(late.totalCount).toBe(1)
}, 60_000)

test('what is switched off for the instance brings nobody, whatever a domain chose before', async () => {
  const { t, ada, key } = await withDomain('automatic_suggestion')
  const nia = await person(t, 'nia@acme.example')
  const [suggestion] = await suggested(nia)
  const accept = () => outcome(acceptSuggestion(nia.ctx(), { suggestionId: suggestion?.id ?? '', userId: nia.id }))
  await allowDomains(t, { domains: false })
  expect([await suggested(nia), await accept()]).toEqual([[], 'organization_domains_not_enabled'])
  expect(await outcome(updateOrganizationDomain(ada.ctx(), { ...key, enrollmentMode: 'manual_invitation' }))).toBe(
    'organization_domains_not_enabled',
  )
  await allowDomains(t, { enrollmentModes: ['automatic_invitation'] })
  const oke = await person(t, 'oke@acme.example')
  expect([await suggested(oke), await invited(oke)]).toEqual([[], []])
  await allowDomains(t, { enrollmentModes: ['automatic_suggestion'] })
  expect(await suggested(oke)).toHaveLength(1)
})

test('nobody’s address is refused because an organization, a domain or a person goes at the same time', async () => {
  const { t, organizationId, key } = await withDomain('automatic_suggestion')
  const joins = async (from: number) => {
    const made: Promise<string>[] = []
    for (let i = from; i < from + 12; i++) made.push(outcome(person(t, `p${i}@acme.example`)))
    return Promise.all(made)
  }
  const arrived = Array(12).fill('done')
  const early = await Promise.all(Array.from({ length: 6 }, (_, i) => person(t, `q${i}@acme.example`)))
  // The domain changes, people are deleted, others come.
  const change = (verified: boolean) => outcome(updateOrganizationDomain(t.ctx(), { ...key, verified }))
  const [first, ...rest] = await Promise.all([
    joins(0),
    change(false).then(() => change(true)),
    ...early.map(({ id }) => outcome(deleteUser(t.ctx(), id))),
  ])
  expect([first, rest]).toEqual([arrived, Array(7).fill('done')])
  const [second, gone] = await Promise.all([joins(12), outcome(deleteOrganizationDomain(t.ctx(), key))])
  expect([second, gone]).toEqual([arrived, 'done'])
  await createOrganizationDomain(t.ctx(), {
    organizationId,
    name: 'acme.example',
    enrollmentMode: 'automatic_invitation',
    verified: true,
  })
  const [third, end] = await Promise.all([joins(24), outcome(deleteOrganization(t.ctx(), organizationId))])
  expect([third, end]).toEqual([arrived, 'done'])
}, 60_000)
