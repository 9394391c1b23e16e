import { and, eq, isNotNull, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { askedTogether, prepared, type Tx, textArray, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { imageUrlOf } from '../../kernel/image-url.ts'
import { emailAddresses, externalAccounts, phoneNumbers, users } from './tables.ts'

export type User = typeof users.$inferSelect
export type EmailAddress = typeof emailAddresses.$inferSelect
export type PhoneNumber = typeof phoneNumbers.$inferSelect
export type ExternalAccount = typeof externalAccounts.$inferSelect

/** What a list of somebody's passkeys shows. Times in milliseconds since 1970. */
export type PasskeySummary = {
  id: string
  name: string
  lastUsedAt: number | null
  verifiedAt: number
  createdAt: number
  updatedAt: number
}

/** A user with everything that describes them. */
export type UserRecord = User & {
  /** Where the profile image is served; null: there is none. */
  imageUrl: string | null
  emailAddresses: EmailAddress[]
  phoneNumbers: PhoneNumber[]
  externalAccounts: ExternalAccount[]
  /** Those that were registered to the end. */
  passkeys: PasskeySummary[]
  passwordEnabled: boolean
  passwordUpdatedAt: Date | null
  /** An operator said that the password is known to others: it signs nobody in until it is changed. */
  passwordCompromised: boolean
  totpEnabled: boolean
  /** Whether an unused backup code is left. */
  backupCodeEnabled: boolean
  /** Whether there is an authenticator or a phone number that takes second-factor codes. */
  twoFactorEnabled: boolean
  /** Slugs of the features that the person has for themselves. */
  features: string[]
  /** Whether they are in any organization. */
  hasMemberships: boolean
}

/**
 * Reads users with their addresses, numbers, accounts and factors, in two to four queries however many they are: what
 * most people lack is not asked for. Unknown ids are left out.
 */
export async function findUsers(ctx: Ctx | Tx, ids: readonly string[]): Promise<UserRecord[]> {
  if (ids.length === 0) return []
  const users = await transaction(ctx, (tx) => readUsers(tx, byIds, { ids: textArray(ids) }))
  const byId = new Map(users.map((user) => [user.id, user]))
  return ids.flatMap((id) => byId.get(id) ?? [])
}

/** Reads the users whom a condition names. */
async function readUsers(tx: Tx, readers: Readers, values: Record<string, string>): Promise<UserRecord[]> {
  const [rows, addresses] = await Promise.all([readers.users(tx, values), readers.addresses(tx, values)])
  const [numbers, accounts] = await Promise.all([
    rows.some((r) => r.hasPhoneNumbers) ? readers.numbers(tx, values) : [],
    rows.some((r) => r.hasExternalAccounts) ? readers.accounts(tx, values) : [],
  ])
  const byId = new Map(
    rows.map(({ user, passwordUpdatedAt, passkeys, features, hasPhoneNumbers: _, hasExternalAccounts: __, ...row }) => {
      const record: UserRecord = {
        ...user,
        ...row,
        imageUrl: imageUrlOf(tx, user.imageId),
        passwordEnabled: passwordUpdatedAt !== null,
        passwordUpdatedAt: passwordUpdatedAt === null ? null : new Date(Number(passwordUpdatedAt)),
        passkeys: typeof passkeys === 'string' ? JSON.parse(passkeys) : (passkeys ?? []),
        features: typeof features === 'string' ? JSON.parse(features) : (features ?? []),
        twoFactorEnabled: row.totpEnabled,
        emailAddresses: [],
        phoneNumbers: [],
        externalAccounts: [],
      }
      return [user.id, record]
    }),
  )
  for (const address of addresses) byId.get(address.userId)?.emailAddresses.push(address)
  for (const account of accounts) byId.get(account.userId)?.externalAccounts.push(account)
  for (const number of numbers) {
    const user = byId.get(number.userId)
    user?.phoneNumbers.push(number)
    if (user && number.reservedForSecondFactor && number.verifiedAt) user.twoFactorEnabled = true
  }
  return [...byId.values()]
}

const milliseconds = (column: string) => `(extract(epoch from ${column}) * 1000)::bigint`

/**
 * What other domains' tables say about a user: read here in the same query, as this domain's are. Not by `exists`, which
 * the planner may turn into a hash of the whole table once a page of users is long.
 */
const factors = {
  passwordUpdatedAt: sql<string | null>`(select ${sql.raw(milliseconds('p.updated_at'))} from passwords p
    where p.user_id = users.id)`,
  passwordCompromised: sql<boolean>`coalesce((select true from passwords p where p.user_id = users.id and p.compromised_at is not null limit 1), false)`,
  totpEnabled: sql<boolean>`coalesce((select true from totps t where t.user_id = users.id and t.verified_at is not null limit 1), false)`,
  backupCodeEnabled: sql<boolean>`coalesce((select true from backup_codes b where b.user_id = users.id and b.used_at is null limit 1), false)`,
  hasPhoneNumbers: sql<boolean>`coalesce((select true from phone_numbers n where n.user_id = users.id limit 1), false)`,
  hasMemberships: sql<boolean>`coalesce((select true from memberships m where m.user_id = users.id limit 1), false)`,
  hasExternalAccounts: sql<boolean>`coalesce((select true from external_accounts x where x.user_id = users.id limit 1), false)`,
  passkeys: sql<PasskeySummary[] | string | null>`(select json_agg(json_build_object('id', k.id, 'name', k.name,
      'lastUsedAt', ${sql.raw(milliseconds('k.last_used_at'))}, 'verifiedAt', ${sql.raw(milliseconds('k.verified_at'))},
      'createdAt', ${sql.raw(milliseconds('k.created_at'))}, 'updatedAt', ${sql.raw(milliseconds('k.updated_at'))})
      order by k.created_at, k.id)
    from passkeys k where k.user_id = users.id and k.verified_at is not null)`,
  // As `featureStatesOf` has it; that domain stands above this one.
  features: sql<string[] | string | null>`(select json_agg(f.slug order by f.slug) from features f
    where f.enabled and coalesce((select fg.enabled from feature_grants fg
      where fg.feature_id = f.id and fg.user_id = users.id order by fg.source limit 1), f.default_for in ('everyone', 'users')))`,
}

/** Where it is kept what names somebody: the name, whose it is, and whether they have proven it. In lower case, or E.164. */
export const provenNames = {
  email_address: {
    table: emailAddresses,
    name: emailAddresses.emailAddress,
    userId: emailAddresses.userId,
    isProven: isNotNull(emailAddresses.verifiedAt),
  },
  phone_number: {
    table: phoneNumbers,
    name: phoneNumbers.phoneNumber,
    userId: phoneNumbers.userId,
    isProven: isNotNull(phoneNumbers.verifiedAt),
  },
  username: { table: users, name: users.usernameKey, userId: users.id, isProven: isNotNull(users.usernameKey) },
}

/** That somebody has proven one of several names: for prepared queries, which take them as the array `values`. */
export const isProvenBy = (kind: Identifier['kind']): SQL =>
  sql`${provenNames[kind].name} = any(${sql.placeholder('values')}::text[]) and ${provenNames[kind].isProven}`

/**
 * That a column holds the id of one of them. Found first, and then looked for by their ids: not by a join, for which the
 * planner might read a whole table.
 */
const isNamedBy = (kind: Identifier['kind']) => (column: PgColumn) => {
  const { table, userId } = provenNames[kind]
  return sql`${column} = any(array(select ${userId} from ${table} where ${isProvenBy(kind)}))`
}

/** What names a person, of each kind, as {@link provenNames} has it. */
const namesOf: Record<Identifier['kind'], (user: UserRecord) => (string | null)[]> = {
  email_address: (user) => user.emailAddresses.map((e) => (e.verifiedAt ? e.emailAddress : null)),
  phone_number: (user) => user.phoneNumbers.map((n) => (n.verifiedAt ? n.phoneNumber : null)),
  username: (user) => [user.usernameKey],
}

/** @param named says of a column with a user's id which ones are meant */
const readersOf = (named: (userId: PgColumn) => SQL) => ({
  users: prepared((db) =>
    db
      .select({ user: users, ...factors })
      .from(users)
      .where(named(users.id)),
  ),
  addresses: prepared((db) =>
    db
      .select()
      .from(emailAddresses)
      .where(named(emailAddresses.userId))
      .orderBy(emailAddresses.createdAt, emailAddresses.id),
  ),
  numbers: prepared((db) =>
    db.select().from(phoneNumbers).where(named(phoneNumbers.userId)).orderBy(phoneNumbers.createdAt, phoneNumbers.id),
  ),
  accounts: prepared((db) =>
    db
      .select()
      .from(externalAccounts)
      .where(named(externalAccounts.userId))
      .orderBy(externalAccounts.createdAt, externalAccounts.id),
  ),
})
type Readers = ReturnType<typeof readersOf>

const byIds = readersOf((userId) => sql`${userId} = any(${sql.placeholder('ids')}::text[])`)
// Whom an identifier names is asked within the same statements: they travel together.
const findBy = (kind: Identifier['kind']) => {
  const readers = readersOf(isNamedBy(kind))
  return askedTogether<string, UserRecord | undefined>(async (tx, values) => {
    const found = await readUsers(tx, readers, { values: textArray(values) })
    return values.map((value) => found.find((user) => namesOf[kind](user).includes(value)))
  })
}
const findNamed = {
  email_address: findBy('email_address'),
  phone_number: findBy('phone_number'),
  username: findBy('username'),
}

/** @throws {UsherError} `resource_not_found` */
export async function getUser(ctx: Ctx | Tx, id: string): Promise<UserRecord> {
  const [user] = await findUsers(ctx, [id])
  if (!user) throw new UsherError('resource_not_found', 'There is no such user.')
  return user
}

/** The user who has proven an address; an unproven claim finds nobody. */
export function findUserByEmail(ctx: Ctx | Tx, emailAddress: string): Promise<UserRecord | undefined> {
  return transaction(ctx, (tx) => findNamed.email_address(tx, emailAddress.toLowerCase()))
}

/** The user who has proven a phone number. @param phoneNumber E.164 */
export function findUserByPhone(ctx: Ctx | Tx, phoneNumber: string): Promise<UserRecord | undefined> {
  return transaction(ctx, (tx) => findNamed.phone_number(tx, phoneNumber))
}

/** The user with a username, whatever its case. */
export function findUserByUsername(ctx: Ctx | Tx, username: string): Promise<UserRecord | undefined> {
  return transaction(ctx, (tx) => findNamed.username(tx, username.toLowerCase()))
}

/** The user to whom an account at a provider is linked. */
export async function findUserByExternalAccount(
  ctx: Ctx | Tx,
  account: { provider: string; providerUserId: string },
): Promise<UserRecord | undefined> {
  return transaction(ctx, async (tx) => {
    const [row] = await tx.db
      .select({ id: externalAccounts.userId })
      .from(externalAccounts)
      .where(
        and(
          eq(externalAccounts.provider, account.provider),
          eq(externalAccounts.providerUserId, account.providerUserId),
          isNotNull(externalAccounts.verifiedAt),
        ),
      )
    return row && (await findUsers(tx, [row.id]))[0]
  })
}

export type Identifier = { kind: 'email_address' | 'phone_number' | 'username'; value: string }

/**
 * What somebody typed to say who they are: an address has an `@`, a number a `+`, and anything else is a username.
 * Only kinds that the instance signs people in with are told apart; punctuation of numbers is dropped.
 */
export function identifierOf(typed: string): Identifier {
  const value = typed.trim()
  if (value.includes('@')) return { kind: 'email_address', value: value.toLowerCase() }
  if (/^\+[\d\s().-]{5,30}$/.test(value)) return { kind: 'phone_number', value: `+${value.replace(/\D/g, '')}` }
  return { kind: 'username', value }
}

/** The user whom an identifier names, by what they have proven. */
export function findUserByIdentifier(ctx: Ctx | Tx, { kind, value }: Identifier): Promise<UserRecord | undefined> {
  if (kind === 'email_address') return findUserByEmail(ctx, value)
  return kind === 'phone_number' ? findUserByPhone(ctx, value) : findUserByUsername(ctx, value)
}
