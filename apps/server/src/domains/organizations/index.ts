import './follow-users.ts'

export { type CreationDefaults, findCreationDefaults } from './creation-defaults.ts'
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
  findMembership,
  findMembershipsOfUsers,
  findOrganizations,
  getMembership,
  getOrganization,
  type ListMembershipsInput,
  type ListOrganizationsInput,
  listMemberships,
  listOrganizations,
  type Membership,
  type MembershipRecord,
  type Organization,
  withOrganizationAndRole,
} from './queries.ts'
export { requireMember, requirePermission } from './require-permission.ts'
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
