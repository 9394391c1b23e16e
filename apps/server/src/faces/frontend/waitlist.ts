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
    const { id, object, created_at, updated_at } = presentWaitlistEntry(await joinWaitlist(c.var.ctx, { emailAddress }))
    // Not its state: whoever knows an address may not learn whether it was let in.
    return jsonResponse({ object, id, created_at, updated_at })
  })
  return routes
}
