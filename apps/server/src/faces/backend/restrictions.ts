import { type Context, Hono } from 'hono'
import { z } from 'zod'
import { transaction } from '../../database/index.ts'
import {
  addAllowlistIdentifier,
  addBlocklistIdentifier,
  type ListedIdentifier,
  listAllowlistIdentifiers,
  listBlocklistIdentifiers,
  removeAllowlistIdentifier,
  removeBlocklistIdentifier,
} from '../../domains/restrictions/index.ts'
import { createInvitation } from '../../domains/signup/index.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { type Env, jsonResponse } from '../http.ts'
import { parseBody } from './input.ts'

const AllowInput = z.object({ identifier: z.unknown(), notify: z.boolean().nullish() })
const BlockInput = z.object({ identifier: z.unknown() })

/** `/v1/allowlist_identifiers` and `/v1/blocklist_identifiers` for the application's server. */
export function restrictionRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  routes.get('/allowlist_identifiers', async (c) => {
    const page = await listAllowlistIdentifiers(c.var.ctx, Pagination.parse(c.req.query()))
    return listed(c, page, 'allowlist_identifier')
  })
  routes.post('/allowlist_identifiers', async (c) => {
    const { identifier, notify } = await parseBody(c, AllowInput)
    const made = await transaction(c.var.ctx, async (tx) => {
      // Whole domains and numbers have no mailbox that could be told.
      const tells = notify && typeof identifier === 'string' && /^[^*@]+@[^@]+$/.test(identifier)
      if (!tells) return addAllowlistIdentifier(tx, { identifier })
      const { publicUrl } = c.var
      const { invitation } = await createInvitation(tx, { emailAddress: identifier, ignoreExisting: true, publicUrl })
      return addAllowlistIdentifier(tx, { identifier, invitationId: invitation.id })
    })
    return jsonResponse(present(made, 'allowlist_identifier'))
  })
  routes.delete('/allowlist_identifiers/:id', async (c) => {
    const id = c.req.param('id')
    await removeAllowlistIdentifier(c.var.ctx, id)
    return jsonResponse({ object: 'allowlist_identifier', id, deleted: true })
  })

  routes.get('/blocklist_identifiers', async (c) => {
    const page = await listBlocklistIdentifiers(c.var.ctx, Pagination.parse(c.req.query()))
    // This list is never bare.
    return jsonResponse({
      data: page.data.map((entry) => present(entry, 'blocklist_identifier')),
      total_count: page.totalCount,
    })
  })
  routes.post('/blocklist_identifiers', async (c) => {
    const { identifier } = await parseBody(c, BlockInput)
    return jsonResponse(present(await addBlocklistIdentifier(c.var.ctx, { identifier }), 'blocklist_identifier'))
  })
  routes.delete('/blocklist_identifiers/:id', async (c) => {
    const id = c.req.param('id')
    await removeBlocklistIdentifier(c.var.ctx, id)
    return jsonResponse({ object: 'blocklist_identifier', id, deleted: true })
  })
  return routes
}

type ListName = 'allowlist_identifier' | 'blocklist_identifier'

function listed(c: Context<Env>, page: { data: ListedIdentifier[]; totalCount: number }, object: ListName): Response {
  const data = page.data.map((entry) => present(entry, object))
  return jsonResponse(c.req.query('paginated') === 'true' ? { data, total_count: page.totalCount } : data)
}

function present(entry: ListedIdentifier, object: ListName) {
  return {
    object,
    id: entry.id,
    identifier: entry.identifier,
    identifier_type: entry.identifierType,
    instance_id: entry.instanceId,
    ...(object === 'allowlist_identifier' && { invitation_id: entry.invitationId ?? null }),
    created_at: entry.createdAt.getTime(),
    updated_at: entry.updatedAt.getTime(),
  }
}
