import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createDns } from '../../kernel/dns.ts'
import { startDns, type TestDns } from '../../testing/dns.ts'
import { testInstance } from '../../testing/server.ts'
import { listMessages } from '../messaging/index.ts'
import {
  attemptAffiliation,
  attemptOwnership,
  createOrganization,
  createOrganizationDomain,
  getDomain,
  prepareAffiliation,
  prepareOwnership,
  recordNameOf,
  updateOrganizationDomain,
} from './index.ts'
import { allowDomains, frontiers, outcome, type Person, person } from './testing.ts'

let dns: TestDns
beforeAll(async () => {
  dns = await startDns()
})
afterAll(() => dns.close())

/** An organization whose caller's questions go to the test's own name server. */
async function withRecords() {
  const t = await testInstance()
  const people = await frontiers(t)
  await allowDomains(t)
  const organizationId = people.organization.id
  const asking = (by: Person) => ({ ...by.ctx(), dns: createDns([dns.address]) })
  const claim = async (name: string, by = people.ada, organization = organizationId) =>
    (await createOrganizationDomain(by.ctx(), { organizationId: organization, name })).id
  const value = async (domainId: string, by = people.ada, organization = organizationId) => {
    const { data } = await prepareOwnership(by.ctx(), { organizationId: organization, domainIds: [domainId] })
    return data[0]?.ownershipRecordValue ?? ''
  }
  const attempt = async (...domainIds: string[]) => {
    const { data, errors } = await attemptOwnership(asking(people.ada), { organizationId, domainIds })
    return { verified: data.map((d) => d.name), errors: errors.map((e) => e.code) }
  }
  return { t, ...people, organizationId, asking, claim, value, attempt }
}

let made = 0
const freshName = () => `zone${made++}.example`

test('a record in the zone proves a domain, whatever else is published there', async () => {
  const { claim, value, attempt } = await withRecords()
  const [name, other] = [freshName(), freshName()]
  const [first, second] = [await claim(name), await claim(other)]
  expect(await attempt(first)).toEqual({ verified: [], errors: ['verification_failed'] })
  const expected = await value(first)
  expect(expected).toMatch(/^usher-verification=\w{32}$/)
  // Asked for again, it is the same: the record that was published meanwhile stays good.
  expect(await value(first)).toBe(expected)
  expect(await attempt(first)).toEqual({ verified: [], errors: ['verification_failed'] })
  const record = recordNameOf({ name })
  for (const wrong of [expected.slice(0, -1), `${expected}x`, expected.toUpperCase(), '', `"${expected}"`]) {
    dns.records.set(record, [[wrong]])
    expect(await attempt(first)).toEqual({ verified: [], errors: ['verification_failed'] })
  }
  dns.records.set(record, [['v=spf1 -all'], [expected], ['more']])
  const theirs = await value(second)
  dns.records.set(recordNameOf({ name: other }), [[expected]])
  // One is right, the other has the value of the first: each on its own.
  expect(await attempt(first, second)).toEqual({ verified: [name], errors: ['verification_failed'] })
  dns.records.set(recordNameOf({ name: other }), [[theirs]])
  expect(await attempt(first, second)).toEqual({ verified: [other], errors: ['verification_already_verified'] })
})

test('a name server that says nothing is no proof, and neither is a record that came too late', async () => {
  const { t, claim, value, attempt, ada, organizationId } = await withRecords()
  const name = freshName()
  const domainId = await claim(name)
  const expected = await value(domainId)
  dns.records.set(recordNameOf({ name }), [[expected]])
  dns.silent = true
  const away = attempt(domainId)
  expect(await away.finally(() => (dns.silent = false))).toEqual({ verified: [], errors: ['unavailable'] })
  t.advance(31 * 24 * 3600_000)
  expect(await attempt(domainId)).toEqual({ verified: [], errors: ['verification_expired'] })
  const next = await value(domainId)
  expect(next).not.toBe(expected)
  dns.records.set(recordNameOf({ name }), [[next]])
  expect(await attempt(domainId)).toEqual({ verified: [name], errors: [] })
  expect((await getDomain(ada.ctx(), { organizationId, domainId })).ownershipVerifiedAt).toBeInstanceOf(Date)
}, 60_000)

test('I7 the record of one organization proves nothing for another, and nobody asks for domains of others', async () => {
  const { ada, bob, eve, organizationId, asking, claim, value, attempt } = await withRecords()
  const theirs = await createOrganization(eve.ctx(), { name: 'Theirs' })
  const name = freshName()
  const [mine, hers] = [await claim(name), await claim(name, eve, theirs.id)]
  const [expected, other] = [await value(mine), await value(hers, eve, theirs.id)]
  expect(expected).not.toBe(other)
  dns.records.set(recordNameOf({ name }), [[expected]])
  const asEve = await attemptOwnership(asking(eve), { organizationId: theirs.id, domainIds: [hers, mine] })
  expect(asEve.data).toEqual([])
  expect(asEve.errors.map((e) => e.code).sort()).toEqual(['resource_not_found', 'verification_failed'])
  const input = { organizationId, domainIds: [mine] }
  for (const call of [prepareOwnership, attemptOwnership]) {
    expect(await outcome(call(asking(bob), input))).toBe('forbidden')
    expect(await outcome(call(asking(eve), input))).toBe('organization_not_found_or_unauthorized')
  }
  expect(await outcome(prepareOwnership(ada.ctx(), { organizationId, domainIds: Array(21).fill(mine) }))).toBe(
    'form_param_value_invalid',
  )
  expect(await attempt(mine)).toEqual({ verified: [name], errors: [] })
  // The second record is published as well: the domain has its organization by now.
  dns.records.set(recordNameOf({ name }), [[other]])
  const late = await attemptOwnership(asking(eve), { organizationId: theirs.id, domainIds: [hers] })
  expect(late.errors).toEqual([{ id: hers, code: 'organization_domain_taken' }])
})

test('whoever asks for the value of a record at once with others is told the same', async () => {
  const { claim, value } = await withRecords()
  const domainId = await claim(freshName())
  const values = await Promise.all(Array.from({ length: 10 }, () => value(domainId)))
  expect(new Set(values).size).toBe(1)
})

test('of twenty who look a record up at once one verifies the domain, and only so many look', async () => {
  const { t, claim, value, attempt, ada, organizationId } = await withRecords()
  const name = freshName()
  const domainId = await claim(name)
  dns.records.set(recordNameOf({ name }), [[await value(domainId)]])
  const all = await Promise.all(Array.from({ length: 20 }, () => attempt(domainId)))
  expect(all.filter(({ errors }) => errors.length === 0)).toHaveLength(1)
  const second = freshName()
  const wrong = await claim(second)
  await value(wrong)
  const ends = await Promise.all(Array.from({ length: 20 }, () => outcome(attempt(wrong))))
  expect(new Set(ends)).toEqual(new Set(['done', 'too_many_requests']))
  expect(dns.asked.filter((asked) => asked === recordNameOf({ name: second })).length).toBeLessThan(20)
  t.advance(61_000)
  expect(await attempt(wrong)).toEqual({ verified: [], errors: ['verification_failed'] })
  expect((await getDomain(ada.ctx(), { organizationId, domainId: wrong })).ownershipAttempts).toBeGreaterThan(0)
})

test('whoever controls the zone goes before whoever has a mailbox in it, and not before the application’s word', async () => {
  const { t, eve, claim, value, attempt } = await withRecords()
  const theirs = (await createOrganization(eve.ctx(), { name: 'Theirs' })).id
  const proveBy = async (name: string, way: 'mailbox' | 'word' | 'zone') => {
    const key = { organizationId: theirs, domainId: await claim(name, eve, theirs) }
    if (way === 'word') await updateOrganizationDomain(t.ctx(), { ...key, verified: true })
    if (way === 'zone') {
      dns.records.set(recordNameOf({ name }), [[await value(key.domainId, eve, theirs)]])
      await attemptOwnership({ ...eve.ctx(), dns: createDns([dns.address]) }, { ...key, domainIds: [key.domainId] })
    }
    if (way === 'mailbox') {
      await prepareAffiliation(eve.ctx(), { ...key, emailAddress: `e@${name}` })
      const [mail] = await listMessages(t.ctx(), { to: `e@${name}`, limit: 1 })
      await attemptAffiliation(eve.ctx(), { ...key, code: mail?.text.match(/\b\d{6}\b/)?.[0] })
    }
    await updateOrganizationDomain(t.ctx(), { ...key, enrollmentMode: 'automatic_suggestion' })
    return key
  }
  for (const way of ['word', 'zone'] as const) {
    const name = freshName()
    await proveBy(name, way)
    const mine = await claim(name)
    dns.records.set(recordNameOf({ name }), [[await value(mine)]])
    expect([way, await attempt(mine)]).toEqual([way, { verified: [], errors: ['organization_domain_taken'] }])
  }
  const name = freshName()
  const key = await proveBy(name, 'mailbox')
  await person(t, `nia@${name}`)
  expect((await getDomain(t.ctx(), key)).totalPendingSuggestions).toBe(1)
  const mine = await claim(name)
  dns.records.set(recordNameOf({ name }), [[await value(mine)]])
  expect(await attempt(mine)).toEqual({ verified: [name], errors: [] })
  expect(await getDomain(t.ctx(), key)).toMatchObject({ affiliationVerifiedAt: null, totalPendingSuggestions: 0 })
  // And the mailbox does not take it back.
  const again = prepareAffiliation(eve.ctx(), { ...key, emailAddress: `e@${name}` })
  expect(await outcome(again)).toBe('done')
  const [mail] = await listMessages(t.ctx(), { to: `e@${name}`, limit: 1 })
  const code = mail?.text.match(/\b\d{6}\b/)?.[0]
  expect(await outcome(attemptAffiliation(eve.ctx(), { ...key, code }))).toBe('organization_domain_taken')
})
