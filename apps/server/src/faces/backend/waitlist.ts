import { Hono } from 'hono'
import { z } from 'zod'
import { transaction } from '../../database/index.ts'
import {
  deleteWaitlistEntry,
  inviteFromWaitlist,
  joinWaitlist,
  listWaitlist,
  rejectFromWaitlist,
} from '../../domains/signup/index.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { type Env, jsonResponse } from '../http.ts'
import { presentWaitlistEntry } from '../presenters/waitlist-entry.ts'
import { parseBody } from './input.ts'

const EntryInput = z.object({ email_address: z.unknown(), notify: z.boolean().nullish() })
const Statuses = z.enum(['pending', 'invited', 'rejected', 'completed'])

/** `/v1/waitlist_entries` for the application's server. */
export function waitlistRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  routes.get('/waitlist_entries', async (c) => {
    const { query, status, order_by: orderBy } = c.req.query()
    const page = await listWaitlist(c.var.ctx, {
      ...Pagination.parse(c.req.query()),
      ...(query && { query }),
      ...(status && { status: Statuses.parse(status) }),
      ...(orderBy && { orderBy }),
    })
    return jsonResponse({ data: page.data.map((e) => presentWaitlistEntry(e)), total_count: page.totalCount })
  })
  routes.post('/waitlist_entries', async (c) => {
    const { email_address: emailAddress, notify } = await parseBody(c, EntryInput)
    return jsonResponse(presentWaitlistEntry(await joinWaitlist(c.var.ctx, { emailAddress, notify: notify ?? true })))
  })
  routes.post('/waitlist_entries/bulk', async (c) => {
    const inputs = await parseBody(c, z.array(EntryInput).min(1).max(50))
    const entries = await transaction(c.var.ctx, async (tx) => {
      const all = []
      for (const { email_address: emailAddress, notify } of inputs)
        all.push(await joinWaitlist(tx, { emailAddress, notify: notify ?? true }))
      return all
    })
    return jsonResponse(entries.map((e) => presentWaitlistEntry(e)))
  })
  routes.post('/waitlist_entries/:id/invite', async (c) => {
    const { ignore_existing } = await parseBody(c, z.object({ ignore_existing: z.boolean().nullish() }))
    const { entry, url } = await inviteFromWaitlist(c.var.ctx, {
      id: c.req.param('id'),
      ignoreExisting: ignore_existing ?? false,
      publicUrl: c.var.publicUrl,
    })
    return jsonResponse(presentWaitlistEntry(entry, url))
  })
  routes.post('/waitlist_entries/:id/reject', async (c) =>
    jsonResponse(presentWaitlistEntry(await rejectFromWaitlist(c.var.ctx, c.req.param('id')))),
  )
  routes.delete('/waitlist_entries/:id', async (c) => {
    const id = c.req.param('id')
    await deleteWaitlistEntry(c.var.ctx, id)
    return jsonResponse({ object: 'waitlist_entry', id, deleted: true })
  })
  return routes
}
