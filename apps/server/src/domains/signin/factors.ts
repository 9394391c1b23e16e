import { createHmac } from 'node:crypto'
import type { Ctx } from '../../kernel/ctx.ts'
import { idFrom } from '../../kernel/ids.ts'
import { purposeKey } from '../../kernel/secrets.ts'
import { type SecondFactor, secondFactorsOf } from '../credentials/index.ts'
import type { Instance } from '../instances/index.ts'
import type { Identifier, UserRecord } from '../users/index.ts'

export type FirstFactor =
  | { strategy: 'password' | 'passkey' }
  | {
      strategy: 'email_code' | 'email_link' | 'reset_password_email_code'
      emailAddressId: string
      emailAddress: string
      primary: boolean
    }
  | {
      strategy: 'phone_code' | 'reset_password_phone_code'
      phoneNumberId: string
      phoneNumber: string
      primary: boolean
    }
  | { strategy: `oauth_${string}` }

/** What a sign-in asks for after the first factor: a factor that was set up, or proof of a mailbox on a new device. */
export type FurtherFactor =
  | SecondFactor
  | { strategy: 'email_code'; emailAddressId: string; emailAddress: string; primary: boolean }

/**
 * Ways in which a person can begin to prove who they are: only addresses and numbers that they have proven count, and
 * only what the instance has switched on. A number that takes second-factor codes is no first factor, or whoever holds
 * the phone would have both; only a person who has nothing else begins with it.
 */
export function firstFactorsOf(instance: Instance, user: UserRecord): FirstFactor[] {
  const apart = user.phoneNumbers.filter((n) => !n.reservedForSecondFactor)
  const factors = factorsWith(instance, user, apart)
  const { phoneCode } = instance.settings.secondFactors
  return phoneCode && factors.length > 0 ? factors : factorsWith(instance, user, user.phoneNumbers)
}

function factorsWith(instance: Instance, user: UserRecord, numbers: UserRecord['phoneNumbers']): FirstFactor[] {
  const { password, emailAddress, phoneNumber, passkeys } = instance.settings
  const withPassword = password.use !== 'off' && user.passwordEnabled
  const emails = user.emailAddresses
    .filter((e) => e.verifiedAt !== null)
    .map((e) => ({ emailAddressId: e.id, emailAddress: e.emailAddress, primary: e.id === user.primaryEmailAddressId }))
  const phones = numbers
    .filter((n) => n.verifiedAt !== null)
    .map((n) => ({ phoneNumberId: n.id, phoneNumber: n.phoneNumber, primary: n.id === user.primaryPhoneNumberId }))
  const phoneInUse = phoneNumber.use !== 'off'
  const factors: FirstFactor[] = []
  if (withPassword) factors.push({ strategy: 'password' })
  // Where an instance does not tell who has an account, it does not tell who has a passkey either.
  if (passkeys.enabled && (user.passkeys.length > 0 || instance.settings.enumerationProtection))
    factors.push({ strategy: 'passkey' })
  if (emailAddress.codes) for (const email of emails) factors.push({ strategy: 'email_code', ...email })
  if (emailAddress.links) for (const email of emails) factors.push({ strategy: 'email_link', ...email })
  if (phoneInUse && phoneNumber.signIn) for (const phone of phones) factors.push({ strategy: 'phone_code', ...phone })
  if (withPassword) for (const email of emails) factors.push({ strategy: 'reset_password_email_code', ...email })
  if (withPassword && phoneInUse)
    for (const phone of phones) factors.push({ strategy: 'reset_password_phone_code', ...phone })
  const providers = new Set(user.externalAccounts.filter((a) => a.verifiedAt !== null).map((a) => a.provider))
  for (const provider of providers) factors.push({ strategy: `oauth_${provider}` })
  return factors
}

/** Whether a factor is one of somebody's own, and not only one that looks plausible. */
export function hasFactor(instance: Instance, user: UserRecord, factor: { strategy: string; id: string | null }) {
  return firstFactorsOf(instance, user).some((f) => f.strategy === factor.strategy && idOfFactor(f) === factor.id)
}

export const idOfFactor = (f: FirstFactor): string | null =>
  'emailAddressId' in f ? f.emailAddressId : 'phoneNumberId' in f ? f.phoneNumberId : null

/**
 * What any identifier looks like where an instance does not tell who has an account: the factors that an ordinary
 * account would have, with ids that stay the same for the same identifier.
 *
 * @param user who has the identifier, if anybody; only the id of what was typed is taken from them
 */
export function plausibleFactorsOf(ctx: Ctx, { kind, value }: Identifier, user?: UserRecord): FirstFactor[] {
  const { password, emailAddress, passkeys } = ctx.instance.settings
  const key = purposeKey(ctx.database.keyring, 'identifier_decoy') ?? ''
  const id =
    user?.emailAddresses.find((e) => e.emailAddress === value)?.id ??
    user?.phoneNumbers.find((n) => n.phoneNumber === value)?.id ??
    idFrom('identification', createHmac('sha512', key).update(`${ctx.instance.id}:${value}`).digest())
  const email = { emailAddressId: id, emailAddress: value, primary: true }
  const factors: FirstFactor[] = []
  if (password.use !== 'off') factors.push({ strategy: 'password' })
  if (passkeys.enabled) factors.push({ strategy: 'passkey' })
  if (kind === 'email_address' && emailAddress.codes) factors.push({ strategy: 'email_code', ...email })
  if (kind === 'email_address' && emailAddress.links) factors.push({ strategy: 'email_link', ...email })
  if (kind === 'phone_number')
    factors.push({ strategy: 'phone_code', phoneNumberId: id, phoneNumber: value, primary: true })
  if (kind === 'email_address' && password.use !== 'off')
    factors.push({ strategy: 'reset_password_email_code', ...email })
  if (kind === 'phone_number' && password.use !== 'off')
    factors.push({ strategy: 'reset_password_phone_code', phoneNumberId: id, phoneNumber: value, primary: true })
  return factors
}

/** What a sign-in that is past its first factor still asks for. */
export function furtherFactorsOf(
  instance: Instance,
  user: UserRecord,
  status: 'needs_second_factor' | 'needs_client_trust',
): FurtherFactor[] {
  return status === 'needs_second_factor' ? secondFactorsOf(instance, user) : trustFactorsOf(instance, user)
}

/** Mailboxes that can vouch for a new device; numbers for whoever has none, as texts are not for free. */
export function trustFactorsOf(instance: Instance, user: UserRecord): FurtherFactor[] {
  const mailboxes = user.emailAddresses
    .filter((e) => e.verifiedAt !== null)
    .map((e) => ({
      strategy: 'email_code' as const,
      emailAddressId: e.id,
      emailAddress: e.emailAddress,
      primary: e.id === user.primaryEmailAddressId,
    }))
  if (mailboxes.length > 0 || instance.settings.phoneNumber.use === 'off') return mailboxes
  return user.phoneNumbers
    .filter((n) => n.verifiedAt !== null)
    .map((n) => ({
      strategy: 'phone_code' as const,
      phoneNumberId: n.id,
      phoneNumber: n.phoneNumber,
      default: n.id === user.primaryPhoneNumberId,
    }))
}
