import type { Permission, RoleRecord } from '../../domains/access/index.ts'
import type { InvitationRecord, MembershipRecord, Organization } from '../../domains/organizations/index.ts'
import type { UserRecord } from '../../domains/users/index.ts'
import { defaultImageUrl } from './image.ts'
import { presentPublicUserData } from './user.ts'

type Options = {
  /** For the application's server: with what browsers may not see. */
  private?: boolean
}

export function presentOrganization(organization: Organization, options: Options = {}) {
  return {
    object: 'organization' as const,
    id: organization.id,
    name: organization.name,
    slug: organization.slug,
    image_url: organization.imageUrl ?? defaultImageUrl(organization.id, organization.name),
    has_image: organization.imageUrl !== null,
    members_count: organization.membersCount,
    pending_invitations_count: organization.pendingInvitationsCount,
    max_allowed_memberships: organization.maxAllowedMemberships,
    admin_delete_enabled: organization.adminDeleteEnabled,
    self_serve_sso_enabled: false,
    exclusive_membership: false,
    public_metadata: organization.publicMetadata,
    ...(options.private && {
      private_metadata: organization.privateMetadata,
      created_by: organization.createdBy,
      role_set_key: organization.roleSetKey,
      external_id: organization.externalId,
    }),
    created_at: organization.createdAt.getTime(),
    updated_at: organization.updatedAt.getTime(),
  }
}

export function presentMembership(membership: MembershipRecord, user: UserRecord | undefined, options: Options = {}) {
  return {
    object: 'organization_membership' as const,
    id: membership.id,
    organization: presentOrganization(membership.organization, options),
    role: membership.role.key,
    role_name: membership.role.name,
    permissions: membership.permissions,
    public_metadata: membership.publicMetadata,
    ...(options.private && { private_metadata: membership.privateMetadata }),
    public_user_data: user ? presentPublicUserData(user) : null,
    created_at: membership.createdAt.getTime(),
    updated_at: membership.updatedAt.getTime(),
  }
}

export function presentInvitation(invitation: InvitationRecord & { url?: string }, options: Options = {}) {
  const { organization } = invitation
  const { id, name, slug, image_url, has_image } = presentOrganization(organization)
  return {
    object: 'organization_invitation' as const,
    id: invitation.id,
    email_address: invitation.emailAddress,
    organization_id: organization.id,
    role: invitation.role.key,
    role_name: invitation.role.name,
    status: invitation.status,
    // The link is a key to the invited mailbox's place: only the application's server gets it, once.
    url: options.private ? (invitation.url ?? null) : null,
    public_metadata: invitation.publicMetadata,
    ...(options.private && { private_metadata: invitation.privateMetadata }),
    public_organization_data: { id, name, slug, image_url, has_image },
    expires_at: invitation.expiresAt.getTime(),
    created_at: invitation.createdAt.getTime(),
    updated_at: invitation.updatedAt.getTime(),
  }
}

export function presentPermission(permission: Permission) {
  return {
    object: 'permission' as const,
    id: permission.id,
    key: permission.key,
    name: permission.name,
    description: permission.description,
    type: permission.type,
    created_at: permission.createdAt.getTime(),
    updated_at: permission.updatedAt.getTime(),
  }
}

export function presentRole(role: RoleRecord) {
  return {
    object: 'role' as const,
    id: role.id,
    key: role.key,
    name: role.name,
    description: role.description,
    permissions: role.permissions.map(presentPermission),
    is_creator_eligible: role.isCreatorEligible,
    created_at: role.createdAt.getTime(),
    updated_at: role.updatedAt.getTime(),
  }
}
