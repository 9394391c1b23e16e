import { Hono } from 'hono'
import { createDevBrowser } from '../../domains/sessions/index.ts'
import { countAttempt, ipKey } from '../../kernel/rate-limit.ts'
import { jsonResponse } from '../http.ts'
import { presentEnvironment } from '../presenters/environment.ts'
import { type FrontendEnv, isTest } from './context.ts'

/** What the components need to know before anybody is known. In development it arrives as PATCH, without a client. */
export function environmentRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()
  routes.on(['GET', 'PATCH', 'POST'], '/environment', (c) =>
    jsonResponse(presentEnvironment(c.var.instance, c.var.publicUrl, c.var.runtime.challenge?.siteKeys)),
  )
  routes.post('/dev_browser', async (c) => {
    const max = c.var.instance.settings.rateLimits.attemptsPerMinute
    const key = `${c.var.instance.id}:dev_browser:${ipKey(c.env.ip)}`
    if (!isTest(c)) countAttempt(c.var.runtime.database, key, { max, windowMs: 60_000 }, c.var.ctx.now())
    const { token } = await createDevBrowser(c.var.ctx)
    return jsonResponse({ object: 'dev_browser', id: token })
  })
  return routes
}
