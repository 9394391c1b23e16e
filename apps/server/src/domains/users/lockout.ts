import { and, eq, gt, isNull, lte, or, sql } from 'drizzle-orm'
import { askedTogether, place, prepared, type Tx, textArray, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { emit } from '../events/index.ts'
import { findUsers, getUser, type User, type UserRecord } from './queries.ts'
import { users } from './tables.ts'

type Lockable = Pick<User, 'locked' | 'lockedUntil'>

/** Whether somebody is kept from signing in: by an operator, or for a while after too many failed attempts. */
export function isLocked(user: Lockable, now: Date): boolean {
  return user.locked || (user.lockedUntil !== null && user.lockedUntil > now)
}

/** @throws {UsherError} `user_locked`, with the seconds until the lock ends by itself */
export function refuseLocked(user: Lockable, now: Date): void {
  if (!isLocked(user, now)) return
  const seconds =
    !user.locked && user.lockedUntil ? Math.ceil((user.lockedUntil.getTime() - now.getTime()) / 1000) : null
  throw new UsherError(
    'user_locked',
    seconds === null
      ? 'This account is locked. Please contact support.'
      : `This account is locked after too many failed attempts. Try again in ${Math.ceil(seconds / 60)} minutes.`,
    { meta: { lockout_expires_in_seconds: seconds } },
  )
}

/** @throws {UsherError} `user_banned` or `user_locked` */
export function refuseUnwelcome(user: Lockable & Pick<User, 'banned'>, now: Date): void {
  if (user.banned) throw new UsherError('user_banned', 'This account is banned.')
  refuseLocked(user, now)
}

/**
 * Counts a failed attempt at one of somebody's factors, and locks the account when there were too many since the last
 * success. Counting is one conditional update, so that parallel guesses are all counted; what fails while the account is
 * locked is not, so that a lock is told once and nobody can keep it from ending. What is open stays open: a stranger who
 * guesses must not be able to sign the owner out.
 *
 * @param ctx not inside a transaction that the refusal rolls back
 * @returns whether this attempt locked the account
 */
export async function noteFailedAttempt(ctx: Ctx | Tx, userId: string): Promise<boolean> {
  const { enabled, maxAttempts, minutes } = ctx.instance.settings.lockout
  if (!enabled) return false
  return transaction(ctx, async (tx) => {
    const now = tx.now()
    const [counted] = await tx.db
      .update(users)
      .set({ failedAttempts: sql`${users.failedAttempts} + 1` })
      .where(
        and(eq(users.id, userId), eq(users.locked, false), or(isNull(users.lockedUntil), lte(users.lockedUntil, now))),
      )
      .returning({ failedAttempts: users.failedAttempts })
    if (!counted || counted.failedAttempts < maxAttempts) return false
    // One of the attempts beyond the limit locks; the others find it done.
    const [locked] = await tx.db
      .update(users)
      .set({
        failedAttempts: 0,
        updatedAt: now,
        ...(minutes === 0 ? { locked: true } : { lockedUntil: new Date(now.getTime() + minutes * 60_000) }),
      })
      .where(and(eq(users.id, userId), sql`${users.failedAttempts} >= ${maxAttempts}`))
      .returning({ id: users.id })
    if (!locked) return false
    emit(tx, { type: 'user.updated', subject: userId, data: { user_id: userId, locked: true } })
    return true
  })
}

/** After a success the count begins anew. Most people have nothing to clear, and then nothing is written. */
export async function clearFailedAttempts(tx: Tx, userId: string): Promise<void> {
  await tx.db
    .update(users)
    .set({ failedAttempts: 0, lockedUntil: null })
    .where(and(eq(users.id, userId), or(gt(users.failedAttempts, 0), sql`${users.lockedUntil} is not null`)))
}

/**
 * Notes that somebody signed in; their failed attempts count anew from here.
 *
 * @param user as they were read
 * @param passwordHash what they signed in with, when that was read a while before: it must still be theirs, and a second
 *   factor that they have set up since must be asked for
 * @returns whether they have a device that is known: of this sign-in too, if that was written before
 * @throws {UsherError} `user_banned`, `user_locked` or `conflict` when that came about since they were read
 */
export async function noteSignIn(
  tx: Tx,
  user: Pick<UserRecord, 'id' | 'twoFactorEnabled'>,
  passwordHash?: string,
): Promise<{ hasDevice: boolean }> {
  const { id, twoFactorEnabled } = user
  const noted =
    passwordHash === undefined
      ? (await noteIfWelcome(tx, { id, now: tx.now() }))[0]
      : await noteIfUnchanged(tx, { id, now: tx.now(), passwordHash, twoFactorEnabled })
  if (noted) return noted
  const [now] = await findUsers(tx, [user.id])
  if (now) refuseUnwelcome(now, tx.now())
  throw new UsherError('conflict', 'This account changed a moment ago. Please try again.')
}

const noteIfWelcome = prepared((db) =>
  db
    .update(users)
    .set({
      lastSignInAt: place(users.lastSignInAt, 'now'),
      lastActiveAt: place(users.lastActiveAt, 'now'),
      failedAttempts: 0,
      lockedUntil: null,
    })
    .where(
      and(
        eq(users.id, sql.placeholder('id')),
        eq(users.banned, false),
        eq(users.locked, false),
        or(isNull(users.lockedUntil), lte(users.lockedUntil, sql.placeholder('now'))),
      ),
    )
    .returning({ hasDevice: sql<boolean>`exists (select from known_devices d where d.user_id = users.id)` }),
)

type Seen = { id: string; now: Date; passwordHash: string; twoFactorEnabled: boolean }
type Noted = { id: string; password_hash: string; two_factor: boolean; has_device: boolean }

/** As {@link noteIfWelcome}, of those whose password and second factor are what they were. */
const noteIfUnchanged = askedTogether<Seen, { hasDevice: boolean } | undefined>(async ({ connection }, seen) => {
  const ids = textArray(seen.map(({ id }) => id))
  // A statement that waits for one of their rows sees nothing that is committed meanwhile of the others' passwords. So they
  // are waited for first. Both travel together, and are done one after the other.
  const [, rows] = (await Promise.all([
    seen.length > 1 && connection.unsafe(lockInOrder, [ids]),
    connection.unsafe(noteThoseUnchanged, [
      ids,
      textArray(seen.map(({ passwordHash }) => passwordHash)),
      textArray(seen.map(({ twoFactorEnabled }) => String(twoFactorEnabled))),
      textArray(seen.map(({ now }) => now.toISOString())),
    ]),
  ])) as [unknown, Noted[]]
  const keyOf = (id: string, hash: string, twoFactor: boolean) => `${id} ${hash} ${twoFactor}`
  const noted = new Map(rows.map((row) => [keyOf(row.id, row.password_hash, row.two_factor), row]))
  return seen.map(({ id, passwordHash, twoFactorEnabled }) => {
    const row = noted.get(keyOf(id, passwordHash, twoFactorEnabled))
    return row && { hasDevice: row.has_device }
  })
})

const lockInOrder = 'select id from users where id = any($1::text::text[]) order by id for no key update'

// None of the questions can become a hash of a whole table: each is one index entry for each person.
const noteThoseUnchanged = `
  update users set last_sign_in_at = seen.now, last_active_at = seen.now, failed_attempts = 0, locked_until = null
  from unnest($1::text::text[], $2::text::text[], $3::text::boolean[], $4::text::timestamptz[])
    as seen (id, password_hash, two_factor, now)
  where users.id = seen.id
    and not users.banned and not users.locked and (users.locked_until is null or users.locked_until <= seen.now)
    and seen.password_hash = (select p.hash from passwords p where p.user_id = seen.id)
    and seen.two_factor = coalesce(
      (select true from totps t where t.user_id = seen.id and t.verified_at is not null limit 1),
      (select true from phone_numbers n
        where n.user_id = seen.id and n.verified_at is not null and n.reserved_for_second_factor limit 1),
      false)
  returning users.id, seen.password_hash, seen.two_factor,
    coalesce((select true from known_devices d where d.user_id = users.id limit 1), false) as has_device`

/** Keeps somebody from signing in until they are unlocked. @throws {UsherError} `resource_not_found` */
export function lockUser(ctx: Ctx | Tx, id: string): Promise<UserRecord> {
  return setLock(ctx, id, { locked: true })
}

/** Ends a lock, whoever or whatever made it. @throws {UsherError} `resource_not_found` */
export function unlockUser(ctx: Ctx | Tx, id: string): Promise<UserRecord> {
  return setLock(ctx, id, { locked: false, lockedUntil: null, failedAttempts: 0 })
}

function setLock(ctx: Ctx | Tx, id: string, change: Partial<User>): Promise<UserRecord> {
  return transaction(ctx, async (tx) => {
    const changed = await tx.db
      .update(users)
      .set({ ...change, updatedAt: tx.now() })
      .where(eq(users.id, id))
      .returning({ id: users.id })
    if (changed.length === 0) throw new UsherError('resource_not_found', 'There is no such user.')
    emit(tx, { type: 'user.updated', subject: id, data: { user_id: id, ...change } })
    return getUser(tx, id)
  })
}
