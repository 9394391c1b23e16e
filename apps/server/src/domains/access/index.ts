export { type AccessClaims, encodeAccessClaims, standingOfClaims } from './claims.ts'
export { type Decision, decide, type Question, type Standing } from './decide.ts'
export { type Grant, type MembershipStanding, permissionsOf, standingOf } from './grants.ts'
export { createPermission, deletePermission, updatePermission } from './manage-permissions.ts'
export {
  createRole,
  deleteRole,
  grantPermission,
  type RoleInput,
  updateRole,
  withdrawPermission,
} from './manage-roles.ts'
export {
  findRoleByKey,
  findRolesByIds,
  getPermission,
  getRole,
  getRoleByKey,
  listPermissions,
  listRoles,
  type Permission,
  type Role,
  type RoleRecord,
} from './queries.ts'
export { type SystemPermission, systemPermissions } from './seed.ts'
