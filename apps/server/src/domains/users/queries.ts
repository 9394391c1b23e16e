import { and, eq, inArray, isNotNull, sql } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { emailAddresses, users } from './tables.ts'

export type User = typeof users.$inferSelect
export type EmailAddress = typeof emailAddresses.$inferSelect

/** A user with everything that describes them. */
export type UserRecord = User & { emailAddresses: EmailAddress[]; passwordEnabled: boolean }

/** Reads users with their addresses, in two queries however many there are. Unknown ids are left out. */
export async function findUsers(ctx: Ctx | Tx, ids: readonly string[]): Promise<UserRecord[]> {
  if (ids.length === 0) return []
  return transaction(ctx, async (tx) => {
    const rows = await tx.db
      .select({
        user: users,
        passwordEnabled: sql<boolean>`exists (select 1 from passwords p where p.user_id = users.id)`,
      })
      .from(users)
      .where(inArray(users.id, [...ids]))
    const addresses = await tx.db
      .select()
      .from(emailAddresses)
      .where(inArray(emailAddresses.userId, [...ids]))
      .orderBy(emailAddresses.createdAt, emailAddresses.id)
    const byId = new Map(
      rows.map(({ user, passwordEnabled }) => [
        user.id,
        { ...user, passwordEnabled, emailAddresses: [] as EmailAddress[] },
      ]),
    )
    for (const address of addresses) byId.get(address.userId)?.emailAddresses.push(address)
    return ids.flatMap((id) => byId.get(id) ?? [])
  })
}

/** @throws {UsherError} `resource_not_found` */
export async function getUser(ctx: Ctx | Tx, id: string): Promise<UserRecord> {
  const [user] = await findUsers(ctx, [id])
  if (!user) throw new UsherError('resource_not_found', 'There is no such user.')
  return user
}

/** The user who has proven an address; an unproven claim finds nobody. */
export async function findUserByEmail(ctx: Ctx | Tx, emailAddress: string): Promise<UserRecord | undefined> {
  return transaction(ctx, async (tx) => {
    const id = await findUserIdByVerifiedEmail(tx, emailAddress.toLowerCase())
    return id === undefined ? undefined : (await findUsers(tx, [id]))[0]
  })
}

/** The id of the user who has proven the address. */
async function findUserIdByVerifiedEmail(tx: Tx, emailAddress: string): Promise<string | undefined> {
  const [row] = await tx.db
    .select({ userId: emailAddresses.userId })
    .from(emailAddresses)
    .where(and(eq(emailAddresses.emailAddress, emailAddress), isNotNull(emailAddresses.verifiedAt)))
  return row?.userId
}
