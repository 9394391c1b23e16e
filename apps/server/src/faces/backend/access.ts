import { Hono } from 'hono'
import { z } from 'zod'
import { checkAccess } from '../../domains/organizations/index.ts'
import { type Env, jsonResponse } from '../http.ts'
import { presentGrant } from '../presenters/access.ts'
import { parseBody } from './input.ts'

const Input = z.object({
  user_id: z.string(),
  organization_id: z.string().nullish(),
  role: z.string().max(200).optional(),
  permission: z.string().max(200).optional(),
  feature: z.string().max(200).optional(),
})

/** `POST /v1/access/check`: what a token may have had no room for. */
export function accessRoutes(): Hono<Env> {
  return new Hono<Env>().post('/access/check', async (c) => {
    const { user_id: userId, organization_id, ...question } = await parseBody(c, Input)
    const input = { userId, organizationId: organization_id ?? undefined, ...question }
    const { decision, grants } = await checkAccess(c.var.ctx, input)
    return jsonResponse({ object: 'access_check', decision, grants: grants.map(presentGrant) })
  })
}
