import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createDns } from '../../kernel/dns.ts'
import { startDns, type TestDns } from '../../testing/dns.ts'
import { testInstance } from '../../testing/server.ts'
import {
  attemptOwnership,
  createOrganization,
  createOrganizationDomain,
  getDomain,
  prepareOwnership,
  recordNameOf,
} from './index.ts'
import { allowDomains, frontiers, outcome, type Person } from './testing.ts'

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
}, 30_000)

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
