import { isSystemPermission } from './permission-keys.ts'

/** What the claims are made from: see `MembershipRecord` of the organizations domain. */
export type ClaimsSource = {
  organization: { id: string; slug: string }
  role: { key: string; permissions: readonly string[] }
}

export type OrganizationClaims = {
  o: { id: string; slg: string; rol: string; per?: string; fpm?: string }
  fea?: string
}

/**
 * The organization part of a version 2 session token. Permissions are packed as the SDKs unpack them: `fea` lists the
 * features in scope, `per` the names of permissions, and `fpm` has for each feature a number whose bit *j* says that
 * the role may do `per[j]` there. System permissions never stand in tokens.
 */
export function encodeOrganizationClaims({ organization, role }: ClaimsSource): OrganizationClaims {
  const held = role.permissions
    .filter((key) => !isSystemPermission(key))
    .map((key) => key.split(':'))
    .filter((parts): parts is [string, string, string] => parts.length === 3)
  const features = [...new Set(held.map(([, feature]) => feature))].sort()
  const names = [...new Set(held.map(([, , name]) => name))].sort()
  const o = { id: organization.id, slg: organization.slug, rol: role.key.replace(/^org:/, '') }
  if (features.length === 0) return { o }
  const masks = features.map((feature) => {
    const granted = held.filter(([, f]) => f === feature).map(([, , name]) => names.indexOf(name))
    // BigInt: there may be more names than a number has bits.
    return granted.reduce((mask, bit) => mask | (1n << BigInt(bit)), 0n)
  })
  return {
    o: { ...o, per: names.join(','), fpm: masks.join(',') },
    fea: features.map((feature) => `o:${feature}`).join(','),
  }
}
