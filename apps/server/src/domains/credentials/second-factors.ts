import type { Instance } from '../instances/index.ts'
import type { UserRecord } from '../users/index.ts'

export type SecondFactor =
  | { strategy: 'totp' }
  | {
      strategy: 'phone_code'
      phoneNumberId: string
      /** E.164. Show it masked to whoever has shown a first factor only. */
      phoneNumber: string
      default: boolean
    }
  | { strategy: 'backup_code' }

/**
 * The second factors that somebody has to show one of, in the order in which they are offered. Empty: none is asked
 * for. Kinds that the instance has switched off are not in it; backup codes only stand in for another one.
 */
export function secondFactorsOf(instance: Instance, user: UserRecord): SecondFactor[] {
  const { totp, phoneCode, backupCodes } = instance.settings.secondFactors
  const factors: SecondFactor[] = []
  if (totp && user.totpEnabled) factors.push({ strategy: 'totp' })
  if (phoneCode)
    for (const number of user.phoneNumbers.filter((n) => n.reservedForSecondFactor && n.verifiedAt !== null))
      factors.push({
        strategy: 'phone_code',
        phoneNumberId: number.id,
        phoneNumber: number.phoneNumber,
        default: number.defaultSecondFactor,
      })
  if (backupCodes && factors.length > 0 && user.backupCodeEnabled) factors.push({ strategy: 'backup_code' })
  return factors
}
