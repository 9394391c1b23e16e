import { expect, test } from 'bun:test'
import { asc, eq, sql } from 'drizzle-orm'
import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { connectOwner, type TestInstance, testInstance } from '../../testing/server.ts'
import { createPermission, createRole, createRoleSet } from '../access/index.ts'
import { createBackupCodes, useBackupCode, verifyPassword, verifyTotp } from '../credentials/index.ts'
import { passkeys, passwords } from '../credentials/tables.ts'
import { events } from '../events/tables.ts'
import { createFeature, grantFeature } from '../features/index.ts'
import {
  addGroupMember,
  addGroupRole,
  addMember,
  addMemberPermission,
  addMemberRole,
  createGroup,
  createOrganization,
  createOrganizationDomain,
  createOrganizationRole,
  deleteOrganization,
  listMemberships,
  updateOrganization,
} from '../organizations/index.ts'
import {
  createUser,
  deleteUser,
  findUserByEmail,
  findUserByUsername,
  listUsers,
  type UserRecord,
} from '../users/index.ts'
import { externalAccounts } from '../users/tables.ts'
import { exportInstance, type ImportInput, importUsers, type Reject } from './index.ts'
import { imports } from './tables.ts'

const bcrypt = '$2b$10$LAFU09mSsC2mz9jyWtkjtOqSs.2NBfQLyvUpXRHfFJxlO/UHlLw2W'

type Options = Omit<ImportInput, 'source'>

async function run(t: TestInstance, text: string, options: Options = {}) {
  const rejects: Reject[] = []
  const ctx = t.ctx({ type: 'system', job: 'import' })
  const report = await importUsers(ctx, {
    source: new Blob([text]),
    onRejects: (all) => void rejects.push(...all),
    ...options,
  })
  return { report, rejects }
}

const lines = (...records: object[]) => records.map((record) => JSON.stringify(record)).join('\n')

async function everyone(t: TestInstance): Promise<UserRecord[]> {
  return listUsers(t.ctx(), { limit: 500, offset: 0 })
}

async function exported(t: TestInstance): Promise<Record<string, unknown>[]> {
  const pieces: string[] = []
  await exportInstance(t.ctx(), { write: (lines) => void pieces.push(lines) })
  return pieces
    .join('')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
}

test('the columns of a dashboard export: identifiers, what is proven of them, and the password digest', async () => {
  const t = await testInstance()
  const { report, rejects } = await run(
    t,
    [
      'id,first_name,last_name,username,primary_email_address,primary_phone_number,verified_email_addresses,unverified_email_addresses,verified_phone_numbers,unverified_phone_numbers,totp_secret,password_digest,password_hasher',
      `user_1,Ada,"Lovelace, Countess",ada_l,Ada@Example.com,+1 415 555 2671,ada@work.example|ada@example.com,old@example.com,,,JBSWY3DPEHPK3PXPJBSWY3DP,${bcrypt},bcrypt`,
      'user_2,Bob,,,bob@example.com,,,,,,,,',
    ].join('\r\n'),
  )
  expect({ ...report, fileHash: '' }).toEqual({ position: 2, imported: 2, rejected: 0, resumedAt: 0, fileHash: '' })
  expect(rejects).toEqual([])
  const ada = await transaction(t.ctx(), (tx) => findUserByEmail(tx, 'ada@example.com'))
  expect(ada).toMatchObject({
    externalId: 'user_1',
    firstName: 'Ada',
    lastName: 'Lovelace, Countess',
    username: 'ada_l',
    passwordEnabled: true,
    totpEnabled: true,
    twoFactorEnabled: true,
  })
  expect(ada?.emailAddresses.map((e) => [e.emailAddress, e.verifiedAt !== null]).sort()).toEqual([
    ['ada@example.com', true],
    ['ada@work.example', true],
    ['old@example.com', false],
  ])
  expect(ada?.emailAddresses.find((e) => e.id === ada.primaryEmailAddressId)?.emailAddress).toBe('ada@example.com')
  expect(ada?.phoneNumbers.map((p) => p.phoneNumber)).toEqual(['+14155552671'])
})

test("records of the vendor's migration files and of its server API are understood", async () => {
  const t = await testInstance()
  const { rejects } = await run(
    t,
    JSON.stringify([
      {
        userId: 'u1',
        email: 'a@example.com',
        firstName: 'A',
        passwordHasher: 'bcrypt',
        password: bcrypt,
        publicMetadata: { a: 1 },
      },
      { userId: 'u2', email: ['b@example.com', 'c@example.com'], password: 'correct horse battery' },
      {
        id: 'user_29w83sxmDNGwOuEthce5gg56FcC',
        primary_email_address_id: 'idn_2',
        email_addresses: [
          { id: 'idn_1', email_address: 'd@example.com', verification: { status: 'unverified' } },
          { id: 'idn_2', email_address: 'e@example.com', verification: { status: 'verified' } },
        ],
        created_at: 1700000000000,
        banned: true,
      },
    ]),
  )
  expect(rejects).toEqual([])
  const users = new Map((await everyone(t)).map((user) => [user.externalId, user]))
  expect(users.get('u1')).toMatchObject({ firstName: 'A', passwordEnabled: true, publicMetadata: { a: 1 } })
  expect(users.get('u2')?.emailAddresses).toHaveLength(2)
  const third = users.get('user_29w83sxmDNGwOuEthce5gg56FcC')
  expect(third).toMatchObject({ banned: true, createdAt: new Date(1700000000000) })
  expect(third?.emailAddresses.find((e) => e.id === third.primaryEmailAddressId)?.emailAddress).toBe('e@example.com')
})

test('an imported password signs in as it is, and is hashed anew by that', async () => {
  const t = await testInstance()
  const password = 'correct horse battery'
  const digest = await Bun.password.hash(password, { algorithm: 'bcrypt', cost: 4 })
  await run(t, lines({ email: 'ada@example.com', password_digest: digest, password_hasher: 'bcrypt' }))
  const [ada] = await everyone(t)
  const userId = ada?.id ?? ''
  const kept = () => transaction(t.ctx(), (tx) => tx.db.select().from(passwords).where(eq(passwords.userId, userId)))
  expect(await kept()).toMatchObject([{ hasher: 'bcrypt', hash: digest }])
  expect(await verifyPassword(t.ctx(), { userId, password: 'another one' })).toBe(false)
  expect(await verifyPassword(t.ctx(), { userId, password })).toBe(true)
  expect(await kept()).toMatchObject([{ hasher: 'argon2id' }])
  expect(await verifyPassword(t.ctx(), { userId, password })).toBe(true)
})

test('what is refused is said by line, without the value, and the rest is imported', async () => {
  const t = await testInstance()
  await createUser(t.ctx(), { emailAddresses: [{ emailAddress: 'taken@example.com', verifiedBy: 'admin' }] })
  const text = lines(
    { email: 'taken@example.com' },
    { email: 'not an address' },
    { email: 'a@example.com', username: 'somebody' },
    { email: 'a@example.com' },
    { email: 'b@example.com', username: 'Somebody' },
    { email: 'c@example.com', passwordHasher: 'rot13', password: 'secret-digest' },
    { email: 'd@example.com', passwordHasher: 'bcrypt', password: 'secret-digest' },
    { first_name: 'Nobody' },
    { email: 'e@example.com', public_metadata: { big: 'x'.repeat(9000) } },
    { email: 'f@example.com', organization_memberships: [{ organization: 'nowhere' }] },
    { email: 'g@example.com', totp_secret: 'short' },
    { email: 'h@example.com', created_at: 'yesterday' },
    { email: 'i@example.com' },
  )
  const expected = [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12]
  const dry = await run(t, text, { dryRun: true, batchSize: 3 })
  expect(dry.rejects.map((reject) => reject.line)).toEqual(expected)
  expect(await everyone(t)).toHaveLength(1)
  const { report, rejects } = await run(t, text, { batchSize: 3 })
  expect(rejects.map((reject) => reject.line)).toEqual(expected)
  expect(rejects).toEqual(dry.rejects)
  expect(report).toMatchObject({ position: 13, imported: 2, rejected: 11 })
  expect(JSON.stringify(rejects)).not.toContain('secret-digest')
  expect(rejects[0]?.reason).toContain('email address is taken')
  expect(rejects[3]?.reason).toContain('username')
})

test('an import that is stopped goes on behind its last batch, and a finished one does nothing', async () => {
  const t = await testInstance()
  const text = lines(...Array.from({ length: 95 }, (_, i) => ({ id: `e${i}`, email: `p${i}@example.com` })))
  const stop = new Error('stopped')
  const stopped = run(t, text, {
    batchSize: 10,
    onProgress: ({ position }) => {
      if (position >= 40) throw stop
    },
  })
  await expect(stopped).rejects.toBe(stop)
  expect(await everyone(t)).toHaveLength(40)
  const { report } = await run(t, text, { batchSize: 10 })
  expect(report).toMatchObject({ position: 95, imported: 95, resumedAt: 40 })
  expect(new Set((await everyone(t)).map((user) => user.externalId)).size).toBe(95)
  expect((await run(t, text)).report).toMatchObject({ position: 95, resumedAt: 95 })
  expect((await run(t, text, { again: true })).report).toMatchObject({ imported: 0, rejected: 95, resumedAt: 0 })
  expect(await everyone(t)).toHaveLength(95)
})

test('a file that is broken in its middle is imported up to there, and the error says where', async () => {
  const t = await testInstance()
  const text = `email\n${Array.from({ length: 20 }, (_, i) => `p${i}@example.com\n`).join('')}x"y@example.com\n`
  await expect(run(t, text, { batchSize: 5 })).rejects.toMatchObject({ code: 'request_body_invalid' })
  const known = await everyone(t)
  expect(known.length % 5).toBe(0)
  const mended = await run(t, text.replace('"', '_'), { batchSize: 5 })
  expect(mended.report).toMatchObject({ imported: 21 - known.length, rejected: known.length })
})

test('of two runs of one file at once, each record is imported by one', async () => {
  const t = await testInstance()
  const text = lines(...Array.from({ length: 60 }, (_, i) => ({ email: `p${i}@example.com` })))
  const runs = await Promise.allSettled([run(t, text, { batchSize: 7 }), run(t, text, { batchSize: 7 })])
  for (const outcome of runs)
    if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'conflict' })
  await run(t, text)
  expect(await everyone(t)).toHaveLength(60)
  const [row] = await transaction(t.ctx(), (tx) => tx.db.select().from(imports))
  expect(row).toMatchObject({ position: 60, imported: 60, rejected: 0 })
})

test('people come into organizations with their roles, as long as there are seats', async () => {
  const t = await testInstance()
  const acme = await createOrganization(t.ctx(), { name: 'Acme', slug: 'acme', maxAllowedMemberships: 2 })
  const seat = (role: string) => [{ organization: 'acme', role }]
  const { rejects } = await run(
    t,
    lines(
      { email: 'a@example.com', organization_memberships: seat('org:admin') },
      { email: 'b@example.com', organizations: [{ organization: acme.id, role: 'captain' }] },
      { email: 'c@example.com', organizations: [{ organization: acme.id, role: 'member' }] },
      { email: 'd@example.com', organization_memberships: seat('org:member') },
    ),
  )
  expect(rejects.map(({ line, reason }) => [line, reason])).toEqual([
    [2, 'there is no role captain'],
    [4, 'the organization acme is full'],
  ])
  const { data } = await listMemberships(t.ctx(), { organizationId: acme.id, limit: 10, offset: 0 } as never)
  expect(data.map((m) => m.role.key).sort()).toEqual(['org:admin', 'org:member'])
})

test('each user is announced, unless that is not wanted', async () => {
  const t = await testInstance()
  const text = lines(
    { object: 'organization', name: 'Acme', slug: 'acme' },
    { email: 'a@example.com', organizations: [{ organization: 'acme' }] },
  )
  await run(t, text)
  const seen = await transaction(t.ctx(), (tx) => tx.db.select().from(events).orderBy(asc(events.id)))
  expect(seen.map((event) => event.type).slice(-3)).toEqual([
    'organization.created',
    'user.created',
    'organizationMembership.created',
  ])
  const quiet = await testInstance()
  await run(quiet, text, { events: false })
  const told = await transaction(quiet.ctx(), (tx) => tx.db.select().from(events))
  expect(told.filter((event) => !event.type.startsWith('instance.'))).toEqual([])
})

/** An instance in which somebody has everything that one can have. */
async function furnished() {
  const t = await testInstance()
  const ctx = t.ctx()
  await createPermission(ctx, { key: 'org:tasks:write', name: 'Write tasks', description: '' })
  await createRole(ctx, {
    key: 'org:captain',
    name: 'Captain',
    description: 'Leads',
    permissions: ['org:tasks:write'],
  } as never)
  await run(
    t,
    lines(
      {
        external_id: 'ada',
        username: 'ada_l',
        first_name: 'Ada',
        locale: 'en-GB',
        email_addresses: ['ada@example.com', { email_address: 'new@example.com', verified_at: null }],
        phone_numbers: [
          { phone_number: '+14155552671', reserved_for_second_factor: true, default_second_factor: true },
        ],
        password_digest: bcrypt,
        password_hasher: 'bcrypt',
        totp_secret: 'JBSWY3DPEHPK3PXPJBSWY3DP',
        external_accounts: [{ provider: 'oauth_google', provider_user_id: 'g-1', email_address: 'ada@gmail.com' }],
        passkeys: [
          { name: 'Phone', credential_id: 'Y3JlZA', public_key: 'a2V5', sign_count: 3, transports: ['internal'] },
        ],
        public_metadata: { plan: 'pro' },
        private_metadata: { note: 'ü' },
        unsafe_metadata: { theme: 'dark' },
        create_organizations_limit: 3,
        legal_accepted_at: '2026-01-02T03:04:05.678Z',
      },
      { email: 'bob@example.com', external_id: 'bob' },
    ),
  )
  const all = await everyone(t)
  const id = all.find((user) => user.externalId === 'ada')?.id ?? ''
  const bob = all.find((user) => user.externalId === 'bob')?.id ?? ''
  const acme = await createOrganization(ctx, { name: 'Acme', slug: 'acme', createdBy: id, publicMetadata: { a: 1 } })
  await addMember(ctx, {
    organizationId: acme.id,
    userId: bob,
    role: 'org:captain',
  } as never)
  await furnishAccess(ctx, { organizationId: acme.id, userId: bob })
  await t.server.runtime.instances.changeSettings(ctx.instance.id, { organizations: { domains: true } })
  const domain = { organizationId: acme.id, enrollmentMode: 'automatic_suggestion' }
  await createOrganizationDomain(t.ctx(), { ...domain, name: 'acme.example', verified: true })
  await createOrganizationDomain(t.ctx(), { ...domain, name: 'claimed.example' })
  const codes = await createBackupCodes(ctx, { userId: id })
  return { t, id, acme, codes: codes.codes }
}

/** Everything that a member can have in an organization, and it for itself. */
async function furnishAccess(ctx: Ctx, member: { organizationId: string; userId: string }) {
  const { organizationId, userId } = member
  await createRole(ctx, { key: 'org:apart', name: 'Apart', inInitialRoleSet: false })
  await createRoleSet(ctx, {
    key: 'role_set:crews',
    name: 'Crews',
    roles: ['org:admin', 'org:member', 'org:captain'],
    defaultRole: 'org:member',
    creatorRole: 'org:admin',
  })
  await updateOrganization(ctx, { id: organizationId, roleSet: 'role_set:crews' })
  await createFeature(ctx, { slug: 'tasks', name: 'Tasks', defaultFor: 'organizations' })
  await createFeature(ctx, { slug: 'extra', name: 'Extra', description: 'More', enabled: false })
  await grantFeature(ctx, { holder: { organizationId }, feature: 'extra', enabled: true })
  await grantFeature(ctx, { holder: { organizationId }, feature: 'tasks', enabled: false })
  await grantFeature(ctx, { holder: { userId }, feature: 'extra', enabled: true })
  const own = { organizationId, key: 'cook', name: 'Cook', permissions: ['org:tasks:write'] }
  await createOrganizationRole(ctx, own)
  const { id: groupId } = await createGroup(ctx, { organizationId, name: 'Galley', description: 'Below' })
  await addGroupRole(ctx, { organizationId, groupId, role: 'org:org_cook' })
  await addGroupMember(ctx, { organizationId, groupId, userId })
  await addMemberRole(ctx, { ...member, role: 'org:org_cook', primary: true })
  await addMemberRole(ctx, { ...member, role: 'org:admin' })
  await addMemberPermission(ctx, { ...member, permission: 'org:tasks:write' })
}

test('an export imported again with its ids is the same, and every factor still works', async () => {
  const { t, id, acme, codes } = await furnished()
  const before = await exported(t)
  for (const user of await everyone(t)) await deleteUser(t.ctx(), user.id)
  await deleteOrganization(t.ctx(), acme.id)
  expect(await everyone(t)).toEqual([])
  const { rejects } = await run(t, lines(...before), { keepIds: true })
  expect(rejects).toEqual([])
  const after = await exported(t)
  expect(after.slice(1)).toEqual(before.slice(1))
  const bob = before.find((line) => line.external_id === 'bob')
  expect(bob).toMatchObject({
    features: { extra: true },
    organization_memberships: [
      {
        role: 'org:org_cook',
        roles: [{ role: 'org:admin' }, { role: 'org:captain' }],
        permissions: [{ permission: 'org:tasks:write', source: 'direct' }],
        groups: [{ group: 'Galley' }],
      },
    ],
  })
  expect(before.find((line) => line.object === 'organization')).toMatchObject({
    role_set: 'role_set:crews',
    roles: [{ key: 'org:org_cook', permissions: ['org:tasks:write'] }],
    groups: [{ name: 'Galley', roles: ['org:org_cook'] }],
    features: { extra: true, tasks: false },
    domains: [
      { name: 'acme.example', enrollment_mode: 'automatic_suggestion', affiliation_strategy: 'admin' },
      { name: 'claimed.example', affiliation_verified_at: null, ownership_verified_at: null },
    ],
  })
  await transaction(t.ctx(), async (tx) => {
    expect(await useBackupCode(tx, { userId: id, code: codes[3] })).toBe(true)
    expect(await verifyTotp(tx, { userId: id, code: '000000' })).toBe(false)
    expect(await tx.db.select().from(passkeys).where(eq(passkeys.userId, id))).toHaveLength(1)
    expect(await tx.db.select().from(externalAccounts).where(eq(externalAccounts.provider, 'google'))).toHaveLength(1)
  })
})

test('a domain that an organization cannot have is told, and the rest of it is imported', async () => {
  const t = await testInstance()
  const line = (slug: string, ...names: string[]) => ({
    object: 'organization',
    name: slug,
    slug,
    domains: names.map((name) => ({ name, affiliation_strategy: 'admin', affiliation_verified_at: 1 })),
  })
  const { rejects } = await run(t, lines(line('one', 'a.example'), line('two', 'a.example', 'gmail.com', 'b.example')))
  expect(JSON.stringify(rejects)).toContain('a.example, gmail.com')
  const two = (await exported(t)).find((record) => record.slug === 'two')
  expect(two).toMatchObject({ domains: [{ name: 'b.example' }] })
})

test('an export imported into another instance is the same but for the ids', async () => {
  const { t } = await furnished()
  const other = await testInstance()
  const before = await exported(t)
  const { rejects } = await run(other, lines(...before))
  expect(rejects).toEqual([])
  const plain = (records: Record<string, unknown>[]) =>
    records
      .slice(1)
      .map((record) =>
        JSON.stringify({ ...record, created_by: null, backup_codes: [] }).replace(/"id":"[^"]*"/g, '"id":""'),
      )
      .sort()
  expect(plain(await exported(other))).toEqual(plain(before))
})

test('among thousands one is found by each identifier through an index, under row-level security too', async () => {
  const t = await testInstance()
  await run(
    t,
    lines(...Array.from({ length: 4000 }, (_, i) => ({ email: `p${i}@example.com`, username: `Person_${i}` }))),
  )
  expect((await findUserByUsername(t.ctx(), 'pERSON_77'))?.username).toBe('Person_77')
  await analyze(t)
  await transaction(t.ctx(), async (tx) => {
    const planOf = async (query: string) => JSON.stringify(await tx.db.execute(sql.raw(`explain ${query}`)))
    const byName = await planOf(`select id from users where username_key = 'person_77'`)
    const byAddress = await planOf(`select id from email_addresses where email_address = 'p77@example.com'`)
    for (const plan of [byName, byAddress]) expect(plan).toMatch(/Index Cond[^}]*(username_key|email_address) = /)
  })
}, 60_000)

/** What the database does by itself after a while: it plans by what it knows of the tables. Only their owner may. */
async function analyze(t: TestInstance): Promise<void> {
  const owner = connectOwner(t)
  await owner.unsafe('analyze users, email_addresses')
  await owner.close()
}

test('I22 no key of a role or permission that is imported reads as several, or as a role of the instance', async () => {
  const t = await testInstance()
  const organization = (slug: string, ...keys: string[]) => ({
    object: 'organization',
    name: slug,
    slug,
    roles: keys.map((key) => ({ key, name: 'Admin' })),
  })
  const bad = lines(
    { object: 'permission', key: 'org:tasks:read,delete', name: 'Read, delete' },
    { object: 'permission', key: 'org:tasks:read org:tasks:delete', name: 'Read' },
    { object: 'permission', key: 'org:sys_everything:manage', name: 'The system’s' },
    { object: 'role', key: 'org:member,org:admin', name: 'Member' },
    { object: 'role', key: 'member', name: 'Member' },
    organization('one', 'org:admin'),
    organization('two', 'org:org_cook,org:admin'),
  )
  const { rejects } = await run(t, `${bad}\n${JSON.stringify(organization('three', 'org:org_cook'))}`)
  expect(rejects).toHaveLength(7)
  const left = (await exported(t)).flatMap(({ object, slug, key }) =>
    object === 'organization' || object === 'role' || object === 'permission' ? [slug ?? key] : [],
  )
  expect(left.sort()).toEqual(['org:admin', 'org:member', 'three'])
})
