import type { Standing } from './decide.ts'
import { isSystemPermission } from './permission-keys.ts'

/** Where a membership's permissions come from: one role, or permissions without one. */
export type Grant = {
  /** Who decided: a person or the application, a verified domain, a directory; or the role is a group's. */
  source: 'direct' | 'domain' | 'directory' | 'group'
  role: { id: string; key: string; name: string } | null
  /** The group that has the role. */
  group: { id: string; name: string } | null
  permissions: string[]
}

/** Slugs of the features that an instance defines, each with whether somebody has it. */
export type FeatureStates = ReadonlyMap<string, boolean>

/** The feature that a permission belongs to: the middle of its key. */
export const featureOf = (permissionKey: string): string => permissionKey.split(':')[1] ?? ''

/**
 * The permissions that come of grants. One that belongs to a feature counts only while the organization has the feature;
 * a permission of no defined feature always counts.
 */
export function permissionsOf(grants: readonly Grant[], features: FeatureStates): string[] {
  const held = new Set(grants.flatMap((grant) => grant.permissions))
  return [...held].filter((key) => features.get(featureOf(key)) !== false).sort()
}

/** What memberships say, as far as decisions rest on it: see `MembershipRecord` of the organizations domain. */
export type MembershipStanding = {
  role: { key: string }
  permissions: readonly string[]
  /** Slugs of the organization's features. */
  features: readonly string[]
}

/** The standing of somebody who acts in an organization, or in none, as the tables have it. */
export function standingOf(membership: MembershipStanding | undefined, userFeatures: readonly string[]): Standing {
  const permissions = membership?.permissions ?? []
  const own = permissions.filter((key) => !isSystemPermission(key))
  return {
    role: membership?.role.key ?? null,
    permissions,
    features: {
      // Whoever may do something in a feature has it: a token could not say otherwise.
      organization: membership ? [...new Set([...membership.features, ...own.map(featureOf)])] : [],
      user: userFeatures,
    },
    knowsSystemPermissions: true,
    isPartial: false,
  }
}
