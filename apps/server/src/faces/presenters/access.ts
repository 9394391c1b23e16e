import type { Grant, RoleSetItem, RoleSetRecord } from '../../domains/access/index.ts'
import type { Feature, HeldFeature } from '../../domains/features/index.ts'
import type { Group, MembershipRecord } from '../../domains/organizations/index.ts'

export function presentGroup(group: Group) {
  return {
    object: 'group' as const,
    id: group.id,
    organization_id: group.organizationId,
    name: group.name,
    description: group.description,
    source: group.source,
    roles: group.roles.map(({ id, key, name }) => ({ id, key, name })),
    members_count: group.membersCount,
    created_at: group.createdAt.getTime(),
    updated_at: group.updatedAt.getTime(),
  }
}

/** Where somebody's permissions come from. */
export function presentGrant({ source, role, group, permissions }: Grant) {
  return { source, role, group, permissions }
}

/** What a member may do, and why. The first grant is the primary role. */
export function presentMembershipAccess(membership: MembershipRecord) {
  return {
    object: 'membership_access' as const,
    id: membership.id,
    organization_id: membership.organizationId,
    user_id: membership.userId,
    role: membership.role.key,
    permissions: membership.permissions,
    features: membership.features,
    grants: membership.grants.map(presentGrant),
  }
}

export function presentFeature(feature: Feature) {
  return {
    object: 'feature' as const,
    id: feature.id,
    slug: feature.slug,
    name: feature.name,
    description: feature.description,
    avatar_url: feature.avatarUrl,
    enabled: feature.enabled,
    default_for: feature.defaultFor,
    created_at: feature.createdAt.getTime(),
    updated_at: feature.updatedAt.getTime(),
  }
}

/** A feature as one organization or person has it. */
export function presentHeldFeature(feature: HeldFeature) {
  return { ...presentFeature(feature), object: 'held_feature' as const, has: feature.has, source: feature.source }
}

function presentRoleSetItem(item: RoleSetItem) {
  return {
    object: 'role_set_item' as const,
    id: item.id,
    name: item.name,
    key: item.key,
    description: item.description,
    members_count: item.membersCount,
    has_members: item.membersCount > 0,
    created_at: item.createdAt.getTime(),
    updated_at: item.updatedAt.getTime(),
  }
}

export function presentRoleSet(set: RoleSetRecord) {
  return {
    object: 'role_set' as const,
    id: set.id,
    key: set.key,
    name: set.name,
    description: set.description,
    type: set.type,
    roles: set.roles.map(presentRoleSetItem),
    default_role: presentRoleSetItem(set.defaultRole),
    creator_role: presentRoleSetItem(set.creatorRole),
    // Members are moved within the request: there is never a migration to wait for.
    role_set_migration: null,
    created_at: set.createdAt.getTime(),
    updated_at: set.updatedAt.getTime(),
  }
}
