import { UsherError } from '../../kernel/errors.ts'

/** `org:` and two parts: the feature and what may be done there. Nothing that separates lists can be part of one. */
const permissionKey = /^org:[a-z0-9_]{1,50}:[a-z0-9_]{1,50}$/
const roleKey = /^org:[a-z0-9_]{1,50}$/

export function isSystemPermission(key: string): boolean {
  return key.startsWith('org:sys_')
}

/** @throws {UsherError} `form_param_format_invalid`; also for keys that only the system may make */
export function parsePermissionKey(value: string): string {
  if (!permissionKey.test(value) || isSystemPermission(value))
    throw new UsherError('form_param_format_invalid', 'A permission key looks like org:tasks:write.', { param: 'key' })
  return value
}

/** What the keys of roles begin with that one organization made for itself: no role of the instance can be taken for one. */
const ownPrefix = 'org:org_'

/**
 * @param own whether the role is one organization's own; its key then gets the prefix of such keys
 * @throws {UsherError} `form_param_format_invalid`
 */
export function parseRoleKey(value: string, own = false): string {
  const plain = value.startsWith('org:') ? value : `org:${value}`
  const key = own && !plain.startsWith(ownPrefix) ? plain.replace(/^org:/, ownPrefix) : plain
  if (!roleKey.test(key) || key === ownPrefix || (!own && key.startsWith(ownPrefix)))
    throw new UsherError('form_param_format_invalid', 'A role key looks like org:reader, and never org:org_….', {
      param: 'key',
    })
  return key
}
