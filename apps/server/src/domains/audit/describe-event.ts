import type { StreamEvent } from '../events/index.ts'
import type { AuditActor, AuditObject } from './tables.ts'

/** What belongs to no organization and is worth keeping: what the operator and the application's server decide. */
const ofInstance =
  /^(instance|role|permission|roleSet|feature|jwtTemplate|webhookEndpoint|webhookPortal|machine|m2mToken|apiKey|actorToken|auditLog)\.|^user\.deleted$/

/** The chains that an event belongs to: its organization's, or the instance's, or none. */
export function chainOf(event: StreamEvent): string | undefined {
  const organizationId = organizationOf(event)
  if (organizationId !== undefined) return organizationId
  // A session in somebody else's name is a matter of the instance; all the others are the people's own.
  if (ofInstance.test(event.type) || isImpersonated(event)) return event.instanceId
  return undefined
}

function organizationOf({ type, subject, data }: StreamEvent): string | undefined {
  if (type.startsWith('organization.')) return subject
  return typeof data.organization_id === 'string' ? data.organization_id : undefined
}

const isImpersonated = ({ actor, type, data }: StreamEvent) =>
  /^(session|user)\./.test(type) && (typeof actor.impersonatorId === 'string' || typeof data.actor_sub === 'string')

/** Who did it. Names come later. */
export function actorOf({ actor }: StreamEvent): AuditActor {
  switch (actor.type) {
    case 'user':
      return {
        type: 'user',
        id: String(actor.userId),
        ...(typeof actor.impersonatorId === 'string' && { impersonator: actor.impersonatorId }),
      }
    case 'machine':
      return { type: 'machine', id: String(actor.machineId) }
    case 'system':
      return { type: 'system', id: String(actor.job) }
    default:
      return { type: String(actor.type), id: String(actor.type) }
  }
}

/** What an event's data names by id, and the kind of thing that it is. */
const named: Record<string, string> = { user_id: 'user', role_id: 'role', group_id: 'group', feature_id: 'feature' }

/** Whom and what it was done to: what changed, and what else the event names. */
export function targetsOf(event: StreamEvent): AuditObject[] {
  const { type, subject, data } = event
  const label = [data.name, data.key, data.email_address, data.slug].find((value) => typeof value === 'string')
  const changed = { type: kindOf(type), id: subject, ...(typeof label === 'string' && { name: label }) }
  const others = Object.entries(named).flatMap(([name, kind]) => {
    const id = data[name]
    return typeof id === 'string' && id !== subject ? [{ type: kind, id }] : []
  })
  return [changed, ...others]
}

/** `organizationMembership.created` is about an `organization_membership`. */
function kindOf(type: string): string {
  return (type.split('.')[0] ?? '').replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

/** What is left of an event's data when the organization and the targets are told. */
export function detailsOf({ data }: StreamEvent): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(data).filter(
      ([name, value]) => name !== 'organization_id' && !(name in named) && value !== undefined,
    ),
  )
}
