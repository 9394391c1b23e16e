import { Hono } from 'hono'
import { z } from 'zod'
import { joinWaitlist } from '../../domains/signup/index.ts'
import { jsonResponse } from '../http.ts'
import { presentWaitlistEntry } from '../presenters/waitlist-entry.ts'
import { type FrontendEnv, limitByAddress } from './context.ts'
import { parseForm } from './forms.ts'

/** `POST /v1/waitlist`: somebody asks to be let in. The browser SDK reads the answer without an envelope. */
export function waitlistRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()
  routes.post('/waitlist', limitByAddress, async (c) => {
    const { email_address: emailAddress } = await parseForm(c, z.object({ email_address: z.unknown() }))
    const { id, object } = presentWaitlistEntry(await joinWaitlist(c.var.ctx, { emailAddress }))
    // Neither its state nor since when: whoever knows an address may not learn that it is on the list, or was let in.
    const now = c.var.ctx.now().getTime()
    return jsonResponse({ object, id, created_at: now, updated_at: now })
  })
  return routes
}
