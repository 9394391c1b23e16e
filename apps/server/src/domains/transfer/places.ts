import { sql } from 'drizzle-orm'
import { type Tx, textArray } from '../../database/index.ts'
import type { UserRecord } from './parse-record.ts'

type Organization = {
  id: string
  maxAllowedMemberships: number
  seats: number
  /** Ids of the roles that it made for itself, by key, and of its groups, by name. */
  roles: Map<string, string>
  groups: Map<string, string>
}
type Role = { id: string; key: string }

type Granted = { id: string; source: 'direct' | 'domain' | 'directory' }

export type Seat = {
  organization: Organization
  role: Role
  roleSource: Granted['source']
  /** What they have beside the primary role. */
  further: Granted[]
  permissions: Granted[]
  groups: Granted[]
  publicMetadata: Record<string, unknown>
  privateMetadata: Record<string, unknown>
  createdAt: Date | null
  updatedAt: Date | null
}

/** The organizations and roles that the records of an import name, with the seats that are left in them. */
export class Places {
  private organizations = new Map<string, Organization | undefined>()
  private roles = new Map<string, Role>()
  private permissions = new Map<string, string>()
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
      const known = await tx.db.execute<Role>(sql`select id, key from permissions`)
      this.permissions = new Map([...known].map(({ id, key }) => [key, id]))
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
        this.organizations.get(slug) ?? { id, maxAllowedMemberships: max, seats, roles: new Map(), groups: new Map() }
      this.organizations.set(id, organization)
      this.organizations.set(slug, organization)
    }
    const ids = textArray(rows.map((row) => row.id))
    const own = await tx.db.execute<{
      organization_id: string
      id: string
      role: string | null
      name: string | null
    }>(sql`
      select organization_id, id, key as role, null as name from roles where organization_id = any(${ids}::text[])
      union all select organization_id, id, null, name from groups where organization_id = any(${ids}::text[])`)
    for (const { organization_id, id, role, name } of own) {
      const organization = this.organizations.get(organization_id)
      if (role !== null) organization?.roles.set(role, id)
      if (name !== null) organization?.groups.set(name, id)
    }
  }

  organization(name: string): Organization | undefined {
    return this.organizations.get(name)
  }

  /** A role of the instance, or one that the organization made for itself. */
  role(name: string, { roles }: Organization): Role | undefined {
    const key = name.startsWith('org:') ? name : `org:${name}`
    const own = roles.get(key)
    return own === undefined ? this.roles.get(key) : { id: own, key }
  }

  permission(key: string): string | undefined {
    return this.permissions.get(key)
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
    const role = places.role(membership.role, organization)
    if (!role) return `there is no role ${membership.role}`
    const { maxAllowedMemberships: max } = organization
    if (max > 0 && organization.seats >= max) return `the organization ${membership.organization} is full`
    const granted = grantsOf(places, organization, membership)
    if (typeof granted === 'string') return granted
    seats.set(organization.id, {
      organization,
      role,
      roleSource: membership.role_source,
      ...granted,
      publicMetadata: membership.public_metadata ?? {},
      privateMetadata: membership.private_metadata ?? {},
      createdAt: membership.created_at ?? null,
      updatedAt: membership.updated_at ?? null,
    })
  }
  for (const { organization } of seats.values()) organization.seats++
  return [...seats.values()]
}

/** Ids of what a member has beside the primary role, or what of it is not there. */
function grantsOf(
  places: Places,
  organization: Organization,
  membership: UserRecord['organization_memberships'][number],
): Pick<Seat, 'further' | 'permissions' | 'groups'> | string {
  const found: Pick<Seat, 'further' | 'permissions' | 'groups'> = { further: [], permissions: [], groups: [] }
  for (const { role, source } of membership.roles) {
    const id = places.role(role, organization)?.id
    if (id === undefined) return `there is no role ${role}`
    found.further.push({ id, source })
  }
  for (const { permission, source } of membership.permissions) {
    const id = places.permission(permission)
    if (id === undefined) return `there is no permission ${permission}`
    found.permissions.push({ id, source })
  }
  for (const { group, source } of membership.groups) {
    const id = organization.groups.get(group)
    if (id === undefined) return `there is no group ${group}`
    found.groups.push({ id, source })
  }
  return found
}
