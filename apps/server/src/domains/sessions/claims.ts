import type { Ctx } from '../../kernel/ctx.ts'
import { compileClaims, type Lookup, type RenderClaims, valueAt } from '../../kernel/shortcodes.ts'
import { maxSessionClaimsBytes } from '../instances/index.ts'
import type { MembershipRecord } from '../organizations/index.ts'
import type { UserRecord } from '../users/index.ts'
import type { SessionState } from './session-state.ts'

type Path = readonly string[]
type Reader<T> = (source: T, rest: Path) => unknown

const seconds = (time: Date | null) => time && Math.floor(time.getTime() / 1000)

const emailOf = (user: UserRecord) => user.emailAddresses.find((e) => e.id === user.primaryEmailAddressId)
const phoneOf = (user: UserRecord) => user.phoneNumbers.find((p) => p.id === user.primaryPhoneNumberId)

/**
 * What shortcodes can say about a person. Nothing private is in here, and what people may write themselves
 * (`unsafe_metadata`) is reached by its own name alone.
 */
const userFields: Record<string, Reader<SessionState>> = {
  id: ({ user }) => user.id,
  external_id: ({ user }) => user.externalId,
  first_name: ({ user }) => user.firstName,
  last_name: ({ user }) => user.lastName,
  full_name: ({ user }) => [user.firstName, user.lastName].filter(Boolean).join(' ') || null,
  username: ({ user }) => user.username,
  primary_email_address: ({ user }) => emailOf(user)?.emailAddress,
  email_verified: ({ user }) => Boolean(emailOf(user)?.verifiedAt),
  primary_phone_number: ({ user }) => phoneOf(user)?.phoneNumber,
  phone_number_verified: ({ user }) => Boolean(phoneOf(user)?.verifiedAt),
  primary_web3_wallet: () => null,
  two_factor_enabled: ({ user }) => user.twoFactorEnabled,
  locale: ({ user }) => user.locale,
  image_url: ({ user }) => user.imageUrl,
  has_image: ({ user }) => user.imageUrl !== null,
  created_at: ({ user }) => seconds(user.createdAt),
  updated_at: ({ user }) => seconds(user.updatedAt),
  last_sign_in_at: ({ user }) => seconds(user.lastSignInAt),
  public_metadata: ({ user }, rest) => valueAt(user.publicMetadata, rest),
  unsafe_metadata: ({ user }, rest) => valueAt(user.unsafeMetadata, rest),
  organizations: ({ memberships }) => Object.fromEntries(memberships.map((m) => [m.organizationId, m.role.key])),
}

const organizationFields: Record<string, Reader<MembershipRecord>> = {
  id: ({ organization }) => organization.id,
  name: ({ organization }) => organization.name,
  slug: ({ organization }) => organization.slug,
  image_url: ({ organization }) => organization.imageUrl,
  has_image: ({ organization }) => organization.imageUrl !== null,
  role: ({ role }) => role.key,
  public_metadata: ({ organization }, rest) => valueAt(organization.publicMetadata, rest),
}

const membershipFields: Record<string, Reader<MembershipRecord>> = {
  id: ({ id }) => id,
  role: ({ role }) => role.key,
  permissions: ({ permissions }) => permissions,
  public_metadata: (membership, rest) => valueAt(membership.publicMetadata, rest),
}

const sessionFields: Record<string, Reader<SessionState>> = {
  id: ({ id }) => id,
  actor: ({ actor }, rest) => valueAt(actor, rest),
}

/** Reads the values of shortcodes for a session that speaks for an organization, or for none. */
export function lookupFor(session: SessionState, membership: MembershipRecord | undefined): Lookup {
  return (path) => {
    const [root, name = '', ...rest] = path.split('.')
    if (root === 'user') return read(userFields, session, name, rest)
    if (root === 'session') return read(sessionFields, session, name, rest)
    if (root === 'org') return membership && read(organizationFields, membership, name, rest)
    return root === 'org_membership' ? membership && read(membershipFields, membership, name, rest) : undefined
  }
}

/** Fields with parts below them; the others are plain values. */
const nested = new Set(['public_metadata', 'unsafe_metadata', 'actor'])

function read<T>(fields: Record<string, Reader<T>>, source: T, name: string, rest: Path): unknown {
  if (!Object.hasOwn(fields, name) || (rest.length > 0 && !nested.has(name))) return undefined
  return fields[name]?.(source, rest)
}

/** The custom claims of an instance are compiled once for each time that its settings are read. */
const compiled = new WeakMap<object, RenderClaims>()

/** The application's own claims for a session token. */
export function sessionClaimsOf(
  ctx: Ctx,
  session: SessionState,
  membership: MembershipRecord | undefined,
): Record<string, unknown> | undefined {
  const { claims } = ctx.instance.settings.session
  let render = compiled.get(claims)
  if (!render) {
    render = compileClaims(claims, { maxBytes: maxSessionClaimsBytes })
    compiled.set(claims, render)
  }
  return Object.keys(claims).length > 0 ? render(lookupFor(session, membership)) : undefined
}
