import type { Standing } from './decide.ts'
import { featureOf } from './grants.ts'
import { isSystemPermission } from './permission-keys.ts'

export type AccessClaims = {
  o?: { id: string; slg: string; rol: string; per?: string; fpm?: string }
  fea?: string
  /** `partial`: there was no room for all that the person holds; what is not named here has to be asked for. */
  acc?: 'partial'
}

/** One feature as a token names it: whose it is, and what may be done in it. */
type Entry = { slug: string; scope: 'o' | 'u' | 'uo'; names: string[] }

/**
 * The access part of a version 2 session token. Permissions are packed as the SDKs unpack them: `fea` lists the features
 * in scope, `per` the names of permissions, and `fpm` has for each feature of the organization a number whose bit *j*
 * says that `per[j]` may be done there. System permissions never stand in tokens.
 *
 * What does not fit is left out by whole features, from the end: first the person's own, then those of the organization
 * in which nothing may be done, then those with permissions; each kind in the order of the alphabet. The role always
 * stands.
 *
 * @param standing as the tables have it
 * @param maxBytes what the JSON of these claims may take; the organization and the role are in any case
 */
export function encodeAccessClaims(
  organization: { id: string; slug: string } | undefined,
  standing: Standing,
  maxBytes = Number.POSITIVE_INFINITY,
): AccessClaims {
  const entries = entriesOf(standing)
  const encode = (count: number): AccessClaims => ({
    ...claimsOf(organization, standing.role, entries.slice(0, count)),
    ...(count < entries.length && { acc: 'partial' }),
  })
  const all = encode(entries.length)
  if (maxBytes === Number.POSITIVE_INFINITY || sizeOf(all) <= maxBytes) return all
  // More entries never take less room, so the greatest number that fits is found by halving.
  let [fits, tooMany] = [0, entries.length]
  while (tooMany - fits > 1) {
    const middle = (fits + tooMany) >> 1
    if (sizeOf(encode(middle)) <= maxBytes) fits = middle
    else tooMany = middle
  }
  return encode(fits)
}

/** Keys and values are ASCII, all but a slug of an organization that an application chose; bytes count. */
const sizeOf = (claims: AccessClaims) => Buffer.byteLength(JSON.stringify(claims))

/** In the order in which they are kept. */
function entriesOf({ permissions, features }: Standing): Entry[] {
  const namesOf = new Map<string, string[]>()
  for (const key of permissions) {
    const name = key.split(':')[2]
    if (isSystemPermission(key) || name === undefined) continue
    const names = namesOf.get(featureOf(key)) ?? []
    namesOf.set(featureOf(key), [...names, name])
  }
  const own = new Set(features.user)
  const theirs = [...new Set([...namesOf.keys(), ...features.organization])].sort()
  const entries = theirs.map(
    (slug): Entry => ({ slug, scope: own.has(slug) ? 'uo' : 'o', names: namesOf.get(slug) ?? [] }),
  )
  const alone = [...own].filter((slug) => !theirs.includes(slug)).sort()
  return [
    ...entries.filter((e) => e.names.length > 0),
    ...entries.filter((e) => e.names.length === 0),
    ...alone.map((slug): Entry => ({ slug, scope: 'u', names: [] })),
  ]
}

function claimsOf(
  organization: { id: string; slug: string } | undefined,
  role: string | null,
  kept: Entry[],
): AccessClaims {
  const entries = kept.toSorted((a, b) => (a.slug < b.slug ? -1 : 1))
  const fea = entries.map(({ scope, slug }) => `${scope}:${slug}`).join(',')
  const claims: AccessClaims = fea ? { fea } : {}
  if (!organization || role === null) return claims
  const o = { id: organization.id, slg: organization.slug, rol: role.replace(/^org:/, '') }
  const names = [...new Set(entries.flatMap((e) => e.names))].sort()
  if (names.length === 0) return { o, ...claims }
  const bit = new Map(names.map((name, i) => [name, 1n << BigInt(i)]))
  // BigInt: there may be more names than a number has bits.
  const masks = entries
    .filter((e) => e.scope !== 'u')
    .map((e) => e.names.reduce((mask, name) => mask | (bit.get(name) ?? 0n), 0n))
  return { o: { ...o, per: names.join(','), fpm: masks.join(',') }, ...claims }
}

/** What a token's claims say of a person: the reverse of {@link encodeAccessClaims}. */
export function standingOfClaims(claims: { o?: Partial<AccessClaims['o']>; fea?: string; acc?: string }): Standing {
  const [organization, user]: [string[], string[]] = [[], []]
  for (const entry of claims.fea?.split(',') ?? []) {
    const [scope = '', slug = ''] = entry.split(':')
    if (scope.includes('o')) organization.push(slug)
    if (scope.includes('u')) user.push(slug)
  }
  const names = claims.o?.per?.split(',') ?? []
  const masks = (claims.o?.fpm?.split(',') ?? []).map((mask) => BigInt(mask || 0))
  const permissions = organization.flatMap((feature, i) =>
    names.filter((_, j) => ((masks[i] ?? 0n) >> BigInt(j)) & 1n).map((name) => `org:${feature}:${name}`),
  )
  return {
    role: claims.o?.rol ? `org:${claims.o.rol}` : null,
    permissions,
    features: { organization, user },
    knowsSystemPermissions: false,
    isPartial: claims.acc === 'partial',
  }
}
