import { and, eq, isNotNull, isNull, lt } from 'drizzle-orm'
import { HOTP, Secret, TOTP } from 'otpauth'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { equalSecrets, seal, unseal } from '../../kernel/secrets.ts'
import { noteSecondFactors } from '../users/index.ts'
import { notifyFactorChange } from './notify-factor-change.ts'
import { totps } from './tables.ts'

/** What every authenticator app understands: HMAC-SHA-1, six digits, thirty seconds. */
const algorithm = 'SHA1'
const digits = 6
const periodMs = 30_000

export type Totp = {
  id: string
  verified: boolean
  createdAt: Date
  updatedAt: Date
}

/** An authenticator being set up; its secret is shown this once. */
export type NewTotp = Totp & {
  /** Base32. */
  secret: string
  /** `otpauth://totp/…`, for a QR code. */
  uri: string
}

/**
 * Begins to set up an authenticator. One that was shown but never confirmed gives way.
 *
 * @param input.accountName what the app lists it under, e.g. the person's email address
 * @throws {UsherError} `verification_already_verified` when an authenticator is in use
 */
export async function startTotp(ctx: Ctx | Tx, input: { userId: string; accountName: string }): Promise<NewTotp> {
  return transaction(ctx, async (tx) => {
    const secret = new Secret({ size: 20 })
    const row = await writeTotp(tx, { userId: input.userId, secret, verifiedAt: null })
    if (!row)
      throw new UsherError(
        'verification_already_verified',
        'An authenticator is in use. Remove it before adding another.',
      )
    const { applicationName } = tx.instance.settings
    const uri = new TOTP({ issuer: applicationName, label: input.accountName, algorithm, digits, secret }).toString()
    return { ...describe(row), secret: secret.base32, uri }
  })
}

/**
 * Puts an authenticator in use that somebody set up elsewhere.
 *
 * @param input.secret Base32
 * @throws {UsherError} `form_param_format_invalid`
 */
export async function importTotp(tx: Tx, input: { userId: string; secret: string }): Promise<void> {
  const secret = parseSecret(input.secret)
  await tx.db.delete(totps).where(eq(totps.userId, input.userId))
  await writeTotp(tx, { userId: input.userId, secret, verifiedAt: tx.now() })
  await noteSecondFactors(tx, input.userId, 'added')
}

function parseSecret(text: string): Secret {
  const base32 = text.replace(/[\s=-]/g, '').toUpperCase()
  // RFC 4226 section 4 asks for 128 bits; what is in use elsewhere has 80 at times.
  if (/^[A-Z2-7]{16,128}$/.test(base32)) return Secret.fromBase32(base32)
  throw new UsherError('form_param_format_invalid', 'The secret is not Base32 of at least 80 bits.', {
    param: 'totp_secret',
  })
}

async function writeTotp(tx: Tx, input: { userId: string; secret: Secret; verifiedAt: Date | null }) {
  const now = tx.now()
  const { userId, verifiedAt } = input
  const row = {
    id: newId('totp'),
    sealedSecret: seal(tx.database.keyring, purpose(userId), input.secret.base32),
    verifiedAt,
    lastStep: 0,
    createdAt: now,
    updatedAt: now,
  }
  const [written] = await tx.db
    .insert(totps)
    .values({ userId, instanceId: tx.instance.id, ...row })
    .onConflictDoUpdate({ target: totps.userId, set: row, setWhere: isNull(totps.verifiedAt) })
    .returning()
  return written
}

const purpose = (userId: string) => `totp:${userId}`

function describe(row: typeof totps.$inferSelect): Totp {
  return { id: row.id, verified: row.verifiedAt !== null, createdAt: row.createdAt, updatedAt: row.updatedAt }
}

/**
 * Takes an authenticator into use with a first code of it. That code is spent by it.
 *
 * @throws {UsherError} `resource_not_found` when none is being set up, `form_code_incorrect`
 */
export async function confirmTotp(ctx: Ctx | Tx, input: { userId: string; code: unknown }): Promise<Totp> {
  return transaction(ctx, async (tx) => {
    const [known] = await tx.db
      .select()
      .from(totps)
      .where(and(eq(totps.userId, input.userId), isNull(totps.verifiedAt)))
    if (!known) throw new UsherError('resource_not_found', 'No authenticator is being set up.')
    const step = matchingStep(tx, known, input.code)
    const now = tx.now()
    const [confirmed] =
      step === undefined
        ? []
        : await tx.db
            .update(totps)
            .set({ verifiedAt: now, lastStep: step, updatedAt: now })
            .where(and(eq(totps.id, known.id), isNull(totps.verifiedAt)))
            .returning()
    if (!confirmed) throw new UsherError('form_code_incorrect', 'The code is incorrect.', { param: 'code' })
    await noteSecondFactors(tx, input.userId, 'added')
    await notifyFactorChange(tx, { userId: input.userId, factor: 'authenticator', added: true })
    return describe(confirmed)
  })
}

/**
 * Whether this is a code of the person's authenticator, and spends its time step: that code and those of earlier steps
 * are refused from then on, however many show them at once (RFC 6238 section 5.2). The caller counts guesses.
 */
export async function verifyTotp(tx: Tx, input: { userId: string; code: unknown }): Promise<boolean> {
  const [known] = await tx.db
    .select()
    .from(totps)
    .where(and(eq(totps.userId, input.userId), isNotNull(totps.verifiedAt)))
  const step = known && matchingStep(tx, known, input.code)
  if (step === undefined) return false
  const spent = await tx.db
    .update(totps)
    .set({ lastStep: step })
    .where(and(eq(totps.id, known?.id ?? ''), lt(totps.lastStep, step)))
    .returning({ id: totps.id })
  return spent.length === 1
}

/** The step within one of now whose code this is, for clocks that are half a minute off and slow typing. */
function matchingStep(tx: Tx, row: typeof totps.$inferSelect, input: unknown): number | undefined {
  const code = typeof input === 'string' ? input.replace(/[\s-]/g, '') : ''
  if (!/^\d{6}$/.test(code)) return undefined
  const secret = Secret.fromBase32(unseal(tx.database.keyring, purpose(row.userId), row.sealedSecret))
  const current = Math.floor(tx.now().getTime() / periodMs)
  return [current, current - 1, current + 1].find(
    (counter) => counter > row.lastStep && equalSecrets(HOTP.generate({ secret, algorithm, digits, counter }), code),
  )
}

/**
 * Removes the authenticator. Sessions that showed it count as having shown one factor.
 *
 * @returns its id
 * @throws {UsherError} `resource_not_found`
 */
export async function removeTotp(ctx: Ctx | Tx, input: { userId: string }): Promise<{ id: string }> {
  return transaction(ctx, async (tx) => {
    const [removed] = await tx.db.delete(totps).where(eq(totps.userId, input.userId)).returning()
    if (!removed) throw new UsherError('resource_not_found', 'There is no authenticator.')
    if (removed.verifiedAt) {
      await noteSecondFactors(tx, input.userId, 'removed')
      await notifyFactorChange(tx, { userId: input.userId, factor: 'authenticator', added: false })
    }
    return { id: removed.id }
  })
}
