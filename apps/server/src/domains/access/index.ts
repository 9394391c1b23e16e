export { type AccessClaims, encodeAccessClaims, standingOfClaims } from './claims.ts'
export { type Decision, decide, type Question, type Standing } from './decide.ts'
export { type Grant, type MembershipStanding, permissionsOf, standingOf } from './grants.ts'
export { createPermission, deletePermission, updatePermission } from './manage-permissions.ts'
export {
  addToInitialRoleSet,
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
  getOfferedRole,
  getPermission,
  getPermissionByKey,
  getRole,
  getRoleByKey,
  type ListInput,
  listOfferedRoles,
  listPermissions,
  listRoles,
  type Permission,
  type Role,
  type RoleRecord,
} from './queries.ts'
export {
  addRolesToRoleSet,
  createRoleSet,
  deleteRoleSet,
  findRoleSet,
  findRolesForNew,
  getRoleForNew,
  getRoleSet,
  getRoleSetOf,
  listRoleSets,
  lockRoleSet,
  type RoleSet,
  type RoleSetChange,
  type RoleSetInput,
  type RoleSetItem,
  type RoleSetRecord,
  removeRoleFromRoleSet,
  updateRoleSet,
} from './role-sets.ts'
export { type SystemPermission, systemPermissions } from './seed.ts'
