import { and, eq, gt, lt, sql } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import {
  passkeyRequestOptions,
  type RelyingParty,
  type SecondFactor,
  secondFactorsOf,
  useBackupCode,
  verifyPasskey,
  verifyTotp,
} from '../credentials/index.ts'
import { getSession, isSignedIn, noteFactors, type SessionRecord } from '../sessions/index.ts'
import { refuseLocked, type UserRecord } from '../users/index.ts'
import { type CodeState, checkCode, findCode, sendCode } from '../verifications/index.ts'
import { checkPassword } from './create-sign-in.ts'
import { type FirstFactor, firstFactorsOf } from './factors.ts'
import { noteFailure } from './note-failure.ts'
import { sessionVerifications } from './tables.ts'

export type VerificationLevel = 'first_factor' | 'second_factor' | 'multi_factor'

type Row = typeof sessionVerifications.$inferSelect
export type SessionVerification = Row & {
  session: SessionRecord
  firstFactors: FirstFactor[]
  secondFactors: SecondFactor[]
  code: CodeState | undefined
  secondCode: CodeState | undefined
}

const ttlMs = 10 * 60_000
const maxAttempts = 5
const firstStrategies = ['password', 'email_code', 'phone_code', 'passkey']

/** First factors by which a person who is signed in can be asked again. */
export function againFactorsOf(tx: Pick<Ctx, 'instance'>, user: UserRecord): FirstFactor[] {
  return firstFactorsOf(tx.instance, user).filter((f) => firstStrategies.includes(f.strategy))
}

type Caller = { sessionId: string; clientId: string }

/**
 * Begins to prove again who is at a session; it takes the place of one that was under way. Levels that need a second
 * factor which the person does not have ask for the first one instead.
 *
 * @throws {UsherError} `resource_not_found` for another client's session, `signed_out`
 */
export async function startVerification(
  ctx: Ctx,
  caller: Caller,
  wanted: VerificationLevel,
): Promise<SessionVerification> {
  return transaction(ctx, async (tx) => {
    const session = await ownSession(tx, caller)
    const level = secondFactorsOf(tx.instance, session.user).length > 0 ? wanted : 'first_factor'
    const now = tx.now()
    const row = {
      id: newId('verification'),
      level,
      status: level === 'second_factor' ? ('needs_second_factor' as const) : ('needs_first_factor' as const),
      strategy: null,
      identificationId: null,
      challenge: null,
      attempts: 0,
      firstFactorVerifiedAt: null,
      secondFactorVerifiedAt: null,
      createdAt: now,
      expiresAt: new Date(now.getTime() + ttlMs),
    }
    const [made] = await tx.db
      .insert(sessionVerifications)
      .values({ sessionId: session.id, instanceId: tx.instance.id, ...row })
      .onConflictDoUpdate({ target: sessionVerifications.sessionId, set: row })
      .returning()
    return withDetails(tx, made as Row, session)
  })
}

export type PrepareAgain = {
  strategy: string
  emailAddressId?: string | undefined
  phoneNumberId?: string | undefined
  rpId?: string | undefined
}

/** Sends a code or asks for a passkey. @throws {UsherError} `strategy_for_user_invalid`, `verification_expired`, … */
export async function prepareAgain(
  ctx: Ctx,
  caller: Caller,
  stage: 'first' | 'second',
  input: PrepareAgain,
): Promise<SessionVerification> {
  return transaction(ctx, async (tx) => {
    const open = await getOpen(tx, caller, stage)
    const { user } = open.session
    const { strategy } = input
    if (stage === 'first' && strategy === 'passkey' && input.rpId) {
      const { optionsJson } = await passkeyRequestOptions(tx, { userId: user.id, rpId: input.rpId })
      return change(tx, open, { strategy, challenge: optionsJson })
    }
    const wanted = input.emailAddressId || input.phoneNumberId
    const candidates = (stage === 'first' ? open.firstFactors : open.secondFactors).filter(
      (f) => f.strategy === strategy && idOf(f) !== undefined,
    )
    const factor = wanted
      ? candidates.find((f) => idOf(f) === wanted)
      : (candidates.find((f) => ('primary' in f && f.primary) || ('default' in f && f.default)) ?? candidates[0])
    if (!factor) throw wrongStrategy()
    const purpose = stage === 'first' ? 'reverification' : 'reverification_second_factor'
    const to =
      'emailAddress' in factor
        ? { emailAddress: factor.emailAddress }
        : { phoneNumber: (factor as { phoneNumber: string }).phoneNumber }
    await sendCode(tx, { purpose, subjectId: open.id, ...to })
    return change(tx, open, { strategy, identificationId: idOf(factor) ?? null })
  })
}

export type AttemptAgain = {
  strategy: string
  password?: string | undefined
  code?: string | undefined
  publicKeyCredential?: string | undefined
  relyingParty?: RelyingParty | undefined
}

/**
 * Proves a factor again. What fails counts against the verification, which stands five guesses, and the account.
 *
 * @throws {UsherError} `form_password_incorrect`, `form_code_incorrect`, `strategy_for_user_invalid`,
 *   `verification_failed` after too many guesses, `verification_expired`, `user_locked`
 */
export async function attemptAgain(
  ctx: Ctx,
  caller: Caller,
  stage: 'first' | 'second',
  input: AttemptAgain,
): Promise<SessionVerification> {
  const open = await transaction(ctx, (tx) => getOpen(tx, caller, stage))
  const { user } = open.session
  refuseLocked(user, ctx.now())
  const offered: { strategy: string }[] = stage === 'first' ? open.firstFactors : open.secondFactors
  if (!offered.some((f) => f.strategy === input.strategy)) throw wrongStrategy()
  await countGuess(ctx, open)
  const second = await proveFactor(ctx, open, stage, input)
  return transaction(ctx, (tx) => advance(tx, open, stage, second))
}

/** @returns whether it counts for the second factor too */
async function proveFactor(
  ctx: Ctx,
  open: SessionVerification,
  stage: 'first' | 'second',
  input: AttemptAgain,
): Promise<boolean> {
  const { user } = open.session
  const { strategy } = input
  if (strategy === 'password') {
    if (!input.password) throw new UsherError('form_param_nil', 'Enter your password.', { param: 'password' })
    await checkPassword(ctx, { identifier: { kind: 'username', value: user.id }, user, password: input.password })
    return false
  }
  if (strategy === 'passkey') {
    const { challenge } = JSON.parse(open.challenge ?? '{}') as { challenge?: string }
    const { relyingParty, publicKeyCredential } = input
    if (!challenge || !relyingParty) throw new UsherError('verification_failed', 'Ask for a passkey first.')
    const verified = await transaction(ctx, (tx) =>
      verifyPasskey(tx, { challenge, credential: publicKeyCredential, ...relyingParty }),
    )
    if (verified.userId !== user.id) throw new UsherError('passkey_invalid', 'This passkey is somebody else’s.')
    return verified.userVerified && ctx.instance.settings.passkeys.satisfiesSecondFactor
  }
  const right = await (strategy === 'totp' || strategy === 'backup_code'
    ? transaction(ctx, (tx) =>
        strategy === 'totp'
          ? verifyTotp(tx, { userId: user.id, code: input.code })
          : useBackupCode(tx, { userId: user.id, code: input.code }),
      )
    : checkSentCode(ctx, open, stage, input))
  if (right) return stage === 'second'
  await noteFailure(ctx, user.id)
  throw new UsherError('form_code_incorrect', 'The code is incorrect.', { param: 'code' })
}

async function checkSentCode(
  ctx: Ctx,
  open: SessionVerification,
  stage: 'first' | 'second',
  { strategy, code }: AttemptAgain,
): Promise<boolean> {
  const factors = stage === 'first' ? open.firstFactors : open.secondFactors
  if (!factors.some((f) => f.strategy === strategy && idOf(f) === open.identificationId))
    throw new UsherError('verification_failed', 'Ask for a code first.', { param: 'code' })
  const purpose = stage === 'first' ? 'reverification' : 'reverification_second_factor'
  try {
    await checkCode(ctx, { purpose, subjectId: open.id, code })
    return true
  } catch (error) {
    if (error instanceof UsherError && error.code === 'form_code_incorrect') return false
    throw error
  }
}

/** Of parallel proofs one goes on. What was proven counts at once, and the session's age with it. */
async function advance(
  tx: Tx,
  open: SessionVerification,
  stage: 'first' | 'second',
  provesSecond: boolean,
): Promise<SessionVerification> {
  const now = tx.now()
  const needsSecond = stage === 'first' && open.level === 'multi_factor' && !provesSecond
  const [row] = await tx.db
    .update(sessionVerifications)
    .set({
      status: needsSecond ? 'needs_second_factor' : 'complete',
      attempts: 0,
      ...(stage === 'first' && { firstFactorVerifiedAt: now }),
      ...((stage === 'second' || provesSecond) && { secondFactorVerifiedAt: now }),
    })
    .where(and(eq(sessionVerifications.id, open.id), eq(sessionVerifications.status, open.status)))
    .returning()
  if (!row) throw over()
  await noteFactors(tx, {
    sessionId: open.sessionId,
    first: stage === 'first',
    second: stage === 'second' || provesSecond,
  })
  return withDetails(tx, row, await getSession(tx, open.sessionId))
}

const over = () => new UsherError('verification_already_verified', 'This verification is over.')
const wrongStrategy = () =>
  new UsherError('strategy_for_user_invalid', 'This method cannot be used with this account.', { param: 'strategy' })

const idOf = (factor: object) =>
  'emailAddressId' in factor
    ? (factor.emailAddressId as string)
    : 'phoneNumberId' in factor
      ? (factor.phoneNumberId as string)
      : undefined

async function countGuess(ctx: Ctx, open: SessionVerification): Promise<void> {
  const counted = await transaction(ctx, (tx) =>
    tx.db
      .update(sessionVerifications)
      .set({ attempts: sql`${sessionVerifications.attempts} + 1` })
      .where(
        and(
          eq(sessionVerifications.id, open.id),
          lt(sessionVerifications.attempts, maxAttempts),
          gt(sessionVerifications.expiresAt, tx.now()),
        ),
      )
      .returning({ id: sessionVerifications.id }),
  )
  if (counted.length === 0)
    throw new UsherError('verification_failed', 'There were too many attempts. Please begin again.')
}

async function change(tx: Tx, open: SessionVerification, set: Partial<Row>): Promise<SessionVerification> {
  const [row] = await tx.db
    .update(sessionVerifications)
    .set(set)
    .where(and(eq(sessionVerifications.id, open.id), eq(sessionVerifications.status, open.status)))
    .returning()
  if (!row) throw over()
  return withDetails(tx, row, open.session)
}

async function getOpen(tx: Tx, caller: Caller, stage: 'first' | 'second'): Promise<SessionVerification> {
  const session = await ownSession(tx, caller)
  const [row] = await tx.db.select().from(sessionVerifications).where(eq(sessionVerifications.sessionId, session.id))
  if (!row) throw new UsherError('resource_not_found', 'No verification is under way.')
  if (row.expiresAt <= tx.now()) throw new UsherError('verification_expired', 'This took too long. Please begin again.')
  if (row.status !== (stage === 'first' ? 'needs_first_factor' : 'needs_second_factor')) throw over()
  return withDetails(tx, row, session)
}

async function ownSession(tx: Tx, { sessionId, clientId }: Caller): Promise<SessionRecord> {
  const session = await getSession(tx, sessionId)
  if (session.clientId !== clientId) throw new UsherError('resource_not_found', 'There is no such session.')
  if (!isSignedIn(session, tx.now())) throw new UsherError('signed_out', 'This session has ended.')
  return session
}

async function withDetails(tx: Tx, row: Row, session: SessionRecord): Promise<SessionVerification> {
  return {
    ...row,
    session,
    firstFactors: againFactorsOf(tx, session.user),
    secondFactors: secondFactorsOf(tx.instance, session.user),
    code: await findCode(tx, { purpose: 'reverification', subjectId: row.id }),
    secondCode: await findCode(tx, { purpose: 'reverification_second_factor', subjectId: row.id }),
  }
}
