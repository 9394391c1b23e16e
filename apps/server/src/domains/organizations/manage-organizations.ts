import { eq } from 'drizzle-orm'
import { type Metadata, type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newId, randomBase62 } from '../../kernel/ids.ts'
import { getRoleByKey } from '../access/index.ts'
import { emit } from '../events/index.ts'
import { getUser, mergeMetadata } from '../users/index.ts'
import { insertMembership } from './manage-memberships.ts'
import { getOrganization, type Organization } from './queries.ts'
import { requirePermission } from './require-permission.ts'
import { organizations } from './tables.ts'

export type OrganizationInput = {
  name: string
  /** Lower-case letters, digits, `-` and `_`. Made from the name when absent. */
  slug?: string | null | undefined
  maxAllowedMemberships?: number | undefined
  publicMetadata?: Metadata | undefined
  privateMetadata?: Metadata | undefined
  /** Whom the application's server names as creator; in the browser it is the caller. */
  createdBy?: string | undefined
}

/** Slugs that would be taken for something else in an application's addresses. */
const reservedSlugs = new Set([
  'admin',
  'api',
  'app',
  'auth',
  'www',
  'support',
  'help',
  'login',
  'me',
  'new',
  'settings',
  'usher',
])

/**
 * Creates an organization; its creator becomes a member with the creator's role.
 *
 * @throws {UsherError} `organization_not_enabled`, `organization_creation_not_allowed`, `organization_slug_taken` or
 *   `form_param_format_invalid`
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
    if (ctx.actor.type === 'user' && !creator?.createOrganizationEnabled)
      throw new UsherError('organization_creation_not_allowed', 'You may not create organizations.')
    const now = tx.now()
    const id = newId('organization')
    try {
      await tx.db.insert(organizations).values({
        id,
        instanceId: tx.instance.id,
        name: parseName(input.name),
        slug: input.slug ? parseSlug(input.slug) : slugFrom(input.name),
        createdBy: creatorId ?? null,
        publicMetadata: input.publicMetadata ?? {},
        privateMetadata: input.privateMetadata ?? {},
        maxAllowedMemberships: input.maxAllowedMemberships ?? settings.organizations.maxAllowedMemberships,
        adminDeleteEnabled: settings.organizations.adminDelete,
        createdAt: now,
        updatedAt: now,
      })
    } catch (error) {
      throw slugTaken(error)
    }
    if (creator) {
      const role = await getRoleByKey(tx, settings.organizations.creatorRole)
      await insertMembership(tx, { organizationId: id, userId: creator.id, roleId: role.id, roleKey: role.key })
    }
    emit(tx, { type: 'organization.created', subject: id, data: {} })
    return getOrganization(tx, id)
  })
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
    try {
      const changed = await tx.db
        .update(organizations)
        .set({
          ...(change.name !== undefined && { name: parseName(change.name) }),
          ...(change.slug && { slug: parseSlug(change.slug) }),
          ...(trusted && {
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
      throw slugTaken(error)
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

/** Deletes an organization with its memberships and invitations. @throws {UsherError} as {@link updateOrganization} */
export async function deleteOrganization(ctx: Ctx | Tx, id: string): Promise<Organization> {
  return transaction(ctx, async (tx) => {
    const membership = await requirePermission(tx, id, 'org:sys_profile:delete')
    const organization = await getOrganization(tx, id)
    if (membership && !organization.adminDeleteEnabled)
      throw new UsherError('forbidden', 'This organization can be deleted by the application only.')
    // Of parallel calls one deletes and announces it.
    const deleted = await tx.db
      .delete(organizations)
      .where(eq(organizations.id, id))
      .returning({ id: organizations.id })
    if (deleted.length === 0) throw new UsherError('resource_not_found', 'There is no such organization.')
    emit(tx, { type: 'organization.deleted', subject: id, data: {} })
    return organization
  })
}

function parseName(name: string): string {
  const trimmed = name.trim()
  if (trimmed === '') throw new UsherError('form_param_nil', 'Enter a name.', { param: 'name' })
  if (trimmed.length > 256)
    throw new UsherError('form_param_max_length_exceeded', 'A name has 256 characters at most.', { param: 'name' })
  return trimmed
}

function parseSlug(slug: string): string {
  const valid = /^[a-z0-9][a-z0-9_-]{0,99}$/.test(slug) && !slug.startsWith('org_') && !reservedSlugs.has(slug)
  if (!valid)
    throw new UsherError(
      'form_param_format_invalid',
      'A slug has lower-case letters, digits and hyphens, and is not a reserved word.',
      { param: 'slug' },
    )
  return slug
}

/** A name may be taken many times, its slug once: a suffix makes it so without asking. */
function slugFrom(name: string): string {
  const words = name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 60)
  const suffix = randomBase62(8).toLowerCase()
  return words ? `${words}-${suffix}` : suffix
}

function slugTaken(error: unknown): unknown {
  if (!isUniqueViolation(error, 'organizations_slug')) return error
  return new UsherError('organization_slug_taken', 'That slug is taken. Please try another.', { param: 'slug' })
}
