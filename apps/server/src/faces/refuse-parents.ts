import { UsherError } from '../kernel/errors.ts'

const parents = [
  'parent',
  'parent_id',
  'parent_organization',
  'parent_organization_id',
  'parent_group',
  'parent_group_id',
] as const

/**
 * Refuses a body that names a parent. Parameters that are not known are ignored elsewhere; whoever sends this one
 * believes that rights follow from it, and has to hear that they do not.
 *
 * @throws {UsherError} `form_param_unknown`
 */
export function refuseParents(body: unknown): void {
  if (typeof body !== 'object' || body === null) return
  const param = parents.find((name) => Object.hasOwn(body, name))
  if (param !== undefined)
    throw new UsherError('form_param_unknown', 'There is no hierarchy: organizations and groups have no parents.', {
      param,
    })
}
