import { UsherError } from '../../kernel/errors.ts'
import type { ExternalAccountProfile } from '../users/index.ts'
import { parseEmailAddress } from '../verifications/index.ts'
import type { Claims, Provider } from './providers.ts'

/**
 * What a provider said, in our words. Who is meant has to be said beyond doubt: an answer without a subject is no
 * answer, or everybody whose subject is missing would be one person.
 *
 * @throws {UsherError} `oauth_provider_failed`
 */
export function readProfile(
  provider: Provider,
  claims: Claims,
  approvedScopes: string,
): Omit<ExternalAccountProfile, 'sealedTokens' | 'tokensExpireAt'> {
  const { claims: names } = provider
  const providerUserId = subjectOf(at(claims, names.sub))
  const whole = text(at(claims, names.name))
  const [first = null, ...rest] = whole?.split(' ') ?? []
  const emailAddress = addressOf(at(claims, names.email))
  return {
    provider: provider.key,
    providerUserId,
    emailAddress,
    emailVerified: emailAddress !== null && isTrue(at(claims, names.emailVerified)),
    firstName: text(at(claims, names.firstName)) ?? first,
    lastName: text(at(claims, names.lastName)) ?? (rest.join(' ') || null),
    username: text(at(claims, names.username)),
    imageUrl: pictureOf(at(claims, names.picture)),
    phoneNumber: null,
    approvedScopes,
  }
}

/** The value under `a.b.c`; nothing when a step is missing. */
function at(claims: Claims, path: string | undefined): unknown {
  if (path === undefined) return undefined
  let value: unknown = claims
  for (const step of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    value = (value as Claims)[step]
  }
  return value
}

/** Numbers are ids at some providers. Zero, emptiness and objects are no subjects. */
function subjectOf(value: unknown): string {
  if (typeof value === 'string' && value.trim() !== '' && value.length <= 255) return value
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return String(value)
  throw new UsherError('oauth_provider_failed', 'The provider did not say whose account this is.')
}

/** Only a plain yes counts: true, or the text that some providers write for it. */
const isTrue = (value: unknown) => value === true || value === 'true'

function text(value: unknown): string | null {
  return typeof value === 'string' && value.trim() !== '' ? value.trim().slice(0, 256) : null
}

/** What is no address of one person is no address. */
function addressOf(value: unknown): string | null {
  try {
    return typeof value === 'string' ? parseEmailAddress(value) : null
  } catch {
    return null
  }
}

function pictureOf(value: unknown): string | null {
  if (typeof value !== 'string' || value.length > 2048 || !URL.canParse(value)) return null
  return new URL(value).protocol === 'https:' ? value : null
}
