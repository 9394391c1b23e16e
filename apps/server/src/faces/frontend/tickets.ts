import { Hono } from 'hono'
import { isSignedIn } from '../../domains/sessions/index.ts'
import { acceptTicket } from '../../domains/signin/index.ts'
import type { FrontendEnv } from './context.ts'
import { isTrustedOrigin, parseOrigin } from './origins.ts'

/** Where links in emails lead: on to the application, with the ticket and what to do with it. */
export function ticketRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()
  routes.get('/tickets/accept', async (c) => {
    const { instance, publicUrl, ctx } = c.var
    const ticket = c.req.query('ticket')
    const open = c.var.frontend.identified?.client?.sessions.filter((s) => isSignedIn(s, ctx.now())) ?? []
    const accepted = await acceptTicket(ctx, { ticket, signedInUserIds: open.map((s) => s.userId) })
    const { homeUrl = publicUrl, signInUrl, signUpUrl } = instance.settings
    const fallback = {
      sign_in: signInUrl ?? new URL('/sign-in', homeUrl).toString(),
      sign_up: signUpUrl ?? new URL('/sign-up', homeUrl).toString(),
      complete: homeUrl,
    }[accepted.status]
    const wanted = accepted.redirectUrl && parseOrigin(accepted.redirectUrl)
    const allowed =
      instance.environment === 'development' || isTrustedOrigin(instance, publicUrl, accepted.redirectUrl ?? '')
    const target = wanted && allowed ? wanted : new URL(fallback)
    target.searchParams.set('__clerk_status', accepted.status)
    if (accepted.status !== 'complete') target.searchParams.set('__clerk_ticket', String(ticket))
    const headers = { location: target.toString(), 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' }
    return new Response(null, { status: 303, headers })
  })
  // Links that sign in by themselves are not sent; whoever comes with one is told so.
  return routes
}
