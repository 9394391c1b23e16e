import { eq, sql } from 'drizzle-orm'
import { type Metadata, type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { getRoleForNew, getRoleSet } from '../access/index.ts'
import { emit } from '../events/index.ts'
import { getUser, mergeMetadata, type User } from '../users/index.ts'
import { announce } from './domains.ts'
import { revokeInvitations } from './enrollment.ts'
import { announceEndOfMemberships, insertMembership } from './manage-memberships.ts'
import { nameSkeleton, parseName, parseSlug, refuseLookAlike, slugFrom } from './names.ts'
import { getOrganization, type Organization } from './queries.ts'
import { requirePermission } from './require-permission.ts'
import { setRoleSet } from './role-sets.ts'
import { lockOrganization } from './seats.ts'
import { groups, memberships, organizationDomains, organizationInvitations, organizations } from './tables.ts'

export type OrganizationInput = {
  name: string
  /** Lower-case letters, digits, `-` and `_`. Made from the name when absent. */
  slug?: string | null | undefined
  /** Id in the application's own records. */
  externalId?: string | null | undefined
  maxAllowedMemberships?: number | undefined
  publicMetadata?: Metadata | undefined
  privateMetadata?: Metadata | undefined
  /** Id or key of the roles that it chooses from. */
  roleSet?: string | undefined
  /** Whom the application's server names as creator; in the browser it is the caller. */
  createdBy?: string | undefined
}

/**
 * Creates an organization; its creator becomes a member with the creator's role.
 *
 * @throws {UsherError} `organization_not_enabled`, `organization_creation_not_allowed`,
 *   `organization_creation_quota_exceeded`, `organization_slug_taken`, `organization_name_misleading`, `duplicate_record`
 *   (external id), `form_param_unknown` (slugs are off) or `form_param_format_invalid`
 */
export async function createOrganization(ctx: Ctx | Tx, input: OrganizationInput): Promise<Organization> {
  const { settings } = ctx.instance
  if (!settings.organizations.enabled)
    throw new UsherError('organization_not_enabled', 'Organizations are switched off here.')
  return transaction(ctx, async (tx) => {
    if (ctx.actor.type === 'anonymous')
      throw new UsherError('organization_creation_not_allowed', 'Sign in to create an organization.')
    const creatorId = ctx.actor.type === 'user' ? ctx.actor.userId : input.createdBy
    const creator = creatorId ? await getUser(tx, creatorId) : undefined
    if (ctx.actor.type === 'user' && creator) await requireCreation(tx, creator)
    const trusted = ctx.actor.type !== 'user'
    const now = tx.now()
    const id = newId('organization')
    const name = parseName(input.name)
    await refuseLookAlike(tx, { id, name })
    try {
      await tx.db.insert(organizations).values({
        id,
        instanceId: tx.instance.id,
        name,
        nameSkeleton: nameSkeleton(name),
        slug: input.slug ? parseSlug(tx, input.slug) : slugFrom(input.name),
        externalId: trusted ? (input.externalId ?? null) : null,
        createdBy: creatorId ?? null,
        roleSetId: trusted && input.roleSet ? (await getRoleSet(tx, input.roleSet)).id : null,
        publicMetadata: input.publicMetadata ?? {},
        privateMetadata: input.privateMetadata ?? {},
        maxAllowedMemberships: input.maxAllowedMemberships ?? settings.organizations.maxAllowedMemberships,
        adminDeleteEnabled: settings.organizations.adminDelete,
        createdAt: now,
        updatedAt: now,
      })
    } catch (error) {
      throw taken(error)
    }
    // Told before its first member: whoever keeps both in tables needs the organization first.
    emit(tx, { type: 'organization.created', subject: id, data: {} })
    if (creator) {
      const role = await getRoleForNew(tx, id, 'creator')
      await insertMembership(tx, { organizationId: id, userId: creator.id, roleId: role.id, roleKey: role.key })
    }
    return getOrganization(tx, id)
  })
}

/** @throws {UsherError} `organization_creation_not_allowed` or `organization_creation_quota_exceeded` */
async function requireCreation(tx: Tx, creator: User): Promise<void> {
  const { creation, creationLimit } = tx.instance.settings.organizations
  if (!creation || !creator.createOrganizationEnabled)
    throw new UsherError('organization_creation_not_allowed', 'You may not create organizations.')
  const limit = creator.createOrganizationsLimit ?? creationLimit
  if (limit === 0) return
  // Of organizations that one person creates at once, each sees those before it.
  await tx.db.execute(sql`select 1 from users where id = ${creator.id} for no key update`)
  if ((await tx.db.$count(organizations, eq(organizations.createdBy, creator.id))) >= limit)
    throw new UsherError('organization_creation_quota_exceeded', `You can create ${limit} organizations at most.`)
}

export type UpdateOrganizationInput = { id: string } & Partial<OrganizationInput> & {
    adminDeleteEnabled?: boolean | undefined
  }

/** @throws {UsherError} `forbidden`, `organization_not_found_or_unauthorized`, `resource_not_found` or `organization_slug_taken` */
export async function updateOrganization(
  ctx: Ctx | Tx,
  { id, ...change }: UpdateOrganizationInput,
): Promise<Organization> {
  return transaction(ctx, async (tx) => {
    await requirePermission(tx, id, 'org:sys_profile:manage')
    // What a browser may not set is not read from it, whoever calls.
    const trusted = tx.actor.type === 'backend'
    if (trusted && change.roleSet) await setRoleSet(tx, { organizationId: id, roleSet: change.roleSet })
    const name = change.name === undefined ? undefined : parseName(change.name)
    if (name !== undefined) await refuseLookAlike(tx, { id, name })
    try {
      const changed = await tx.db
        .update(organizations)
        .set({
          ...(name !== undefined && { name, nameSkeleton: nameSkeleton(name) }),
          ...(change.slug && { slug: parseSlug(tx, change.slug) }),
          ...(trusted && {
            externalId: change.externalId,
            maxAllowedMemberships: change.maxAllowedMemberships,
            publicMetadata: change.publicMetadata,
            privateMetadata: change.privateMetadata,
            adminDeleteEnabled: change.adminDeleteEnabled,
          }),
          updatedAt: tx.now(),
        })
        .where(eq(organizations.id, id))
        .returning({ id: organizations.id })
      if (changed.length === 0) throw new UsherError('resource_not_found', 'There is no such organization.')
    } catch (error) {
      throw taken(error)
    }
    emit(tx, { type: 'organization.updated', subject: id, data: {} })
    return getOrganization(tx, id)
  })
}

/** Notes which picture is the logo. @throws {UsherError} as {@link updateOrganization} */
export async function setOrganizationImage(
  ctx: Ctx | Tx,
  { id, imageId }: { id: string; imageId: string | null },
): Promise<Organization> {
  return transaction(ctx, async (tx) => {
    await requirePermission(tx, id, 'org:sys_profile:manage')
    const changed = await tx.db
      .update(organizations)
      .set({ imageId, updatedAt: tx.now() })
      .where(eq(organizations.id, id))
      .returning({ id: organizations.id })
    if (changed.length === 0) throw new UsherError('resource_not_found', 'There is no such organization.')
    emit(tx, { type: 'organization.updated', subject: id, data: {} })
    return getOrganization(tx, id)
  })
}

/** Merges metadata deeply; `null` deletes a key. For the application's server only. */
export async function mergeOrganizationMetadata(
  ctx: Ctx | Tx,
  input: { id: string; publicMetadata?: Metadata | undefined; privateMetadata?: Metadata | undefined },
): Promise<Organization> {
  return transaction(ctx, async (tx) => {
    const [known] = await tx.db.select().from(organizations).where(eq(organizations.id, input.id)).for('update')
    if (!known) throw new UsherError('resource_not_found', 'There is no such organization.')
    return updateOrganization(tx, {
      id: input.id,
      publicMetadata: input.publicMetadata && mergeMetadata(known.publicMetadata, input.publicMetadata),
      privateMetadata: input.privateMetadata && mergeMetadata(known.privateMetadata, input.privateMetadata),
    })
  })
}

/**
 * Deletes an organization with its memberships, invitations and domains, each of which is announced as well: whoever
 * keeps a copy of one of them hears of its end.
 *
 * @throws {UsherError} as {@link updateOrganization}
 */
export async function deleteOrganization(ctx: Ctx | Tx, id: string): Promise<Organization> {
  return transaction(ctx, async (tx) => {
    const membership = await requirePermission(tx, id, 'org:sys_profile:delete')
    // Of parallel calls one deletes and announces it, and nobody joins meanwhile.
    await lockOrganization(tx, id)
    const organization = await getOrganization(tx, id)
    if (membership && !organization.adminDeleteEnabled)
      throw new UsherError('forbidden', 'This organization can be deleted by the application only.')
    await announceEnd(tx, id)
    // Its own roles go with it, and by then nothing may hold them.
    for (const table of [organizationInvitations, groups, memberships])
      await tx.db.delete(table).where(eq(table.organizationId, id))
    await tx.db.delete(organizations).where(eq(organizations.id, id))
    emit(tx, { type: 'organization.deleted', subject: id, data: {} })
    return organization
  })
}

async function announceEnd(tx: Tx, id: string): Promise<void> {
  await announceEndOfMemberships(tx, eq(memberships.organizationId, id))
  await revokeInvitations(tx, eq(organizationInvitations.organizationId, id))
  const domains = await tx.db.select().from(organizationDomains).where(eq(organizationDomains.organizationId, id))
  for (const domain of domains) announce(tx, 'deleted', domain)
}

function taken(error: unknown): unknown {
  if (isUniqueViolation(error, 'organizations_slug'))
    return new UsherError('organization_slug_taken', 'That slug is taken. Please try another.', { param: 'slug' })
  if (isUniqueViolation(error, 'organizations_external_id'))
    return new UsherError('duplicate_record', 'Another organization has this external id.', { param: 'external_id' })
  return error
}
