import { Hono } from 'hono'
import { z } from 'zod'
import { transaction } from '../../database/index.ts'
import { createInvitation, listInvitations, revokeInvitation } from '../../domains/signup/index.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { type Env, jsonResponse } from '../http.ts'
import { presentApplicationInvitation } from '../presenters/application-invitation.ts'
import { Metadata, parseBody } from './input.ts'

const InvitationInput = z.object({
  email_address: z.unknown(),
  redirect_url: z.url({ protocol: /^https?$/ }).nullish(),
  public_metadata: Metadata.nullish(),
  notify: z.boolean().nullish(),
  ignore_existing: z.boolean().nullish(),
  template_slug: z.enum(['invitation', 'waitlist_invitation']).nullish(),
  expires_in_days: z.number().int().min(1).max(365).nullish(),
})
const statuses = z.enum(['pending', 'accepted', 'revoked', 'expired'])

/** `/v1/invitations` (to the application) for its server. */
export function invitationRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  const create = (input: z.infer<typeof InvitationInput>, publicUrl: string) => ({
    emailAddress: input.email_address,
    redirectUrl: input.redirect_url ?? null,
    publicMetadata: input.public_metadata ?? {},
    notify: input.notify ?? true,
    ignoreExisting: input.ignore_existing ?? false,
    ...(input.template_slug && { template: input.template_slug }),
    ...(input.expires_in_days && { expiresInDays: input.expires_in_days }),
    publicUrl,
  })

  routes.get('/invitations', async (c) => {
    const { status, query, order_by: orderBy } = c.req.query()
    const page = await listInvitations(c.var.ctx, {
      ...Pagination.parse(c.req.query()),
      ...(status !== undefined && { status: statuses.parse(status) }),
      ...(query && { query }),
      ...(orderBy && { orderBy }),
    })
    const data = page.data.map((i) => presentApplicationInvitation(i))
    return jsonResponse(c.req.query('paginated') === 'true' ? { data, total_count: page.totalCount } : data)
  })
  routes.post('/invitations', async (c) => {
    const input = await parseBody(c, InvitationInput)
    const { invitation, url } = await createInvitation(c.var.ctx, create(input, c.var.publicUrl))
    return jsonResponse(presentApplicationInvitation(invitation, url))
  })
  routes.post('/invitations/bulk', async (c) => {
    const inputs = await parseBody(c, z.array(InvitationInput).min(1).max(100))
    const made = await transaction(c.var.ctx, async (tx) => {
      const all = []
      for (const input of inputs) all.push(await createInvitation(tx, create(input, c.var.publicUrl)))
      return all
    })
    return jsonResponse(made.map(({ invitation, url }) => presentApplicationInvitation(invitation, url)))
  })
  routes.post('/invitations/:id/revoke', async (c) =>
    jsonResponse(presentApplicationInvitation(await revokeInvitation(c.var.ctx, c.req.param('id')))),
  )
  return routes
}
