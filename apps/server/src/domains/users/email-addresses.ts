import { and, eq, inArray, isNotNull, isNull, like, ne, or, sql } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { emit } from '../events/index.ts'
import { tellAddressProven } from './hooks.ts'
import type { EmailAddress } from './queries.ts'
import { emailAddresses, users, type VerifiedBy } from './tables.ts'

const taken = () =>
  new UsherError('form_identifier_exists', 'That email address is taken. Please try another.', {
    param: 'email_address',
  })

/**
 * Adds an address to a user, proven or only claimed.
 *
 * @param input.emailAddress checked and in lower case
 * @throws {UsherError} `form_identifier_exists` when somebody has proven it, or the user has it already
 */
export async function addEmailAddress(
  ctx: Ctx | Tx,
  input: { userId: string; emailAddress: string; verifiedBy: VerifiedBy | null },
): Promise<EmailAddress> {
  return transaction(ctx, async (tx) => {
    const now = tx.now()
    try {
      const [made] = await tx.db
        .insert(emailAddresses)
        .values({
          id: newId('identification'),
          instanceId: tx.instance.id,
          userId: input.userId,
          emailAddress: input.emailAddress.toLowerCase(),
          verifiedAt: input.verifiedBy && now,
          verificationStrategy: input.verifiedBy,
          createdAt: now,
          updatedAt: now,
        })
        .returning()
      emit(tx, { type: 'user.updated', subject: input.userId, data: { user_id: input.userId } })
      if (input.verifiedBy) await tellAddressProven(tx, input.userId)
      return made as EmailAddress
    } catch (error) {
      throw isUniqueViolation(error) ? taken() : error
    }
  })
}

/** @throws {UsherError} `resource_not_found` */
export async function getEmailAddress(ctx: Ctx | Tx, id: string): Promise<EmailAddress> {
  const [found] = await transaction(ctx, (tx) => tx.db.select().from(emailAddresses).where(eq(emailAddresses.id, id)))
  if (!found) throw new UsherError('resource_not_found', 'There is no such email address.')
  return found
}

/**
 * Marks an address as proven. Whoever proves an address first owns it: the unique index decides.
 *
 * @throws {UsherError} `resource_not_found`, `verification_already_verified` or `form_identifier_exists`
 */
export async function verifyEmailAddress(
  ctx: Ctx | Tx,
  input: { id: string; verifiedBy: VerifiedBy },
): Promise<EmailAddress> {
  return transaction(ctx, async (tx) => {
    const now = tx.now()
    const known = await getEmailAddress(tx, input.id)
    try {
      const [verified] = await tx.db
        .update(emailAddresses)
        .set({ verifiedAt: now, verificationStrategy: input.verifiedBy, updatedAt: now })
        .where(and(eq(emailAddresses.id, input.id), isNull(emailAddresses.verifiedAt)))
        .returning()
      if (!verified) throw new UsherError('verification_already_verified', 'This email address is verified already.')
      await tx.db
        .update(users)
        .set({ primaryEmailAddressId: input.id })
        .where(and(eq(users.id, known.userId), isNull(users.primaryEmailAddressId)))
      emit(tx, { type: 'user.updated', subject: known.userId, data: { user_id: known.userId } })
      await tellAddressProven(tx, known.userId)
      return verified
    } catch (error) {
      throw isUniqueViolation(error) ? taken() : error
    }
  })
}

/**
 * Takes back that an address is proven: nobody signs in by it, and whoever proves it next owns it. Another proven address
 * becomes the primary one in its place, if there is one.
 *
 * @throws {UsherError} `resource_not_found`
 */
export async function unverifyEmailAddress(ctx: Ctx | Tx, id: string): Promise<EmailAddress> {
  return transaction(ctx, async (tx) => {
    const { userId } = await getEmailAddress(tx, id)
    const [owner] = await tx.db.select().from(users).where(eq(users.id, userId)).for('update')
    const [unverified] = await tx.db
      .update(emailAddresses)
      .set({ verifiedAt: null, verificationStrategy: null, updatedAt: tx.now() })
      .where(eq(emailAddresses.id, id))
      .returning()
    if (!unverified) throw new UsherError('resource_not_found', 'There is no such email address.')
    if (owner?.primaryEmailAddressId === id) {
      const [next] = await tx.db
        .select({ id: emailAddresses.id })
        .from(emailAddresses)
        .where(and(eq(emailAddresses.userId, userId), isNotNull(emailAddresses.verifiedAt)))
        .orderBy(emailAddresses.createdAt)
        .limit(1)
      const change = { primaryEmailAddressId: next?.id ?? null, updatedAt: tx.now() }
      await tx.db.update(users).set(change).where(eq(users.id, userId))
    }
    emit(tx, { type: 'user.updated', subject: userId, data: { user_id: userId } })
    return unverified
  })
}

/**
 * Removes an address. The primary one stays, because it is how the person is reached.
 *
 * @throws {UsherError} `resource_not_found` or `identification_deletion_failed`
 */
export async function deleteEmailAddress(ctx: Ctx | Tx, id: string): Promise<EmailAddress> {
  return transaction(ctx, async (tx) => {
    const known = await getEmailAddress(tx, id)
    const [owner] = await tx.db.select().from(users).where(eq(users.id, known.userId)).for('update')
    if (owner?.primaryEmailAddressId === id)
      throw new UsherError(
        'identification_deletion_failed',
        'The primary email address cannot be removed. Choose another one first.',
      )
    await tx.db.delete(emailAddresses).where(eq(emailAddresses.id, id))
    emit(tx, { type: 'user.updated', subject: known.userId, data: { user_id: known.userId } })
    return known
  })
}

/**
 * Puts one proven address in the place of all that a user has, on the application's word. An address that they have
 * already keeps its id.
 *
 * @throws {UsherError} `resource_not_found` or `form_identifier_exists`
 */
export async function replaceEmailAddresses(
  ctx: Ctx | Tx,
  { userId, emailAddress }: { userId: string; emailAddress: string },
): Promise<EmailAddress> {
  return transaction(ctx, async (tx) => {
    const [owner] = await tx.db.select({ id: users.id }).from(users).where(eq(users.id, userId)).for('update')
    if (!owner) throw new UsherError('resource_not_found', 'There is no such user.')
    const held = await tx.db.select().from(emailAddresses).where(eq(emailAddresses.userId, userId))
    const same = held.find((e) => e.emailAddress === emailAddress.toLowerCase())
    const others = held.filter((e) => e.id !== same?.id).map((e) => e.id)
    if (others.length > 0) await tx.db.delete(emailAddresses).where(inArray(emailAddresses.id, others))
    const kept = same ?? (await addEmailAddress(tx, { userId, emailAddress, verifiedBy: 'admin' }))
    const proven = kept.verifiedAt ? kept : await verifyEmailAddress(tx, { id: kept.id, verifiedBy: 'admin' })
    await tx.db.update(users).set({ primaryEmailAddressId: proven.id, updatedAt: tx.now() }).where(eq(users.id, userId))
    emit(tx, { type: 'user.updated', subject: userId, data: { user_id: userId } })
    return proven
  })
}

/**
 * Whether somebody else has proven an address that leads to the same Gmail mailbox, where dots do not count.
 *
 * @param input.mailbox what stands before the `@`, without dots
 * @param input.emailAddress the address itself, which is not what is looked for
 */
export async function isGmailboxTaken(
  tx: Tx,
  { mailbox, emailAddress, userId }: { mailbox: string; emailAddress: string; userId?: string | undefined },
): Promise<boolean> {
  const [other] = await tx.db
    .select({ id: emailAddresses.id })
    .from(emailAddresses)
    .where(
      and(
        isNotNull(emailAddresses.verifiedAt),
        or(like(emailAddresses.emailAddress, '%@gmail.com'), like(emailAddresses.emailAddress, '%@googlemail.com')),
        sql`replace(split_part(${emailAddresses.emailAddress}, '@', 1), '.', '') = ${mailbox}`,
        ne(emailAddresses.emailAddress, emailAddress),
        userId ? ne(emailAddresses.userId, userId) : undefined,
      ),
    )
    .limit(1)
  return other !== undefined
}
