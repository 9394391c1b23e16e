import { and, eq, inArray, isNotNull, isNull, ne } from 'drizzle-orm'
import { type Tx, takeTurn, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { emit } from '../events/index.ts'
import { getUser, type PhoneNumber } from './queries.ts'
import { noteSecondFactors } from './second-factors.ts'
import { phoneNumbers, users, type VerifiedBy } from './tables.ts'

/** Numbers that one account holds at most, proven or not. */
const maxNumbers = 20

const taken = () =>
  new UsherError('form_identifier_exists', 'That phone number is taken. Please try another.', { param: 'phone_number' })

const changed = (tx: Tx, userId: string) =>
  emit(tx, { type: 'user.updated', subject: userId, data: { user_id: userId } })

/**
 * Adds a number to a user, proven or only claimed. The first proven one becomes the primary number.
 *
 * @param input.phoneNumber from `parsePhoneNumber`
 * @throws {UsherError} `form_identifier_exists` when somebody has proven it, or the user has it already; `forbidden`
 *   when the account holds as many as it may
 */
export async function addPhoneNumber(
  ctx: Ctx | Tx,
  input: { userId: string; phoneNumber: string; verifiedBy: VerifiedBy | null; reserved?: boolean },
): Promise<PhoneNumber> {
  return transaction(ctx, async (tx) => {
    const now = tx.now()
    const { userId, phoneNumber, verifiedBy, reserved = false } = input
    const row = {
      id: newId('identification'),
      instanceId: tx.instance.id,
      userId,
      phoneNumber,
      verifiedAt: verifiedBy && now,
      verificationStrategy: verifiedBy,
      reserved,
      createdAt: now,
      updatedAt: now,
    }
    await takeTurn(tx, `phone numbers of ${userId}`)
    const held = await tx.db.$count(phoneNumbers, eq(phoneNumbers.userId, userId))
    if (held >= maxNumbers) throw new UsherError('forbidden', `An account can have ${maxNumbers} phone numbers.`)
    try {
      const [made] = await tx.db.insert(phoneNumbers).values(row).returning()
      if (verifiedBy) await makePrimaryIfNone(tx, userId, row.id)
      await changed(tx, userId)
      return made as PhoneNumber
    } catch (error) {
      throw isUniqueViolation(error) ? taken() : error
    }
  })
}

async function makePrimaryIfNone(tx: Tx, userId: string, id: string): Promise<void> {
  await tx.db
    .update(users)
    .set({ primaryPhoneNumberId: id })
    .where(and(eq(users.id, userId), isNull(users.primaryPhoneNumberId)))
}

/** @throws {UsherError} `resource_not_found` */
export async function getPhoneNumber(ctx: Ctx | Tx, id: string): Promise<PhoneNumber> {
  const [found] = await transaction(ctx, (tx) => tx.db.select().from(phoneNumbers).where(eq(phoneNumbers.id, id)))
  if (!found) throw new UsherError('resource_not_found', 'There is no such phone number.')
  return found
}

/**
 * Marks a number as proven. Whoever proves a number first owns it: the unique index decides.
 *
 * @throws {UsherError} `resource_not_found`, `verification_already_verified` or `form_identifier_exists`
 */
export async function verifyPhoneNumber(
  ctx: Ctx | Tx,
  input: { id: string; verifiedBy: VerifiedBy },
): Promise<PhoneNumber> {
  return transaction(ctx, async (tx) => {
    const { userId } = await getPhoneNumber(tx, input.id)
    const now = tx.now()
    try {
      const [verified] = await tx.db
        .update(phoneNumbers)
        .set({ verifiedAt: now, verificationStrategy: input.verifiedBy, updatedAt: now })
        .where(and(eq(phoneNumbers.id, input.id), isNull(phoneNumbers.verifiedAt)))
        .returning()
      if (!verified) throw new UsherError('verification_already_verified', 'This phone number is verified already.')
      await makePrimaryIfNone(tx, userId, input.id)
      if (verified.reservedForSecondFactor) await noteSecondFactors(tx, userId, 'added')
      await changed(tx, userId)
      return verified
    } catch (error) {
      throw isUniqueViolation(error) ? taken() : error
    }
  })
}

/**
 * Takes back that a number is proven, on the application's word. It neither signs in nor takes codes from then on.
 *
 * @throws {UsherError} `resource_not_found`
 */
export async function unverifyPhoneNumber(ctx: Ctx | Tx, id: string): Promise<PhoneNumber> {
  return transaction(ctx, async (tx) => {
    const known = await getPhoneNumber(tx, id)
    const row = {
      verifiedAt: null,
      verificationStrategy: null,
      reservedForSecondFactor: false,
      defaultSecondFactor: false,
      updatedAt: tx.now(),
    }
    const [unverified] = await tx.db.update(phoneNumbers).set(row).where(eq(phoneNumbers.id, id)).returning()
    await leavePrimary(tx, known)
    if (known.reservedForSecondFactor) await noteSecondFactors(tx, known.userId, 'removed')
    await changed(tx, known.userId)
    return unverified as PhoneNumber
  })
}

/** Another proven number becomes the primary one in the place of one that goes. */
async function leavePrimary(tx: Tx, { id, userId }: PhoneNumber): Promise<void> {
  const [next] = await tx.db
    .select({ id: phoneNumbers.id })
    .from(phoneNumbers)
    .where(and(eq(phoneNumbers.userId, userId), isNotNull(phoneNumbers.verifiedAt), ne(phoneNumbers.id, id)))
    .orderBy(phoneNumbers.createdAt)
    .limit(1)
  await tx.db
    .update(users)
    .set({ primaryPhoneNumberId: next?.id ?? null, updatedAt: tx.now() })
    .where(and(eq(users.id, userId), eq(users.primaryPhoneNumberId, id)))
}

/**
 * Removes a number. The last thing that identifies somebody stays, because they could not come back.
 *
 * @throws {UsherError} `resource_not_found` or `identification_deletion_failed`
 */
export async function deletePhoneNumber(ctx: Ctx | Tx, id: string): Promise<PhoneNumber> {
  return transaction(ctx, async (tx) => {
    const known = await getPhoneNumber(tx, id)
    await tx.db.select({ id: users.id }).from(users).where(eq(users.id, known.userId)).for('update')
    const user = await getUser(tx, known.userId)
    const others = [
      ...user.emailAddresses.filter((e) => e.verifiedAt),
      ...user.phoneNumbers.filter((n) => n.verifiedAt && n.id !== id),
      ...user.externalAccounts.filter((a) => a.verifiedAt),
    ]
    if (known.verifiedAt && others.length === 0 && user.username === null)
      throw new UsherError('identification_deletion_failed', 'The last phone number of an account cannot be removed.')
    await tx.db.delete(phoneNumbers).where(eq(phoneNumbers.id, id))
    await leavePrimary(tx, known)
    if (known.reservedForSecondFactor) await noteSecondFactors(tx, known.userId, 'removed')
    await changed(tx, known.userId)
    return known
  })
}

/** @throws {UsherError} `resource_not_found` unless it is a proven number of this user */
export async function setPrimaryPhoneNumber(
  ctx: Ctx | Tx,
  { userId, phoneNumberId }: { userId: string; phoneNumberId: string },
): Promise<void> {
  await transaction(ctx, async (tx) => {
    const number = await getPhoneNumber(tx, phoneNumberId)
    if (number.userId !== userId || !number.verifiedAt)
      throw new UsherError('resource_not_found', 'This is not a verified phone number of this user.')
    await tx.db
      .update(users)
      .set({ primaryPhoneNumberId: phoneNumberId, updatedAt: tx.now() })
      .where(eq(users.id, userId))
    await changed(tx, userId)
  })
}

export type PhoneSecondFactorChange = {
  id: string
  /** Whether codes as a second factor go to this number. */
  reservedForSecondFactor?: boolean | undefined
  /** Whether it is the one that is used without a choice. */
  defaultSecondFactor?: boolean | undefined
}

/**
 * Makes a proven number a second factor, or no longer one. The first one is the default.
 *
 * @throws {UsherError} `resource_not_found`, or `verification_failed` for a number that is not proven
 */
export async function setPhoneSecondFactor(ctx: Ctx | Tx, change: PhoneSecondFactorChange): Promise<PhoneNumber> {
  return transaction(ctx, async (tx) => {
    const known = await getPhoneNumber(tx, change.id)
    const { userId } = known
    await tx.db.select({ id: users.id }).from(users).where(eq(users.id, userId)).for('update')
    const reserved = change.reservedForSecondFactor ?? (change.defaultSecondFactor || known.reservedForSecondFactor)
    if (reserved && !known.verifiedAt)
      throw new UsherError('verification_failed', 'Verify this phone number before it becomes a second factor.')
    const others = await tx.db
      .select()
      .from(phoneNumbers)
      .where(
        and(eq(phoneNumbers.userId, userId), ne(phoneNumbers.id, known.id), eq(phoneNumbers.defaultSecondFactor, true)),
      )
    const isDefault = reserved && (change.defaultSecondFactor ?? (known.defaultSecondFactor || others.length === 0))
    if (isDefault && others.length > 0)
      await tx.db
        .update(phoneNumbers)
        .set({ defaultSecondFactor: false, updatedAt: tx.now() })
        .where(
          inArray(
            phoneNumbers.id,
            others.map((n) => n.id),
          ),
        )
    const [updated] = await tx.db
      .update(phoneNumbers)
      .set({ reservedForSecondFactor: reserved, defaultSecondFactor: isDefault, updatedAt: tx.now() })
      .where(eq(phoneNumbers.id, known.id))
      .returning()
    if (reserved !== known.reservedForSecondFactor) await noteSecondFactors(tx, userId, reserved ? 'added' : 'removed')
    else await changed(tx, userId)
    return updated as PhoneNumber
  })
}

/**
 * Puts one proven number in the place of all that a user has, on the application's word. A number that they have
 * already keeps its id.
 *
 * @throws {UsherError} `resource_not_found` or `form_identifier_exists`
 */
export async function replacePhoneNumbers(
  ctx: Ctx | Tx,
  { userId, phoneNumber }: { userId: string; phoneNumber: string },
): Promise<PhoneNumber> {
  return transaction(ctx, async (tx) => {
    const [owner] = await tx.db.select({ id: users.id }).from(users).where(eq(users.id, userId)).for('update')
    if (!owner) throw new UsherError('resource_not_found', 'There is no such user.')
    const held = await tx.db.select().from(phoneNumbers).where(eq(phoneNumbers.userId, userId))
    const same = held.find((n) => n.phoneNumber === phoneNumber)
    const others = held.filter((n) => n.id !== same?.id)
    for (const other of others) await tx.db.delete(phoneNumbers).where(eq(phoneNumbers.id, other.id))
    const kept = same ?? (await addPhoneNumber(tx, { userId, phoneNumber, verifiedBy: 'admin' }))
    const proven = kept.verifiedAt ? kept : await verifyPhoneNumber(tx, { id: kept.id, verifiedBy: 'admin' })
    await tx.db.update(users).set({ primaryPhoneNumberId: proven.id, updatedAt: tx.now() }).where(eq(users.id, userId))
    if (others.some((n) => n.reservedForSecondFactor)) await noteSecondFactors(tx, userId, 'removed')
    await changed(tx, userId)
    return proven
  })
}
