import { and, asc, eq, gt, inArray, isNotNull, sql } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { unseal } from '../../kernel/secrets.ts'
import { permissions, roles } from '../access/tables.ts'
import { backupCodes, passkeys, passwords, totps } from '../credentials/tables.ts'
import { memberships, organizations } from '../organizations/tables.ts'
import { emailAddresses, externalAccounts, phoneNumbers, users } from '../users/tables.ts'
import { accessOfMemberships, accessOfOrganizations, exportAccess, featuresOf } from './export-access.ts'
import { domainsOf } from './organization-domains.ts'

export type ExportInput = {
  /** Takes one piece of JSON Lines; the next follows when it is done. */
  write: (lines: string) => void | Promise<void>
  onProgress?: (progress: { users: number; of: number }) => void
}

const pageSize = 500

/**
 * Gives everything of an instance back that an import takes: permissions, roles, organizations, and users with all that
 * is theirs, as it was at one moment. Password digests, authenticator secrets, passkeys and digests of backup codes are
 * among it: who reads it can do much harm.
 *
 * @returns how many users there were
 */
export async function exportInstance(ctx: Ctx, input: ExportInput): Promise<{ users: number }> {
  return transaction(
    ctx,
    async (tx) => {
      // Whoever takes the lines may be slow, and the snapshot has to wait for them.
      await tx.db.execute(sql`set local idle_in_transaction_session_timeout = 0`)
      const { id, name, environment } = ctx.instance
      const head = {
        object: 'export',
        version: 1,
        instance: { id, name, environment },
        exported_at: tx.now().getTime(),
      }
      await input.write(toLines([head, ...(await exportPermissions(tx)), ...(await exportAccess(tx))]))
      for await (const page of pages(tx, organizations, organizations.id)) {
        const ids = page.map((row) => row.id)
        const [access, domains] = [await accessOfOrganizations(tx, ids), await domainsOf(tx, ids)]
        const lines = page.map((row) => ({ ...organizationLine(row), ...access.get(row.id), ...domains.get(row.id) }))
        await input.write(toLines(lines))
      }
      const [total] = (await tx.db.execute(sql`select count(*)::int as n from users`)) as unknown as { n: number }[]
      let done = 0
      for await (const page of pages(tx, users, users.id)) {
        await input.write(toLines(await userLines(tx, page)))
        done += page.length
        input.onProgress?.({ users: done, of: total?.n ?? done })
      }
      return { users: done }
    },
    { snapshot: true },
  )
}

const toLines = (objects: object[]) => objects.map((object) => `${JSON.stringify(object)}\n`).join('')

/** Everything of a table in the order of its ids, a page at a time. */
async function* pages<T extends typeof users | typeof organizations>(
  tx: Tx,
  table: T,
  id: T['id'],
): AsyncGenerator<T['$inferSelect'][]> {
  let after = ''
  for (;;) {
    const rows = (await tx.db
      .select()
      .from(table as typeof users)
      .where(gt(id as typeof users.id, after))
      .orderBy(asc(id as typeof users.id))
      .limit(pageSize)) as T['$inferSelect'][]
    if (rows.length > 0) yield rows
    const last = rows.at(-1)
    if (rows.length < pageSize || !last) return
    after = last.id
  }
}

async function exportPermissions(tx: Tx) {
  const rows = await tx.db.select().from(permissions).where(eq(permissions.type, 'user')).orderBy(asc(permissions.key))
  return rows.map(({ key, name, description }) => ({ object: 'permission', key, name, description }))
}

const ms = (date: Date | null) => date?.getTime() ?? null

const stamps = (row: { createdAt: Date; updatedAt: Date }) => ({
  created_at: ms(row.createdAt),
  updated_at: ms(row.updatedAt),
})

function organizationLine(row: typeof organizations.$inferSelect) {
  return {
    object: 'organization',
    id: row.id,
    name: row.name,
    slug: row.slug,
    external_id: row.externalId,
    created_by: row.createdBy,
    public_metadata: row.publicMetadata,
    private_metadata: row.privateMetadata,
    max_allowed_memberships: row.maxAllowedMemberships,
    admin_delete_enabled: row.adminDeleteEnabled,
    ...stamps(row),
  }
}

/** What belongs to a page of users: one query for each table, however many users. */
async function findOwned(tx: Tx, ids: string[]) {
  const { db } = tx
  const group = <T extends { userId: string }>(rows: T[]) => Map.groupBy(rows, (row) => row.userId)
  return {
    emails: group(
      await db
        .select()
        .from(emailAddresses)
        .where(inArray(emailAddresses.userId, ids))
        .orderBy(asc(emailAddresses.createdAt), asc(emailAddresses.emailAddress)),
    ),
    phones: group(
      await db
        .select()
        .from(phoneNumbers)
        .where(inArray(phoneNumbers.userId, ids))
        .orderBy(asc(phoneNumbers.createdAt), asc(phoneNumbers.phoneNumber)),
    ),
    passwords: group(await db.select().from(passwords).where(inArray(passwords.userId, ids))),
    totps: group(
      await db
        .select()
        .from(totps)
        .where(and(inArray(totps.userId, ids), isNotNull(totps.verifiedAt))),
    ),
    codes: group(
      await db.select().from(backupCodes).where(inArray(backupCodes.userId, ids)).orderBy(asc(backupCodes.codeHash)),
    ),
    passkeys: group(
      await db
        .select()
        .from(passkeys)
        .where(and(inArray(passkeys.userId, ids), isNotNull(passkeys.verifiedAt)))
        .orderBy(asc(passkeys.createdAt), asc(passkeys.credentialId)),
    ),
    // An account whose linking is under way or failed is no account yet.
    accounts: group(
      await db
        .select()
        .from(externalAccounts)
        .where(
          and(
            inArray(externalAccounts.userId, ids),
            isNotNull(externalAccounts.providerUserId),
            isNotNull(externalAccounts.verifiedAt),
          ),
        )
        .orderBy(asc(externalAccounts.createdAt), asc(externalAccounts.provider)),
    ),
    features: await featuresOf(tx, 'userId', ids),
    memberships: group(
      await db
        .select({
          id: memberships.id,
          userId: memberships.userId,
          slug: organizations.slug,
          role: roles.key,
          roleSource: memberships.roleSource,
          publicMetadata: memberships.publicMetadata,
          privateMetadata: memberships.privateMetadata,
          createdAt: memberships.createdAt,
          updatedAt: memberships.updatedAt,
        })
        .from(memberships)
        .innerJoin(organizations, eq(organizations.id, memberships.organizationId))
        .innerJoin(roles, eq(roles.id, memberships.roleId))
        .where(inArray(memberships.userId, ids))
        .orderBy(asc(organizations.slug)),
    ),
  }
}

async function userLines(tx: Tx, page: (typeof users.$inferSelect)[]) {
  const owned = await findOwned(
    tx,
    page.map((user) => user.id),
  )
  const access = await accessOfMemberships(
    tx,
    [...owned.memberships.values()].flat().map((row) => row.id),
  )
  return page.map((user) => ({
    object: 'user',
    id: user.id,
    external_id: user.externalId,
    username: user.username,
    first_name: user.firstName,
    last_name: user.lastName,
    locale: user.locale,
    email_addresses: (owned.emails.get(user.id) ?? []).map((row) => ({
      id: row.id,
      email_address: row.emailAddress,
      ...identification(row, user.primaryEmailAddressId),
    })),
    phone_numbers: (owned.phones.get(user.id) ?? []).map((row) => ({
      id: row.id,
      phone_number: row.phoneNumber,
      reserved_for_second_factor: row.reservedForSecondFactor,
      default_second_factor: row.defaultSecondFactor,
      ...identification(row, user.primaryPhoneNumberId),
    })),
    external_accounts: (owned.accounts.get(user.id) ?? []).map((row) => ({
      id: row.id,
      provider: row.provider,
      provider_user_id: row.providerUserId,
      email_address: row.emailAddress,
      username: row.username,
      first_name: row.firstName,
      last_name: row.lastName,
      image_url: row.imageUrl,
      phone_number: row.phoneNumber,
      approved_scopes: row.approvedScopes,
      public_metadata: row.publicMetadata,
      label: row.label,
      verified_at: ms(row.verifiedAt),
      ...stamps(row),
    })),
    password: passwordOf(owned.passwords.get(user.id)?.[0]),
    totp_secret: totpOf(tx, owned.totps.get(user.id)?.[0]),
    backup_codes: (owned.codes.get(user.id) ?? []).map((row) => ({
      hash: row.codeHash,
      used_at: ms(row.usedAt),
      created_at: ms(row.createdAt),
    })),
    passkeys: (owned.passkeys.get(user.id) ?? []).map((row) => ({
      id: row.id,
      name: row.name,
      credential_id: row.credentialId,
      public_key: row.publicKey,
      sign_count: row.signCount,
      transports: row.transports,
      backed_up: row.backedUp,
      verified_at: ms(row.verifiedAt),
      last_used_at: ms(row.lastUsedAt),
      ...stamps(row),
    })),
    organization_memberships: (owned.memberships.get(user.id) ?? []).map((row) => ({
      organization: row.slug,
      role: row.role,
      ...(row.roleSource !== 'direct' && { role_source: row.roleSource }),
      ...access.get(row.id),
      public_metadata: row.publicMetadata,
      private_metadata: row.privateMetadata,
      ...stamps(row),
    })),
    ...(owned.features.has(user.id) && { features: owned.features.get(user.id) }),
    public_metadata: user.publicMetadata,
    private_metadata: user.privateMetadata,
    unsafe_metadata: user.unsafeMetadata,
    banned: user.banned,
    locked: user.locked,
    locked_until: ms(user.lockedUntil),
    bypass_client_trust: user.bypassClientTrust,
    create_organization_enabled: user.createOrganizationEnabled,
    create_organizations_limit: user.createOrganizationsLimit,
    delete_self_enabled: user.deleteSelfEnabled,
    legal_accepted_at: ms(user.legalAcceptedAt),
    mfa_enabled_at: ms(user.mfaEnabledAt),
    mfa_disabled_at: ms(user.mfaDisabledAt),
    last_sign_in_at: ms(user.lastSignInAt),
    last_active_at: ms(user.lastActiveAt),
    ...stamps(user),
  }))
}

function identification(row: (typeof emailAddresses | typeof phoneNumbers)['$inferSelect'], primaryId: string | null) {
  return {
    verified_at: ms(row.verifiedAt),
    verification_strategy: row.verificationStrategy,
    reserved: row.reserved,
    primary: row.id === primaryId,
    ...stamps(row),
  }
}

function passwordOf(row: typeof passwords.$inferSelect | undefined) {
  if (!row) return null
  return { hasher: row.hasher, digest: row.hash, compromised_at: ms(row.compromisedAt), updated_at: ms(row.updatedAt) }
}

function totpOf(tx: Tx, row: typeof totps.$inferSelect | undefined) {
  return row ? unseal(tx.database.keyring, `totp:${row.userId}`, row.sealedSecret) : null
}
