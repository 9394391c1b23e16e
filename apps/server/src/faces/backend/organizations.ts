import { Hono } from 'hono'
import { z } from 'zod'
import { deleteOrganizationLogo, setOrganizationLogo } from '../../domains/images/index.ts'
import {
  addMember,
  changeMemberRole,
  createOrganization,
  deleteOrganization,
  getInvitation,
  getOrganization,
  type InvitationRecord,
  inviteMembers,
  listMemberships,
  listOrganizationInvitations,
  listOrganizations,
  type MembershipRecord,
  mergeMembershipMetadata,
  mergeOrganizationMetadata,
  removeMember,
  revokeOrganizationInvitation,
  updateOrganization,
} from '../../domains/organizations/index.ts'
import { findUsers } from '../../domains/users/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { type Env, jsonResponse } from '../http.ts'
import { presentInvitation, presentMembership, presentOrganization } from '../presenters/organization.ts'
import { readUpload } from '../upload.ts'
import { instantOf, Metadata, Name, parseBody, repeated } from './input.ts'

const seen = { private: true } as const
const OrganizationFields = {
  name: Name,
  slug: z.string().max(100).nullish(),
  role_set_key: z.string().max(120).nullish(),
  external_id: z.string().min(1).max(256).nullish(),
  max_allowed_memberships: z.number().int().min(0).max(1_000_000).nullish(),
  public_metadata: Metadata.optional(),
  private_metadata: Metadata.optional(),
}
const CreateInput = z.object({ ...OrganizationFields, created_by: z.string().nullish() })
const UpdateInput = z.object({
  ...OrganizationFields,
  name: Name.optional(),
  admin_delete_enabled: z.boolean().optional(),
})
const MetadataInput = z.object({ public_metadata: Metadata.optional(), private_metadata: Metadata.optional() })
const InvitationInput = z.object({
  email_address: z.unknown(),
  role: z.string().max(120),
  inviter_user_id: z.string().nullish(),
  redirect_url: z.url({ protocol: /^https?$/ }).nullish(),
  public_metadata: Metadata.nullish(),
  private_metadata: Metadata.nullish(),
  expires_in_days: z.number().int().min(1).max(365).nullish(),
  notify: z.boolean().nullish(),
})
const statuses = z.array(z.enum(['pending', 'accepted', 'revoked', 'expired']))

/** `/v1/organizations` and the lists across them, for the application's server. */
export function organizationRoutes(): Hono<Env> {
  const routes = new Hono<Env>()

  routes.get('/organizations', async (c) => {
    const page = await listOrganizations(c.var.ctx, {
      ...Pagination.parse(c.req.query()),
      query: c.req.query('query'),
      ids: repeated(c, 'organization_id'),
      externalIds: repeated(c, 'external_id'),
      userIds: repeated(c, 'user_id'),
      orderBy: c.req.query('order_by'),
    })
    return jsonResponse({ data: page.data.map((o) => presentOrganization(o, seen)), total_count: page.totalCount })
  })
  routes.post('/organizations', async (c) => {
    const input = await parseBody(c, CreateInput)
    const made = await createOrganization(c.var.ctx, {
      ...fieldsOf(input),
      name: input.name,
      createdBy: input.created_by ?? undefined,
    })
    return jsonResponse(presentOrganization(made, seen))
  })
  routes.get('/organizations/:id', async (c) =>
    jsonResponse(presentOrganization(await getOrganization(c.var.ctx, c.req.param('id')), seen)),
  )
  routes.patch('/organizations/:id', async (c) => {
    const input = await parseBody(c, UpdateInput)
    const changed = await updateOrganization(c.var.ctx, {
      id: c.req.param('id'),
      name: input.name,
      ...fieldsOf(input),
      adminDeleteEnabled: input.admin_delete_enabled,
    })
    return jsonResponse(presentOrganization(changed, seen))
  })
  routes.delete('/organizations/:id', async (c) => {
    const { id, slug } = await deleteOrganization(c.var.ctx, c.req.param('id'))
    return jsonResponse({ object: 'organization', id, slug, deleted: true })
  })
  routes.patch('/organizations/:id/metadata', async (c) => {
    const input = await parseBody(c, MetadataInput)
    const change = { publicMetadata: input.public_metadata, privateMetadata: input.private_metadata }
    return jsonResponse(
      presentOrganization(await mergeOrganizationMetadata(c.var.ctx, { id: c.req.param('id'), ...change }), seen),
    )
  })
  routes.put('/organizations/:id/metadata', async (c) => {
    const input = await parseBody(c, MetadataInput)
    const change = { publicMetadata: input.public_metadata, privateMetadata: input.private_metadata }
    return jsonResponse(
      presentOrganization(await updateOrganization(c.var.ctx, { id: c.req.param('id'), ...change }), seen),
    )
  })
  routes.put('/organizations/:id/logo', async (c) => {
    const changed = await setOrganizationLogo(c.var.ctx, c.req.param('id'), await readUpload(c))
    return jsonResponse(presentOrganization(changed, seen))
  })
  routes.delete('/organizations/:id/logo', async (c) =>
    jsonResponse(presentOrganization(await deleteOrganizationLogo(c.var.ctx, c.req.param('id')), seen)),
  )

  routes.get('/organizations/:id/memberships', async (c) => {
    const { id } = await getOrganization(c.var.ctx, c.req.param('id'))
    return jsonResponse(await membershipPage(c, id))
  })
  routes.get('/organization_memberships', async (c) => jsonResponse(await membershipPage(c, undefined)))
  routes.post('/organizations/:id/memberships', async (c) => {
    const { user_id, role } = await parseBody(c, z.object({ user_id: z.string(), role: z.string() }))
    const made = await addMember(c.var.ctx, { organizationId: c.req.param('id'), userId: user_id, role })
    return jsonResponse((await withPeople(c.var.ctx, [made]))[0])
  })
  routes.patch('/organizations/:id/memberships/:user', async (c) => {
    const { role } = await parseBody(c, z.object({ role: z.string() }))
    const changed = await changeMemberRole(c.var.ctx, {
      organizationId: c.req.param('id'),
      userId: c.req.param('user'),
      role,
    })
    return jsonResponse((await withPeople(c.var.ctx, [changed]))[0])
  })
  routes.delete('/organizations/:id/memberships/:user', async (c) => {
    const removed = await removeMember(c.var.ctx, { organizationId: c.req.param('id'), userId: c.req.param('user') })
    return jsonResponse((await withPeople(c.var.ctx, [removed]))[0])
  })
  routes.patch('/organizations/:id/memberships/:user/metadata', async (c) => {
    const input = await parseBody(c, MetadataInput)
    const changed = await mergeMembershipMetadata(c.var.ctx, {
      organizationId: c.req.param('id'),
      userId: c.req.param('user'),
      publicMetadata: input.public_metadata,
      privateMetadata: input.private_metadata,
    })
    return jsonResponse((await withPeople(c.var.ctx, [changed]))[0])
  })

  routes.get('/organizations/:id/invitations', async (c) => {
    const { id } = await getOrganization(c.var.ctx, c.req.param('id'))
    return jsonResponse(await invitationPage(c, id))
  })
  routes.get('/organization_invitations', async (c) => jsonResponse(await invitationPage(c, undefined)))
  routes.post('/organizations/:id/invitations', async (c) => {
    const input = await parseBody(c, InvitationInput)
    const made = await invite(c, c.req.param('id'), [input])
    return jsonResponse(made[0] && presentInvitation(made[0], seen))
  })
  routes.post('/organizations/:id/invitations/bulk', async (c) => {
    const inputs = await parseBody(c, z.array(InvitationInput).min(1).max(100))
    const made = await invite(c, c.req.param('id'), inputs)
    return jsonResponse({ data: made.map((i) => presentInvitation(i, seen)), total_count: made.length })
  })
  routes.get('/organizations/:id/invitations/:invitation', async (c) => {
    const { id: organizationId, invitation: invitationId } = c.req.param()
    return jsonResponse(presentInvitation(await getInvitation(c.var.ctx, { organizationId, invitationId }), seen))
  })
  routes.post('/organizations/:id/invitations/:invitation/revoke', async (c) => {
    const { id: organizationId, invitation: invitationId } = c.req.param()
    return jsonResponse(
      presentInvitation(await revokeOrganizationInvitation(c.var.ctx, { organizationId, invitationId }), seen),
    )
  })
  return routes
}

type C = Parameters<typeof repeated>[0]

/** Without what was not given. */
function given<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> }
}

async function membershipPage(c: C, organizationId: string | undefined) {
  const page = await listMemberships(c.var.ctx, {
    ...Pagination.parse(c.req.query()),
    organizationId,
    userIds: repeated(c, 'user_id'),
    roles: repeated(c, 'role'),
    search: given({
      query: c.req.query('query'),
      emailAddressQuery: c.req.query('email_address_query'),
      phoneNumberQuery: c.req.query('phone_number_query'),
      usernameQuery: c.req.query('username_query'),
      nameQuery: c.req.query('name_query'),
    }),
    people: given({
      // There are no wallets here, and so nobody with one.
      userId: repeated(c, 'web3_wallet') && [''],
      emailAddress: repeated(c, 'email_address'),
      phoneNumber: repeated(c, 'phone_number'),
      username: repeated(c, 'username'),
      createdAtBefore: instantOf(c, 'created_at_before'),
      createdAtAfter: instantOf(c, 'created_at_after'),
      lastActiveAtBefore: instantOf(c, 'last_active_at_before'),
      lastActiveAtAfter: instantOf(c, 'last_active_at_after'),
    }),
    orderBy: c.req.query('order_by'),
  })
  return { data: await withPeople(c.var.ctx, page.data), total_count: page.totalCount }
}

async function invitationPage(c: C, organizationId: string | undefined) {
  const page = await listOrganizationInvitations(c.var.ctx, {
    ...Pagination.parse(c.req.query()),
    organizationId,
    status: statuses.parse(repeated(c, 'status') ?? []),
  })
  return { data: page.data.map((i) => presentInvitation(i, seen)), total_count: page.totalCount }
}

function invite(
  c: C,
  organizationId: string,
  inputs: z.infer<typeof InvitationInput>[],
): Promise<(InvitationRecord & { url: string })[]> {
  return inviteMembers(
    c.var.ctx,
    inputs.map((input) => ({
      organizationId,
      emailAddress: input.email_address,
      role: input.role,
      inviterUserId: input.inviter_user_id,
      redirectUrl: input.redirect_url,
      publicMetadata: input.public_metadata ?? undefined,
      privateMetadata: input.private_metadata ?? undefined,
      expiresInDays: input.expires_in_days ?? undefined,
      notify: input.notify ?? undefined,
      publicUrl: c.var.publicUrl,
    })),
  )
}

function fieldsOf(input: z.infer<typeof UpdateInput>) {
  return {
    slug: input.slug ?? undefined,
    roleSet: input.role_set_key ?? undefined,
    externalId: input.external_id,
    maxAllowedMemberships: input.max_allowed_memberships ?? undefined,
    publicMetadata: input.public_metadata,
    privateMetadata: input.private_metadata,
  }
}

/** Adds the people of memberships: one query, however many. */
async function withPeople(ctx: Ctx, memberships: MembershipRecord[]) {
  const users = await findUsers(ctx, [...new Set(memberships.map((m) => m.userId))])
  return memberships.map((m) =>
    presentMembership(
      m,
      users.find((u) => u.id === m.userId),
      seen,
    ),
  )
}
