import { isSystemPermission } from './permission-keys.ts'

/** What is known of a caller: of a membership read from the tables, or of a token's claims. */
export type Standing = {
  /** Key of the primary role in the organization they act in; null: they act in none. */
  role: string | null
  permissions: readonly string[]
  /** Slugs. Those of the organization include every feature in which a permission is held. */
  features: { organization: readonly string[]; user: readonly string[] }
  /** Whether system permissions are among the permissions. Tokens never name them. */
  knowsSystemPermissions: boolean
  /** Whether more is held than is named here, as in a token that had no room. */
  isPartial: boolean
}

/** What is asked. Several things at once are asked together: all of them are needed. */
export type Question = {
  /** With or without `org:`. */
  role?: string | undefined
  permission?: string | undefined
  /** `reports`: of the organization or the person; `org:reports` (also `o:`, `organization:`) or `user:reports` (`u:`): of one of them. */
  feature?: string | undefined
}

/**
 * `pass`: it is held. `fail`: it is known not to be held. `absent`: nothing is known that could answer, which is as good
 * as no.
 */
export type Decision = 'pass' | 'fail' | 'absent'

/**
 * The one place where it is decided whether somebody has a role, a permission or a feature. Whatever asks (a token's
 * reader, a face, a socket) asks here, and lets only `pass` through.
 */
export function decide(standing: Standing, question: Question): Decision {
  const answers: Decision[] = []
  if (question.role !== undefined) answers.push(decideRole(standing, withOrg(question.role)))
  if (question.permission !== undefined) answers.push(decidePermission(standing, withOrg(question.permission)))
  if (question.feature !== undefined) answers.push(decideFeature(standing, question.feature))
  if (answers.includes('fail')) return 'fail'
  return answers.length === 0 || answers.includes('absent') ? 'absent' : 'pass'
}

const withOrg = (key: string) => key.replace(/^(org:)*/, 'org:')

function decideRole({ role }: Standing, asked: string): Decision {
  if (role === null) return 'absent'
  return role === asked ? 'pass' : 'fail'
}

function decidePermission(standing: Standing, asked: string): Decision {
  if (standing.role === null) return 'absent'
  if (standing.permissions.includes(asked)) return 'pass'
  if (isSystemPermission(asked) && !standing.knowsSystemPermissions) return 'absent'
  return standing.isPartial ? 'absent' : 'fail'
}

const scopes = new Map<string, 'organization' | 'user'>([
  ['o', 'organization'],
  ['org', 'organization'],
  ['organization', 'organization'],
  ['u', 'user'],
  ['user', 'user'],
])

function decideFeature(standing: Standing, asked: string): Decision {
  const [first = '', second] = asked.split(':')
  const scope = second === undefined ? undefined : scopes.get(first)
  const slug = second ?? first
  // A scope that nobody knows is a question that nobody can answer.
  if (slug === '' || (second !== undefined && !scope)) return 'absent'
  const { organization, user } = standing.features
  if (scope !== 'user' && organization.includes(slug)) return 'pass'
  if (scope !== 'organization' && user.includes(slug)) return 'pass'
  if (standing.isPartial || (scope === 'organization' && standing.role === null)) return 'absent'
  return 'fail'
}
