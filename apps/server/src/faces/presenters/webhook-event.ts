import { type Tx, transaction } from '../../database/index.ts'
import type { StreamEvent } from '../../domains/events/index.ts'
import type { Message } from '../../domains/messaging/index.ts'
import {
  findSubjects,
  isSubjectKind,
  type PresentEvents,
  type SubjectKind,
  type Subjects,
} from '../../domains/webhooks/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { presentApiKey } from './api-key.ts'
import {
  presentInvitation,
  presentMembership,
  presentOrganization,
  presentPermission,
  presentRole,
} from './organization.ts'
import { presentOrganizationDomain } from './organization-domain.ts'
import { presentSession } from './session.ts'
import { presentPublicUserData, presentUserToBackend } from './user.ts'
import { presentWaitlistEntry } from './waitlist-entry.ts'
import { presentWebhookEndpoint } from './webhook-endpoint.ts'

type Found = { [K in SubjectKind]: Map<string, Subjects[K]> }
type Presenters = {
  [K in SubjectKind]: (subject: Subjects[K], event: StreamEvent, found: Found, ctx: Ctx) => object
}

/** The `object` of each kind, as the server API spells it. */
const objectNames: Record<SubjectKind, string> = {
  user: 'user',
  session: 'session',
  organization: 'organization',
  organizationMembership: 'organization_membership',
  organizationInvitation: 'organization_invitation',
  organizationDomain: 'organization_domain',
  role: 'role',
  permission: 'permission',
  apiKey: 'api_key',
  waitlistEntry: 'waitlist_entry',
  email: 'email',
  sms: 'sms_message',
  webhookEndpoint: 'webhook_endpoint',
}

const presenters: Presenters = {
  user: (user) => presentUserToBackend(user),
  session: (session, _, __, ctx) => ({
    ...presentSession(ctx, session, { activity: true }),
    user: presentUserToBackend(session.user),
  }),
  organization: (organization) => presentOrganization(organization, { private: true }),
  organizationMembership: (membership, _, { user }) =>
    presentMembership(membership, user.get(membership.userId), { private: true }),
  // Without its link: that is a key to the invited mailbox's place.
  organizationInvitation: (invitation, { data }) => ({
    ...presentInvitation(invitation, { private: true }),
    ...(typeof data.user_id === 'string' && { user_id: data.user_id }),
  }),
  organizationDomain: (domain, _, __, ctx) => presentOrganizationDomain(domain, ctx.now()),
  role: presentRole,
  permission: presentPermission,
  apiKey: (key) => presentApiKey(key),
  waitlistEntry: (entry) => presentWaitlistEntry(entry),
  email: presentEmail,
  sms: presentText,
  webhookEndpoint: (endpoint) => presentWebhookEndpoint(endpoint),
}

/**
 * What events tell, as the server API shows it: the state at this moment, which is that of the event or a later one. Few
 * queries, however many events.
 *
 * @returns for each event its `data`; undefined where the thing is gone, of which a later event tells
 */
export const presentEvents: PresentEvents = (ctx, events) =>
  transaction(ctx, async (tx) => {
    const found = await findAll(tx, events)
    return events.map((event) => presentEvent(ctx, event, found))
  })

async function findAll(tx: Tx, events: StreamEvent[]): Promise<Found> {
  const ids = new Map<SubjectKind, string[]>()
  const want = (kind: SubjectKind, id: unknown) => {
    if (typeof id === 'string') ids.set(kind, [...(ids.get(kind) ?? []), id])
  }
  for (const { type, subject, data } of events) {
    const kind = kindOf(type)
    if (!kind) continue
    if (!type.endsWith('.deleted')) want(kind, subject)
    if (kind !== 'organizationMembership') continue
    want('user', data.user_id)
    if (type.endsWith('.deleted')) want('organization', data.organization_id)
  }
  const kinds = Object.keys(objectNames) as SubjectKind[]
  const maps = await Promise.all(kinds.map((kind) => findSubjects(tx, kind, ids.get(kind) ?? [])))
  return Object.fromEntries(kinds.map((kind, i) => [kind, maps[i]])) as Found
}

function presentEvent(ctx: Ctx, event: StreamEvent, found: Found): object | undefined {
  const kind = kindOf(event.type)
  if (!kind) return { id: event.subject, ...event.data }
  if (event.type === 'organizationMembership.deleted') return presentFormerMembership(event, found)
  if (event.type.endsWith('.deleted'))
    return { object: objectNames[kind], id: event.subject, ...keyOf(event), deleted: true }
  return presentAs(kind, event, found, ctx)
}

function presentAs<K extends SubjectKind>(kind: K, event: StreamEvent, found: Found, ctx: Ctx): object | undefined {
  const subject = found[kind].get(event.subject)
  return subject && presenters[kind](subject, event, found, ctx)
}

/** Who is a member of what no more: receivers know people and organizations, and may not have kept the membership's id. */
function presentFormerMembership({ subject, data }: StreamEvent, found: Found) {
  const organization = found.organization.get(String(data.organization_id))
  const user = found.user.get(String(data.user_id))
  return {
    object: 'organization_membership',
    id: subject,
    organization: organization
      ? presentOrganization(organization, { private: true })
      : { object: 'organization', id: data.organization_id },
    public_user_data: user ? presentPublicUserData(user) : { user_id: data.user_id },
    role: data.role ?? null,
    deleted: true,
  }
}

/** Names by which receivers may know what is gone. */
function keyOf({ data }: StreamEvent) {
  const names = ['key', 'slug', 'external_id', 'name'] as const
  return Object.fromEntries(names.flatMap((name) => (typeof data[name] === 'string' ? [[name, data[name]]] : [])))
}

function kindOf(type: string): SubjectKind | undefined {
  const [kind = ''] = type.split('.', 1)
  return isSubjectKind(kind) ? kind : undefined
}

/** An email without what it says: codes and links are for the recipient alone, and nobody's who reads along here. */
function presentEmail(message: Message) {
  return {
    object: 'email',
    id: message.id,
    slug: message.template,
    from_email_name: '',
    to_email_address: message.toAddress,
    email_address_id: null,
    user_id: null,
    subject: null,
    body: null,
    body_plain: null,
    status: message.state,
    data: null,
    delivered_by_clerk: true,
  }
}

function presentText(message: Message) {
  return {
    object: 'sms_message',
    id: message.id,
    slug: message.template,
    from_phone_number: '',
    to_phone_number: message.toAddress,
    phone_number_id: null,
    user_id: null,
    message: '',
    status: message.state,
    data: null,
    delivered_by_clerk: true,
  }
}
