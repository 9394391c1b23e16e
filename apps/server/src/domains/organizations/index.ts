import './follow-users.ts'

export { type AccessCheck, checkAccess } from './check-access.ts'
export { type CreationDefaults, findCreationDefaults } from './creation-defaults.ts'
export { parseDomainName } from './domain-name.ts'
export {
  createOrganizationDomain,
  type DomainRecord,
  deleteOrganizationDomain,
  findDomains,
  getDomain,
  listOrganizationDomains,
  type OrganizationDomain,
  updateOrganizationDomain,
} from './domains.ts'
export { enroll } from './enrollment.ts'
export { type AccessColumns, accessColumns, readAccess } from './grants.ts'
export {
  addGroupMember,
  addGroupRole,
  createGroup,
  deleteGroup,
  type Group,
  getGroup,
  type ListGroupsInput,
  listGroupMembers,
  listGroups,
  removeGroupMember,
  removeGroupRole,
  updateGroup,
} from './groups.ts'
export {
  acceptInvitation,
  findInvitationForTicket,
  findInvitations,
  getInvitation,
  type InvitationRecord,
  type InviteInput,
  inviteMembers,
  type ListInvitationsInput,
  listOrganizationInvitations,
  type OrganizationInvitation,
  revokeOrganizationInvitation,
} from './invitations.ts'
export { addMemberPermission, addMemberRole, removeMemberPermission, removeMemberRole } from './manage-grants.ts'
export {
  addMember,
  changeMemberRole,
  type MembershipInput,
  mergeMembershipMetadata,
  removeMember,
} from './manage-memberships.ts'
export {
  createOrganization,
  deleteOrganization,
  mergeOrganizationMetadata,
  type OrganizationInput,
  setOrganizationImage,
  type UpdateOrganizationInput,
  updateOrganization,
} from './manage-organizations.ts'
export {
  acceptMembershipRequest,
  listMembershipRequests,
  rejectMembershipRequest,
} from './membership-requests.ts'
export { nameSkeleton } from './names.ts'
export type { MembershipRequest } from './open-requests.ts'
export {
  createOrganizationRole,
  deleteOrganizationRole,
  listOrganizationRoles,
  updateOrganizationRole,
} from './own-roles.ts'
export {
  findMembership,
  findMembershipAccess,
  findMembershipsOfUsers,
  findOrganizations,
  getMembership,
  getOrganization,
  type ListMembershipsInput,
  type ListOrganizationsInput,
  listMemberships,
  listOrganizations,
  type Membership,
  type MembershipAccess,
  type MembershipRecord,
  type Organization,
  withOrganizationAndRole,
} from './queries.ts'
export { requireMember, requirePermission } from './require-permission.ts'
export { replaceRoleInRoleSet, replaceRoleSet } from './role-sets.ts'
export {
  acceptSuggestion,
  listSuggestions,
  type OrganizationSuggestion,
  type SuggestionRecord,
} from './suggestions.ts'
export {
  attemptAffiliation,
  attemptOwnership,
  type BulkOutcome,
  prepareAffiliation,
  prepareOwnership,
  recordNameOf,
} from './verify-domain.ts'
