import { and, eq, isNull } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { emit } from '../events/index.ts'
import { addEmailAddress, verifyEmailAddress } from './email-addresses.ts'
import { type ExternalAccount, findUserByEmail, getUser, type UserRecord } from './queries.ts'
import { externalAccounts } from './tables.ts'

/** What a provider says about an account there. Only `provider` and `providerUserId` say whose it is. */
export type ExternalAccountProfile = {
  provider: string
  providerUserId: string
  emailAddress: string | null
  emailVerified: boolean
  firstName: string | null
  lastName: string | null
  username: string | null
  imageUrl: string | null
  phoneNumber: string | null
  approvedScopes: string
  sealedTokens: string | null
  tokensExpireAt: string | null
}

/**
 * Links an account at a provider to a user, or brings a linked one up to date. An address that the provider has proven
 * is added to the user when nobody has it, and counts as proven by the provider.
 *
 * @param input.takeAddress false: the address stays with the provider's account alone
 * @throws {UsherError} `external_account_exists` when it is linked to somebody else
 */
export async function linkExternalAccount(
  tx: Tx,
  { userId, profile, takeAddress = true }: { userId: string; profile: ExternalAccountProfile; takeAddress?: boolean },
): Promise<ExternalAccount> {
  const now = tx.now()
  const facts = {
    emailAddress: profile.emailAddress ?? '',
    username: profile.username,
    firstName: profile.firstName,
    lastName: profile.lastName,
    imageUrl: profile.imageUrl,
    phoneNumber: profile.phoneNumber,
    approvedScopes: profile.approvedScopes,
    sealedTokens: profile.sealedTokens,
    tokensExpireAt: profile.tokensExpireAt ? new Date(profile.tokensExpireAt) : null,
    verifiedAt: now,
    verificationError: null,
    updatedAt: now,
  }
  const [known] = await tx.db
    .update(externalAccounts)
    .set(facts)
    .where(
      and(
        eq(externalAccounts.provider, profile.provider),
        eq(externalAccounts.providerUserId, profile.providerUserId),
        eq(externalAccounts.userId, userId),
      ),
    )
    .returning()
  const account = known ?? (await insert(tx, userId, profile, facts))
  if (takeAddress && profile.emailAddress && profile.emailVerified) await takeProvenAddress(tx, userId, profile)
  emit(tx, { type: 'user.updated', subject: userId, data: { user_id: userId } })
  return account
}

async function insert(
  tx: Tx,
  userId: string,
  { provider, providerUserId }: ExternalAccountProfile,
  facts: Omit<typeof externalAccounts.$inferInsert, 'id' | 'instanceId' | 'userId' | 'provider' | 'createdAt'>,
): Promise<ExternalAccount> {
  // A linking that was begun and never finished gives way.
  await tx.db
    .delete(externalAccounts)
    .where(and(eq(externalAccounts.userId, userId), eq(externalAccounts.provider, provider), pending))
  const id = newId('externalAccount')
  const row = { id, instanceId: tx.instance.id, userId, provider, providerUserId, createdAt: tx.now(), ...facts }
  try {
    const [made] = await tx.db.insert(externalAccounts).values(row).returning()
    return made as ExternalAccount
  } catch (error) {
    if (!isUniqueViolation(error)) throw error
    throw new UsherError('external_account_exists', 'This account is connected to another user already.')
  }
}

async function takeProvenAddress(tx: Tx, userId: string, profile: ExternalAccountProfile): Promise<void> {
  const emailAddress = profile.emailAddress as string
  const owner = await findUserByEmail(tx, emailAddress)
  if (owner) return
  const verifiedBy = `from_oauth_${profile.provider}` as const
  const claimed = (await getUser(tx, userId)).emailAddresses.find((e) => e.emailAddress === emailAddress)
  if (claimed) await verifyEmailAddress(tx, { id: claimed.id, verifiedBy })
  else await addEmailAddress(tx, { userId, emailAddress, verifiedBy })
}

const pending = isNull(externalAccounts.verifiedAt)

/** @throws {UsherError} `resource_not_found` unless it is this user's */
export async function getExternalAccount(
  ctx: Ctx | Tx,
  { userId, id }: { userId: string; id: string },
): Promise<ExternalAccount> {
  const [found] = await transaction(ctx, (tx) =>
    tx.db
      .select()
      .from(externalAccounts)
      .where(and(eq(externalAccounts.id, id), eq(externalAccounts.userId, userId))),
  )
  if (!found) throw new UsherError('resource_not_found', 'There is no such connected account.')
  return found
}

/**
 * Begins to link an account of a provider to a signed-in user; the round trip to the provider finishes it.
 *
 * @throws {UsherError} `external_account_exists` when one of this provider is linked already
 */
export async function beginExternalAccount(
  tx: Tx,
  { userId, provider }: { userId: string; provider: string },
): Promise<ExternalAccount> {
  const held = await tx.db
    .select()
    .from(externalAccounts)
    .where(and(eq(externalAccounts.userId, userId), eq(externalAccounts.provider, provider)))
  if (held.some((a) => a.verifiedAt !== null))
    throw new UsherError('external_account_exists', 'An account of this provider is connected already.')
  if (held.length > 0)
    await tx.db
      .delete(externalAccounts)
      .where(and(eq(externalAccounts.userId, userId), eq(externalAccounts.provider, provider), pending))
  const now = tx.now()
  const row = { id: newId('externalAccount'), instanceId: tx.instance.id, userId, provider, createdAt: now }
  const [made] = await tx.db
    .insert(externalAccounts)
    .values({ ...row, updatedAt: now })
    .returning()
  return made as ExternalAccount
}

/** Notes why a linking did not succeed, for the page that comes back to ask. */
export async function failExternalAccount(
  tx: Tx,
  { id, error }: { id: string; error: { code: string; message: string } },
): Promise<void> {
  await tx.db
    .update(externalAccounts)
    .set({ verificationError: { ...error, long_message: error.message }, updatedAt: tx.now() })
    .where(and(eq(externalAccounts.id, id), pending))
}

/**
 * Takes a linked account away. An address that the provider proved stays with the user: it was theirs, and nobody else
 * may claim it because of this.
 *
 * @throws {UsherError} `resource_not_found`, or `identification_deletion_failed` when nothing else lets the person in
 */
export async function unlinkExternalAccount(
  ctx: Ctx | Tx,
  { userId, id, force = false }: { userId: string; id: string; force?: boolean },
): Promise<ExternalAccount> {
  return transaction(ctx, async (tx) => {
    const account = await getExternalAccount(tx, { userId, id })
    const user = await getUser(tx, userId)
    if (!force && account.verifiedAt !== null && !hasAnotherWayIn(user, id))
      throw new UsherError(
        'identification_deletion_failed',
        'This is the only way to sign in to this account. Add another one first.',
      )
    await tx.db.delete(externalAccounts).where(eq(externalAccounts.id, id))
    emit(tx, { type: 'user.updated', subject: userId, data: { user_id: userId } })
    return account
  })
}

function hasAnotherWayIn(user: UserRecord, exceptId: string): boolean {
  return (
    user.passkeys.length > 0 ||
    user.emailAddresses.some((e) => e.verifiedAt !== null) ||
    user.phoneNumbers.some((n) => n.verifiedAt !== null) ||
    (user.passwordEnabled && user.username !== null) ||
    user.externalAccounts.some((a) => a.id !== exceptId && a.verifiedAt !== null)
  )
}

/** Forgets a provider's tokens; the account stays linked. @throws {UsherError} `resource_not_found` */
export async function forgetExternalTokens(
  ctx: Ctx | Tx,
  { userId, id }: { userId: string; id: string },
): Promise<ExternalAccount> {
  return transaction(ctx, async (tx) => {
    await getExternalAccount(tx, { userId, id })
    const [row] = await tx.db
      .update(externalAccounts)
      .set({ sealedTokens: null, tokensExpireAt: null, updatedAt: tx.now() })
      .where(eq(externalAccounts.id, id))
      .returning()
    return row as ExternalAccount
  })
}

/** Keeps a provider's renewed tokens. Undefined when the account was unlinked meanwhile. */
export async function keepExternalTokens(
  tx: Tx,
  input: { id: string; sealedTokens: string; tokensExpireAt: string | null },
): Promise<ExternalAccount | undefined> {
  const tokensExpireAt = input.tokensExpireAt ? new Date(input.tokensExpireAt) : null
  const [row] = await tx.db
    .update(externalAccounts)
    .set({ sealedTokens: input.sealedTokens, tokensExpireAt, updatedAt: tx.now() })
    .where(eq(externalAccounts.id, input.id))
    .returning()
  return row
}
