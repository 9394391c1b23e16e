import type { RegistrationResponseJSON } from '@simplewebauthn/server'
import { and, eq, gt, isNotNull, isNull } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { newToken } from '../../kernel/secrets.ts'
import { emit } from '../events/index.ts'
import { noteSecondFactors, type PasskeySummary } from '../users/index.ts'
import { notifyFactorChange } from './notify-factor-change.ts'
import { passkeyProvider } from './passkey-providers.ts'
import { challengeTtlMs, invalidPasskey, parseCredential, type RelyingParty, webauthn } from './passkeys.ts'
import { passkeys } from './tables.ts'

/** Passkeys that one account holds at most. */
const maxPasskeys = 20

export type PasskeyRegistration = {
  id: string
  name: string
  /** JSON text of PublicKeyCredentialCreationOptions. */
  optionsJson: string
  expiresAt: Date
  createdAt: Date
}

/**
 * Begins to register a passkey. A registration that was begun before and never finished is over.
 *
 * @param input.accountName what the device lists the passkey under, e.g. the person's email address
 * @throws {UsherError} `forbidden` when the account holds as many as it may, or passkeys are switched off
 */
export async function startPasskey(
  ctx: Ctx | Tx,
  input: { userId: string; accountName: string; displayName: string; rpId: string },
): Promise<PasskeyRegistration> {
  if (!ctx.instance.settings.passkeys.enabled) throw new UsherError('forbidden', 'Passkeys are switched off.')
  return transaction(ctx, async (tx) => {
    const { userId } = input
    const ofUser = eq(passkeys.userId, userId)
    const held = await tx.db
      .select()
      .from(passkeys)
      .where(and(ofUser, isNotNull(passkeys.verifiedAt)))
    if (held.length >= maxPasskeys)
      throw new UsherError(
        'forbidden',
        `An account can have ${maxPasskeys} passkeys. Remove one before adding another.`,
      )
    await tx.db.delete(passkeys).where(and(ofUser, isNull(passkeys.verifiedAt)))
    const challenge = newToken()
    const now = tx.now()
    const row = {
      id: newId('passkey'),
      instanceId: tx.instance.id,
      userId,
      name: 'Passkey',
      challenge,
      challengeExpiresAt: new Date(now.getTime() + challengeTtlMs),
      createdAt: now,
      updatedAt: now,
    }
    await tx.db.insert(passkeys).values(row)
    const { generateRegistrationOptions } = await webauthn()
    const options = await generateRegistrationOptions({
      rpName: tx.instance.settings.applicationName,
      rpID: input.rpId,
      userID: new Uint8Array(Buffer.from(userId)),
      userName: input.accountName,
      userDisplayName: input.displayName,
      challenge: new Uint8Array(Buffer.from(challenge, 'base64url')),
      timeout: challengeTtlMs,
      attestationType: 'none',
      excludeCredentials: held.flatMap((p) =>
        p.credentialId ? [{ id: p.credentialId, transports: p.transports }] : [],
      ),
      // Discoverable, so that it signs in without a name being typed; and the device checks who holds it.
      authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
    })
    const { id, name, challengeExpiresAt: expiresAt, createdAt } = row
    return { id, name, optionsJson: JSON.stringify(options), expiresAt, createdAt }
  })
}

/**
 * Finishes a registration with what the device answered. The challenge is spent, whatever comes of it.
 *
 * @param ctx not inside a transaction: a refused answer must not give the challenge back
 * @param input.credential the browser's PublicKeyCredential as JSON, text or parsed
 * @param input.device what it is called when the device does not say who made it
 * @throws {UsherError} `resource_not_found`, `verification_expired` or `passkey_invalid`
 */
export async function confirmPasskey(
  ctx: Ctx,
  input: RelyingParty & { userId: string; id: string; credential: unknown; device?: string | undefined },
): Promise<PasskeySummary> {
  const challenge = await takeChallenge(ctx, input)
  const response = parseCredential<RegistrationResponseJSON>(input.credential)
  const { verifyRegistrationResponse } = await webauthn()
  const checked = await verifyRegistrationResponse({
    response,
    expectedChallenge: challenge,
    expectedOrigin: [...input.origins],
    expectedRPID: input.rpId,
    requireUserVerification: true,
  }).catch((error: unknown) => {
    ctx.log.info({ err: error, passkey: input.id }, 'the registration of a passkey was refused')
    throw invalidPasskey()
  })
  if (!checked.verified) throw invalidPasskey()
  const { credential, credentialBackedUp, aaguid } = checked.registrationInfo
  return transaction(ctx, async (tx) => {
    const now = tx.now()
    const row = {
      name: passkeyProvider(aaguid) ?? (input.device ? `Passkey on ${input.device}` : 'Passkey'),
      credentialId: credential.id,
      publicKey: Buffer.from(credential.publicKey).toString('base64url'),
      signCount: credential.counter,
      transports: (credential.transports ?? []).slice(0, 10),
      backedUp: credentialBackedUp,
      verifiedAt: now,
      updatedAt: now,
    }
    try {
      const [made] = await tx.db.update(passkeys).set(row).where(own(input)).returning()
      if (!made) throw notFound()
      await changed(tx, input.userId)
      await notifyFactorChange(tx, { userId: input.userId, factor: 'passkey', passkeyName: made.name, added: true })
      return summary(made)
    } catch (error) {
      throw isUniqueViolation(error) ? invalidPasskey() : error
    }
  })
}

async function takeChallenge(ctx: Ctx, input: { id: string; userId: string }): Promise<string> {
  return transaction(ctx, async (tx) => {
    const [known] = await tx.db.select().from(passkeys).where(own(input))
    if (!known) throw notFound()
    const [taken] = await tx.db
      .update(passkeys)
      .set({ challenge: null })
      .where(and(own(input), eq(passkeys.challenge, known.challenge ?? ''), gt(passkeys.challengeExpiresAt, tx.now())))
      .returning({ id: passkeys.id })
    if (!taken || known.challenge === null)
      throw new UsherError('verification_expired', 'This took too long. Please add the passkey again.')
    return known.challenge
  })
}

/** @throws {UsherError} `resource_not_found` */
export async function renamePasskey(
  ctx: Ctx | Tx,
  input: { userId: string; id: string; name: string },
): Promise<PasskeySummary> {
  return transaction(ctx, async (tx) => {
    const [renamed] = await tx.db
      .update(passkeys)
      .set({ name: input.name, updatedAt: tx.now() })
      .where(and(own(input), isNotNull(passkeys.verifiedAt)))
      .returning()
    if (!renamed) throw notFound()
    await changed(tx, input.userId)
    return summary(renamed)
  })
}

/** Removes a passkey: a session may have counted it as two factors. @throws {UsherError} `resource_not_found` */
export async function removePasskey(ctx: Ctx | Tx, input: { userId: string; id: string }): Promise<void> {
  await transaction(ctx, async (tx) => {
    const [removed] = await tx.db.delete(passkeys).where(own(input)).returning()
    if (!removed) throw notFound()
    if (!removed.verifiedAt) return
    await noteSecondFactors(tx, input.userId, 'removed')
    await notifyFactorChange(tx, { userId: input.userId, factor: 'passkey', passkeyName: removed.name, added: false })
  })
}

const own = (input: { id: string; userId: string }) => and(eq(passkeys.id, input.id), eq(passkeys.userId, input.userId))

const notFound = () => new UsherError('resource_not_found', 'There is no such passkey.')

const changed = (tx: Tx, userId: string) =>
  emit(tx, { type: 'user.updated', subject: userId, data: { user_id: userId } })

function summary(row: typeof passkeys.$inferSelect): PasskeySummary {
  return {
    id: row.id,
    name: row.name,
    lastUsedAt: row.lastUsedAt?.getTime() ?? null,
    verifiedAt: row.verifiedAt?.getTime() ?? 0,
    createdAt: row.createdAt.getTime(),
    updatedAt: row.updatedAt.getTime(),
  }
}
