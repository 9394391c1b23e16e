import { inArray } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { findRolesByIds, type Permission, type RoleRecord } from '../access/index.ts'
import { permissions } from '../access/tables.ts'
import { type ApiKey, findApiKeys } from '../api-keys/index.ts'
import type { Message } from '../messaging/index.ts'
import { messages } from '../messaging/tables.ts'
import {
  type DomainRecord,
  findDomains,
  findInvitations,
  findOrganizations,
  type InvitationRecord,
  type MembershipRecord,
  type Organization,
  withOrganizationAndRole,
} from '../organizations/index.ts'
import { memberships, organizationDomains, organizationInvitations, organizations } from '../organizations/tables.ts'
import { type SessionRecord, withPeople } from '../sessions/index.ts'
import { sessions } from '../sessions/tables.ts'
import type { WaitlistRecord } from '../signup/index.ts'
import { invitations, waitlistEntries } from '../signup/tables.ts'
import { findUsers, type UserRecord } from '../users/index.ts'
import { findWebhookEndpoints, type WebhookEndpoint } from './manage-endpoints.ts'

/** What events can be about. */
export type Subjects = {
  user: UserRecord
  session: SessionRecord
  organization: Organization
  organizationMembership: MembershipRecord
  organizationInvitation: InvitationRecord
  organizationDomain: DomainRecord
  role: RoleRecord
  permission: Permission
  apiKey: ApiKey
  waitlistEntry: WaitlistRecord
  email: Message
  sms: Message
  webhookEndpoint: WebhookEndpoint
}
export type SubjectKind = keyof Subjects

type Finders = { [K in SubjectKind]: (tx: Tx, ids: string[]) => Promise<Subjects[K][]> }

const findMessages = (tx: Tx, ids: string[]) => tx.db.select().from(messages).where(inArray(messages.id, ids))

/** A fixed number of queries each, however many ids. What is gone is not among what they find. */
const finders: Finders = {
  user: findUsers,
  session: async (tx, ids) => withPeople(tx, await tx.db.select().from(sessions).where(inArray(sessions.id, ids))),
  organization: (tx, ids) => findOrganizations(tx, inArray(organizations.id, ids)),
  organizationMembership: async (tx, ids) =>
    withOrganizationAndRole(tx, await tx.db.select().from(memberships).where(inArray(memberships.id, ids))),
  organizationInvitation: (tx, ids) => findInvitations(tx, inArray(organizationInvitations.id, ids)),
  organizationDomain: (tx, ids) => findDomains(tx, inArray(organizationDomains.id, ids)),
  role: findRolesByIds,
  permission: (tx, ids) => tx.db.select().from(permissions).where(inArray(permissions.id, ids)),
  apiKey: findApiKeys,
  waitlistEntry: async (tx, ids) => {
    const entries = await tx.db.select().from(waitlistEntries).where(inArray(waitlistEntries.id, ids))
    const invitationIds = entries.flatMap((e) => e.invitationId ?? [])
    const made = invitationIds.length
      ? await tx.db.select().from(invitations).where(inArray(invitations.id, invitationIds))
      : []
    return entries.map((e) => ({ ...e, invitation: made.find((i) => i.id === e.invitationId) ?? null }))
  },
  email: findMessages,
  sms: findMessages,
  webhookEndpoint: findWebhookEndpoints,
}

export function isSubjectKind(kind: string): kind is SubjectKind {
  return Object.hasOwn(finders, kind)
}

/** Things of one kind by their ids, each once. */
export async function findSubjects<K extends SubjectKind>(
  tx: Tx,
  kind: K,
  ids: readonly string[],
): Promise<Map<string, Subjects[K]>> {
  const distinct = [...new Set(ids)]
  if (distinct.length === 0) return new Map()
  return new Map((await finders[kind](tx, distinct)).map((found) => [found.id, found]))
}
