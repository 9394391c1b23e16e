import { sql } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import type { UserRecord } from './parse-record.ts'

type Organization = { id: string; maxAllowedMemberships: number; seats: number }
type Role = { id: string; key: string }

export type Seat = {
  organization: Organization
  role: Role
  publicMetadata: Record<string, unknown>
  privateMetadata: Record<string, unknown>
  createdAt: Date | null
  updatedAt: Date | null
}

/** The organizations and roles that the records of an import name, with the seats that are left in them. */
export class Places {
  private organizations = new Map<string, Organization | undefined>()
  private roles = new Map<string, Role>()
  private loadedRoles = false

  /** Forgets what it knows, after a batch that was rolled back or a record that made an organization or a role. */
  clear(): void {
    this.organizations.clear()
    this.loadedRoles = false
  }

  /** @param names ids or slugs */
  async load(tx: Tx, names: readonly string[]): Promise<void> {
    if (!this.loadedRoles) {
      const rows = (await tx.db.execute(
        sql`select id, key from roles where organization_id is null`,
      )) as unknown as Role[]
      this.roles = new Map(rows.map((role) => [role.key, role]))
      this.loadedRoles = true
    }
    const unknown = [...new Set(names)].filter((name) => !this.organizations.has(name))
    if (unknown.length === 0) return
    // However many organizations there are, what is remembered of them stays small.
    if (this.organizations.size > 50_000) this.organizations.clear()
    const rows = (await tx.db.execute(sql`
      select id, slug, max_allowed_memberships as max,
        (select count(*)::int from memberships m where m.organization_id = organizations.id) as seats
      from organizations
      where id = any (array(select json_array_elements_text(${JSON.stringify(unknown)}::text::json)))
         or slug = any (array(select json_array_elements_text(${JSON.stringify(unknown)}::text::json)))
    `)) as unknown as { id: string; slug: string; max: number; seats: number }[]
    for (const name of unknown) this.organizations.set(name, undefined)
    for (const { id, slug, max, seats } of rows) {
      const organization = this.organizations.get(id) ??
        this.organizations.get(slug) ?? { id, maxAllowedMemberships: max, seats }
      this.organizations.set(id, organization)
      this.organizations.set(slug, organization)
    }
  }

  organization(name: string): Organization | undefined {
    return this.organizations.get(name)
  }

  role(name: string): Role | undefined {
    return this.roles.get(name.startsWith('org:') ? name : `org:${name}`)
  }

  giveBack(seats: readonly Seat[]): void {
    for (const { organization } of seats) organization.seats--
  }
}

/** Takes a user's seats, or says why there are none. All or none are taken. */
export function seatsOf(places: Places, memberships: UserRecord['organization_memberships']): Seat[] | string {
  const seats = new Map<string, Seat>()
  for (const membership of memberships) {
    const organization = places.organization(membership.organization)
    if (!organization) return `there is no organization ${membership.organization}`
    const role = places.role(membership.role)
    if (!role) return `there is no role ${membership.role}`
    const { maxAllowedMemberships: max } = organization
    if (max > 0 && organization.seats >= max) return `the organization ${membership.organization} is full`
    seats.set(organization.id, {
      organization,
      role,
      publicMetadata: membership.public_metadata ?? {},
      privateMetadata: membership.private_metadata ?? {},
      createdAt: membership.created_at ?? null,
      updatedAt: membership.updated_at ?? null,
    })
  }
  for (const { organization } of seats.values()) organization.seats++
  return [...seats.values()]
}
