import { createHmac } from 'node:crypto'
import type { AuthenticationResponseJSON } from '@simplewebauthn/server'
import { and, eq, isNotNull, lte } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { purposeKey } from '../../kernel/secrets.ts'
import { emit } from '../events/index.ts'
import { consumeOneTimeToken, createOneTimeToken } from '../verifications/index.ts'
import { passkeys } from './tables.ts'

/** For whom passkeys are made: see WebAuthn Level 3 section 4, "Relying Party Identifier". */
export type RelyingParty = {
  /** Host name of the application, or a domain that it is part of. */
  rpId: string
  /** Origins whose pages may show passkeys. */
  origins: readonly string[]
}

export type PasskeyRequest = {
  /** base64url. Keep it, and hand it to {@link verifyPasskey}: it is good for one answer. */
  challenge: string
  /** JSON text of PublicKeyCredentialRequestOptions. */
  optionsJson: string
}

export type VerifiedPasskey = {
  userId: string
  passkeyId: string
  /** The device checked that it is its owner (by finger, face or PIN): two factors in one. */
  userVerified: boolean
}

/** Loaded when the first passkey is asked for: it is large, and many instances have none. */
export const webauthn = () => import('@simplewebauthn/server')

/** How long somebody may take to find their finger. */
export const challengeTtlMs = 5 * 60_000

/**
 * Asks for a passkey: anybody's when nobody is named, else one of the named person's. Who names an account that is
 * unknown or has no passkey gets made-up credential ids, the same each time, so that the answer tells nobody which
 * accounts exist (their devices find no such passkey).
 *
 * @param input.identifier what was typed, for an account that is not known
 */
export async function passkeyRequestOptions(
  ctx: Ctx | Tx,
  input: { userId?: string; identifier?: string; rpId: string },
): Promise<PasskeyRequest> {
  return transaction(ctx, async (tx) => {
    const { userId, identifier, rpId } = input
    const known = userId === undefined ? [] : await credentialsOf(tx, userId)
    const seed = userId ?? identifier
    const allowCredentials = known.length > 0 || seed === undefined ? known : madeUpCredentials(tx, seed)
    const expiresAt = new Date(tx.now().getTime() + challengeTtlMs)
    const { token: challenge } = await createOneTimeToken(tx, {
      kind: 'passkey_challenge',
      subjectId: userId ?? '',
      expiresAt,
    })
    const { generateAuthenticationOptions } = await webauthn()
    const options = await generateAuthenticationOptions({
      rpID: rpId,
      challenge: new Uint8Array(Buffer.from(challenge, 'base64url')),
      allowCredentials,
      userVerification: 'required',
      timeout: challengeTtlMs,
    })
    return { challenge, optionsJson: JSON.stringify(options) }
  })
}

async function credentialsOf(tx: Tx, userId: string) {
  const rows = await tx.db
    .select({ id: passkeys.credentialId, transports: passkeys.transports })
    .from(passkeys)
    .where(and(eq(passkeys.userId, userId), isNotNull(passkeys.verifiedAt)))
  return rows.flatMap(({ id, transports }) => (id === null ? [] : [{ id, transports }]))
}

function madeUpCredentials(ctx: Ctx, seed: string) {
  const key = purposeKey(ctx.database.keyring, 'passkey_decoy') ?? ''
  const digest = createHmac('sha256', key).update(`${ctx.instance.id}:${seed.toLowerCase()}`).digest()
  // Ids as the common platforms make them: Apple and Google 20 and 16 bytes, security keys and Windows 32 and more.
  const length = [16, 20, 20, 32][(digest[31] ?? 0) % 4]
  return [{ id: digest.subarray(0, length).toString('base64url'), transports: ['hybrid', 'internal'] }]
}

/**
 * Checks what a device answered to {@link passkeyRequestOptions}. The challenge is spent by it.
 *
 * @param input.credential the browser's PublicKeyCredential as JSON, text or parsed
 * @throws {UsherError} `passkey_invalid`, or `verification_expired` when the challenge is over
 */
export async function verifyPasskey(
  tx: Tx,
  input: RelyingParty & { challenge: string; credential: unknown },
): Promise<VerifiedPasskey> {
  const askedOf = await spendChallenge(tx, input.challenge)
  const response = parseCredential<AuthenticationResponseJSON>(input.credential)
  const [passkey] = await tx.db
    .select()
    .from(passkeys)
    .where(and(eq(passkeys.credentialId, response.id), isNotNull(passkeys.verifiedAt)))
  if (!passkey?.publicKey || (askedOf && passkey.userId !== askedOf)) throw invalidPasskey()
  const { origins, rpId, challenge } = input
  const { verifyAuthenticationResponse } = await webauthn()
  const checked = await verifyAuthenticationResponse({
    response,
    expectedChallenge: challenge,
    expectedOrigin: [...origins],
    expectedRPID: rpId,
    credential: {
      id: response.id,
      publicKey: new Uint8Array(Buffer.from(passkey.publicKey, 'base64url')),
      counter: passkey.signCount,
      transports: passkey.transports,
    },
    requireUserVerification: true,
  }).catch((error: unknown) => {
    tx.log.info({ err: error, passkey: passkey.id }, 'a passkey was refused')
    throw invalidPasskey()
  })
  if (!checked.verified) throw invalidPasskey()
  const { newCounter, userVerified, credentialBackedUp } = checked.authenticationInfo
  // A counter that does not grow is a copied authenticator; those that do not count stay at zero.
  const [used] = await tx.db
    .update(passkeys)
    .set({ signCount: newCounter, backedUp: credentialBackedUp, lastUsedAt: tx.now(), updatedAt: tx.now() })
    .where(and(eq(passkeys.id, passkey.id), lte(passkeys.signCount, newCounter)))
    .returning({ id: passkeys.id })
  if (!used) throw invalidPasskey()
  emit(tx, { type: 'user.updated', subject: passkey.userId, data: { user_id: passkey.userId } })
  return { userId: passkey.userId, passkeyId: passkey.id, userVerified }
}

/** @returns whose passkey was asked for; empty: anybody's */
async function spendChallenge(tx: Tx, challenge: string): Promise<string> {
  try {
    return (await consumeOneTimeToken(tx, 'passkey_challenge', challenge)).subjectId
  } catch (error) {
    if (error instanceof UsherError && /^(ticket_|token_)/.test(error.code))
      throw new UsherError('verification_expired', 'This took too long. Please try the passkey again.')
    throw error
  }
}

export const invalidPasskey = () =>
  new UsherError('passkey_invalid', 'This passkey could not be verified.', { param: 'public_key_credential' })

/** @throws {UsherError} `passkey_invalid` unless it is JSON with the shape of a PublicKeyCredential */
export function parseCredential<T extends { id: string; response: unknown }>(input: unknown): T {
  let value = input
  try {
    if (typeof input === 'string') value = JSON.parse(input)
  } catch {
    throw invalidPasskey()
  }
  const credential = value as T | null
  if (typeof credential !== 'object' || typeof credential?.id !== 'string' || typeof credential.response !== 'object')
    throw invalidPasskey()
  return credential
}
