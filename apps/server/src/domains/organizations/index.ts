export {
  acceptInvitation,
  findInvitationForTicket,
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
  findMembership,
  findMembershipsOfUsers,
  getMembership,
  getOrganization,
  type ListMembershipsInput,
  type ListOrganizationsInput,
  listMemberships,
  listOrganizations,
  type Membership,
  type MembershipRecord,
  type Organization,
} from './queries.ts'
export { requireMember, requirePermission } from './require-permission.ts'
