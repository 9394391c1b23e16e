import { decide, type MembershipStanding, standingOf } from '../access/index.ts'
import type { ChannelRule, ChannelType } from '../instances/index.ts'
import { isDocumentChannel } from './names.ts'

/** What a subscriber may do. */
export type Rights = { publish: boolean; presence: boolean; history: boolean }

const builtIn = (type: Pick<ChannelType, 'pattern'> & Partial<ChannelType>): ChannelType => ({
  subscribe: {},
  publish: 'server',
  presence: false,
  history: 'memory',
  retentionDays: 30,
  ...type,
})

/** Said by this server alone: no setting and no publisher changes what it means. */
const authType = builtIn({ pattern: 'user:{user_id}:auth', history: 'none' })

const builtInTypes: readonly ChannelType[] = [
  builtIn({ pattern: 'user:{user_id}:notifications', history: 'durable', retentionDays: 90 }),
  builtIn({ pattern: 'user:{user_id}:*' }),
  builtIn({ pattern: 'org:{org_id}:{feature}:*', publish: { permission: 'org:{feature}:write' }, presence: true }),
]

const documentType = builtIn({ pattern: 'doc:*', presence: true, publish: {} })
/** For the application's server alone: no pattern lets anybody else in. */
const unknownType = builtIn({ pattern: '*:*' })

type Named = { org_id?: string; user_id?: string; feature?: string }

export type Match = { type: ChannelType; organizationId?: string; userId?: string; feature?: string }

const compiled = new WeakMap<ChannelType, RegExp>()

/** A part is everything between two colons, so that a name fits a pattern in one way only and in linear time. */
function expressionOf(type: ChannelType): RegExp {
  let expression = compiled.get(type)
  if (!expression) {
    const parts = type.pattern.split(':')
    const sources = parts.map((part, i) => {
      if (part === '{org_id}') return '(?<org_id>org_[A-Za-z0-9]{1,60})'
      if (part === '{user_id}') return '(?<user_id>user_[A-Za-z0-9]{1,60})'
      if (part === '{feature}') return '(?<feature>[A-Za-z0-9_-]{1,60})'
      if (part === '*') return i === parts.length - 1 ? '.+' : '[^:]+'
      return part.replace(/[.~]/g, '\\$&')
    })
    expression = new RegExp(`^${sources.join(':')}$`)
    compiled.set(type, expression)
  }
  return expression
}

function match(type: ChannelType, name: string): Match | undefined {
  const found = expressionOf(type).exec(name)
  if (!found) return undefined
  const { org_id, user_id, feature } = (found.groups ?? {}) as Named
  return {
    type,
    ...(org_id && { organizationId: org_id }),
    ...(user_id && { userId: user_id }),
    ...(feature && { feature }),
  }
}

/** The type of a channel: the first in the settings whose pattern fits, then what is built in. */
export function matchType(types: readonly ChannelType[], name: string): Match | undefined {
  const auth = match(authType, name)
  if (auth) return auth
  if (isDocumentChannel(name)) return { type: documentTypeFor(types, name) }
  for (const type of [...types, ...builtInTypes]) {
    const found = match(type, name)
    if (!found) continue
    // They are read by a route of their own, from the database, and everybody relies on who sends them.
    const [, owner] = name.match(/^user:([^:]+):notifications$/) ?? []
    // And whatever pattern fits, they are for the person whom the name says.
    if (owner !== undefined)
      return { ...found, userId: owner, type: { ...type, history: 'durable', publish: 'server', presence: false } }
    return found
  }
  return undefined
}

/** The type of a document's own channel. Who may do what in it is the document's business. */
export function documentTypeFor(types: readonly ChannelType[], name: string): ChannelType {
  return types.find((type) => type.pattern.startsWith('doc:') && match(type, name)) ?? documentType
}

/** The type of a channel for the application's server, which may use any name. */
export function typeFor(types: readonly ChannelType[], name: string): ChannelType {
  return matchType(types, name)?.type ?? unknownType
}

/** Whether only this server speaks in a channel. */
export const isReserved = (name: string): boolean => match(authType, name) !== undefined

/** What is known of a person at this moment. */
export type Person = {
  isSignedIn: boolean
  userId: string
  /** Slugs of the features that the person has. */
  features: readonly string[]
  /** Those of the organizations that were asked about. */
  memberships: ReadonlyMap<string, MembershipStanding>
}

/** @returns what the person may do in a channel, or undefined if they may not be in it */
export function rightsOf({ type, organizationId, userId, feature }: Match, person: Person): Rights | undefined {
  if (!person.isSignedIn) return undefined
  if (userId !== undefined && userId !== person.userId) return undefined
  const membership = organizationId === undefined ? undefined : person.memberships.get(organizationId)
  if (organizationId !== undefined && !membership) return undefined
  const standing = standingOf(membership, person.features)
  const holds = (rule: ChannelRule) => {
    const question = { ...rule, permission: rule.permission?.replaceAll('{feature}', feature ?? '') }
    const asks = rule.permission !== undefined || rule.role !== undefined || rule.feature !== undefined
    return !asks || decide(standing, question) === 'pass'
  }
  if (!holds(type.subscribe)) return undefined
  return {
    publish: type.publish !== 'server' && holds(type.publish),
    presence: type.presence,
    history: type.history !== 'none',
  }
}
