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

/** @throws {UsherError} `form_param_format_invalid` */
export function parseRoleKey(value: string): string {
  const key = value.startsWith('org:') ? value : `org:${value}`
  if (!roleKey.test(key))
    throw new UsherError('form_param_format_invalid', 'A role key looks like org:reader.', { param: 'key' })
  return key
}
