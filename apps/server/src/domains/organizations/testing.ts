import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import type { TestInstance } from '../../testing/server.ts'
import { createRole, listPermissions } from '../access/index.ts'
import { events } from '../events/tables.ts'
import { createUser } from '../users/index.ts'
import { addMember, createOrganization, type Organization } from './index.ts'

/** A person with a proven address, and the context of their requests. */
export type Person = { id: string; emailAddress: string; ctx: () => Ctx }

export async function person(t: TestInstance, name: string): Promise<Person> {
  const emailAddress = name.includes('@') ? name : `${name}@example.com`
  const { id } = await createUser(t.ctx(), { emailAddresses: [{ emailAddress, verifiedBy: 'admin' }] })
  const actor = { type: 'user' as const, userId: id, sessionId: 'sess_x', clientId: 'client_x', organizationId: null }
  return { id, emailAddress, ctx: () => t.ctx(actor) }
}

/** An organization of Ada, who is its only administrator, with Bob as a plain member; Eve is a stranger to it. */
export async function frontiers(
  t: TestInstance,
): Promise<{ organization: Organization; ada: Person; bob: Person; eve: Person }> {
  const [ada, bob, eve] = [await person(t, 'ada'), await person(t, 'bob'), await person(t, 'eve')]
  const organization = await createOrganization(ada.ctx(), { name: 'Frontiers' })
  await addMember(t.ctx(), { organizationId: organization.id, userId: bob.id, role: 'org:member' })
  return { organization, ada, bob, eve }
}

/** Switches domains on, with what else is to be set. */
export async function allowDomains(t: TestInstance, settings: Record<string, unknown> = {}): Promise<void> {
  const organizations = { domains: true, ...settings }
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { organizations })
}

/** Types and subjects of what was announced in an instance, in no particular order. */
export async function announced(t: TestInstance, type: RegExp): Promise<{ type: string; data: unknown }[]> {
  const rows = await transaction(t.ctx(), (tx) => tx.db.select().from(events))
  return rows.filter((row) => type.test(row.type)).map((row) => ({ type: row.type, data: row.data }))
}

/** A role that may manage members and nothing else. */
export async function createManagerRole(t: TestInstance): Promise<void> {
  const { data } = await listPermissions(t.ctx(), { limit: 100, offset: 0 })
  const granted = data.filter((p) => p.key.startsWith('org:sys_memberships:')).map((p) => p.id)
  await createRole(t.ctx(), { key: 'org:manager', name: 'Manager', permissionIds: granted })
}

/** `done`, or the code of the error. */
export function outcome(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'done',
    (error) => error.code ?? String(error),
  )
}

/** How often each outcome came of parallel calls. */
export async function outcomes(times: number, call: (i: number) => Promise<unknown>): Promise<Record<string, number>> {
  const all = await Promise.all(Array.from({ length: times }, (_, i) => outcome(call(i))))
  const counts: Record<string, number> = {}
  for (const o of all) counts[o] = (counts[o] ?? 0) + 1
  return counts
}
