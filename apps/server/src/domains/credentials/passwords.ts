import { and, eq, sql } from 'drizzle-orm'
import type { PgTable } from 'drizzle-orm/pg-core'
import { askedTogether, prepared, type Tx, textArray, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { emit } from '../events/index.ts'
import type { Instance } from '../instances/index.ts'
import { type Identifier, isProvenBy, provenNames } from '../users/index.ts'
import { isBreached } from './breached.ts'
import { lackingCost } from './hash-cost.ts'
import { argon2idHash, verifyHash } from './hash-queue.ts'
import { checkDigest } from './hashers.ts'
import { estimateStrength } from './password-strength.ts'
import { passwords } from './tables.ts'

/**
 * Argon2id in PHC string format. Runs on a thread of its own, not on the event loop.
 *
 * @param password checked by {@link checkPasswordRules} before
 */
export function hashPassword(password: string): Promise<string> {
  return argon2idHash(password.normalize('NFC'))
}

/**
 * Checks a password that somebody wants to have against the instance's rules.
 *
 * @param password as it came over the wire
 * @param param name of the parameter at fault
 * @param options.identifiers what names the person; their password must not be that, nor be guessed from it
 * @returns the password
 * @throws {UsherError} `form_param_nil`, `form_password_length_too_short`, `form_password_length_too_long`,
 *   `form_password_no_uppercase` and its like, `form_password_matches_identifier`, `form_password_pwned`,
 *   `form_password_not_strong_enough` with suggestions
 */
export function checkPasswordRules(
  instance: Instance,
  password: unknown,
  param = 'password',
  { identifiers = [] }: { identifiers?: readonly string[] } = {},
): string {
  if (typeof password !== 'string' || password === '')
    throw new UsherError('form_param_nil', 'Enter a password.', { param })
  const rules = instance.settings.password
  const length = [...password].length
  if (length < rules.minLength)
    throw new UsherError('form_password_length_too_short', `Passwords must be ${rules.minLength} characters or more.`, {
      param,
    })
  // The components clamp at 72 characters too; a bound keeps hashing a bounded amount of work.
  if (length > 72)
    throw new UsherError('form_password_length_too_long', 'Passwords must be 72 characters or less.', { param })
  for (const { asked, pattern, code, what } of characterRules)
    if (rules[asked] && !pattern.test(password))
      throw new UsherError(code, `Passwords must contain ${what}.`, { param })
  const plain = password.toLowerCase()
  if (identifiers.some((identifier) => identifier.toLowerCase() === plain))
    throw new UsherError('form_password_matches_identifier', 'A password must not be your identifier.', { param })
  if (rules.refuseBreached && isBreached(password))
    throw new UsherError('form_password_pwned', 'This password was found in a leak. Please choose another one.', {
      param,
    })
  if (rules.minStrength > 0) {
    const { score, suggestions } = estimateStrength(password, identifiers)
    if (score < rules.minStrength)
      throw new UsherError('form_password_not_strong_enough', 'This password is not strong enough.', {
        param,
        meta: { zxcvbn: { suggestions } },
      })
  }
  return password
}

const characterRules = [
  { asked: 'requireUppercase', pattern: /\p{Lu}/u, code: 'form_password_no_uppercase', what: 'an uppercase letter' },
  { asked: 'requireLowercase', pattern: /\p{Ll}/u, code: 'form_password_no_lowercase', what: 'a lowercase letter' },
  { asked: 'requireNumber', pattern: /\p{Nd}/u, code: 'form_password_no_number', what: 'a number' },
  {
    asked: 'requireSpecialCharacter',
    pattern: /[^\p{L}\p{N}\s]/u,
    code: 'form_password_no_special_char',
    what: 'a special character',
  },
] as const

/** Sets or replaces a user's password. @throws {UsherError} as {@link checkPasswordRules} */
export async function setPassword(ctx: Ctx | Tx, input: { userId: string; password: string }): Promise<void> {
  const hash = await hashPassword(checkPasswordRules(ctx.instance, input.password))
  await setPasswordHash(ctx, { userId: input.userId, hash })
}

/** Sets or replaces a user's password by its Argon2id hash, for callers that hashed before their transaction began. */
export async function setPasswordHash(ctx: Ctx | Tx, input: { userId: string; hash: string }): Promise<void> {
  await transaction(ctx, async (tx) => {
    const row = { hash: input.hash, hasher: 'argon2id', compromisedAt: null, updatedAt: tx.now() }
    await tx.db
      .insert(passwords)
      .values({ userId: input.userId, instanceId: tx.instance.id, ...row })
      .onConflictDoUpdate({ target: passwords.userId, set: row })
    emit(tx, { type: 'user.updated', subject: input.userId, data: { user_id: input.userId } })
  })
}

/**
 * Says that a password is known to others, or takes that back. It signs nobody in until it is changed.
 *
 * @throws {UsherError} `resource_not_found` for a user without a password
 */
export async function setPasswordCompromised(
  ctx: Ctx | Tx,
  input: { userId: string; compromised: boolean },
): Promise<void> {
  await transaction(ctx, async (tx) => {
    const changed = await tx.db
      .update(passwords)
      .set({ compromisedAt: input.compromised ? tx.now() : null })
      .where(eq(passwords.userId, input.userId))
      .returning({ userId: passwords.userId })
    if (changed.length === 0) throw new UsherError('resource_not_found', 'This user has no password.')
    emit(tx, { type: 'user.updated', subject: input.userId, data: { user_id: input.userId } })
  })
}

export async function removePassword(ctx: Ctx | Tx, input: { userId: string }): Promise<void> {
  await transaction(ctx, async (tx) => {
    await tx.db.delete(passwords).where(eq(passwords.userId, input.userId))
    emit(tx, { type: 'user.updated', subject: input.userId, data: { user_id: input.userId } })
  })
}

/**
 * Whether this is the user's password. Does the same work for a user without a password, or for no user at all. A hash
 * that came from elsewhere, or with less work than ours, is replaced by our own once a right password is at hand.
 */
export async function verifyPassword(
  ctx: Ctx | Tx,
  input: { userId: string | undefined; password: string },
): Promise<boolean> {
  const { userId, password } = input
  const known = userId ? await transaction(ctx, (tx) => findPassword(tx, userId)) : undefined
  const fits = await fitsPassword(known, password)
  if (known && fits) await upgradePassword(ctx, known, password)
  return fits
}

/** What is kept of a user's password. */
export type StoredPassword = typeof passwords.$inferSelect

/** What is kept of a user's password, for {@link fitsPassword}. */
export async function findPassword(tx: Tx, userId: string): Promise<StoredPassword | undefined> {
  return (await selectPassword(tx, { userId }))[0]
}

const selectPassword = prepared((db) =>
  db
    .select()
    .from(passwords)
    .where(eq(passwords.userId, sql.placeholder('userId'))),
)

/** As {@link findPassword}, for whom an identifier names: it need not wait until that is known. */
export function findPasswordByIdentifier(tx: Tx, { kind, value }: Identifier): Promise<StoredPassword | undefined> {
  return findPasswordBy[kind](tx, kind === 'phone_number' ? value : value.toLowerCase())
}

const findPasswordOf = (kind: Identifier['kind']) => {
  const { table, name, userId } = provenNames[kind]
  const select = prepared((db) =>
    db
      .select({ name: sql<string>`${name}`, password: passwords })
      .from(table as PgTable)
      .innerJoin(passwords, eq(passwords.userId, userId))
      .where(isProvenBy(kind)),
  )
  return askedTogether<string, StoredPassword | undefined>(async (tx, values) => {
    const found = new Map((await select(tx, { values: textArray(values) })).map((row) => [row.name, row.password]))
    return values.map((value) => found.get(value))
  })
}

const findPasswordBy = {
  email_address: findPasswordOf('email_address'),
  phone_number: findPasswordOf('phone_number'),
  username: findPasswordOf('username'),
}

/**
 * Whether this is the password of which something is kept. Takes the same work where it is not, and where nothing is kept.
 * For a right one, {@link upgradePassword} follows, once nothing else keeps its owner out.
 */
export async function fitsPassword(known: StoredPassword | undefined, attempt: string): Promise<boolean> {
  const { typed, composed } = spellingsOf(attempt)
  // Elsewhere a password may have been hashed as it was typed, without composing its letters. A stranger's is compared as
  // often as a user's.
  let matches = false
  for (const spelling of new Set([composed, typed])) matches ||= await verifyHash(known, spelling)
  return matches && typed !== ''
}

/** Longer input can be nobody's password, and hashing is not to be had in bulk. */
function spellingsOf(attempt: string) {
  const typed = attempt.length > 400 ? '' : attempt
  return { typed, composed: typed.normalize('NFC') }
}

/**
 * Replaces a hash that came from elsewhere, or with less work than ours, now that its password is at hand. Only what was
 * verified is replaced: somebody may have chosen a new password meanwhile.
 *
 * @returns what is kept of the password from now on
 */
export async function upgradePassword(ctx: Ctx | Tx, known: StoredPassword, attempt: string): Promise<StoredPassword> {
  if (!lackingCost(known)) return known
  const hash = await hashPassword(spellingsOf(attempt).typed).catch((error) => {
    // Too many wait: another sign-in will do it. This one was right.
    if (error instanceof UsherError && error.code === 'unavailable') return undefined
    throw error
  })
  if (hash === undefined) return known
  return transaction(ctx, async (tx) => {
    await tx.db
      .update(passwords)
      .set({ hash, hasher: 'argon2id' })
      .where(and(eq(passwords.userId, known.userId), eq(passwords.hash, known.hash)))
    // Of several sign-ins at once one replaces it, and the others go on with what that one wrote.
    const now = await findPassword(tx, known.userId)
    return now && now.updatedAt.getTime() === known.updatedAt.getTime() ? now : known
  })
}

/**
 * Gives a user a password by the hash that another system made of it.
 *
 * @throws {UsherError} `form_param_value_invalid` or `password_digest_invalid`
 */
export async function setImportedPassword(
  ctx: Ctx | Tx,
  { userId, hasher, digest }: { userId: string; hasher: string; digest: string },
): Promise<void> {
  checkDigest(hasher, digest)
  await transaction(ctx, async (tx) => {
    const row = { hash: digest, hasher, compromisedAt: null, updatedAt: tx.now() }
    await tx.db
      .insert(passwords)
      .values({ userId, instanceId: tx.instance.id, ...row })
      .onConflictDoUpdate({ target: passwords.userId, set: row })
  })
}
