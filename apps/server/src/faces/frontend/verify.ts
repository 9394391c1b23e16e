import { type Context, Hono } from 'hono'
import { followEmailLink, type LinkOutcome, openEmailLink } from '../../domains/signin/index.ts'
import type { EmailLink } from '../../domains/verifications/index.ts'
import { nameDevice } from '../../kernel/describe-device.ts'
import { type Html, html, page } from '../platform/page.ts'
import { readText } from '../read-text.ts'
import { callerAddress, type FrontendEnv, limitByAddress, noteIssued } from './context.ts'

const maxFormBytes = 16 * 1024

/** `/v1/verify`: the links of emails that prove an address. */
export function emailLinkRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()
  routes.get('/verify', async (c) => {
    const token = c.req.query('token')
    const opened = await openEmailLink(c.var.ctx, { token, clientId: c.var.frontend.clientId })
    if (opened.step === 'unknown')
      return show(404, 'This link is not known', html`<p>It may have been copied in part.</p>`)
    if (opened.step === 'done') return finish(c, opened.outcome)
    // Programs that look into mail open links too. Only the browser that asked is known to have a person before it.
    return opened.step === 'use' ? follow(c, token) : confirm(token ?? '', opened.link)
  })
  routes.post('/verify', limitByAddress, async (c) => {
    const form = new URLSearchParams(await readText(c, maxFormBytes))
    return follow(c, form.get('token'))
  })
  return routes
}

async function follow(c: Context<FrontendEnv>, token: unknown): Promise<Response> {
  const { clientId, carrier } = c.var.frontend
  const outcome = await followEmailLink(
    c.var.ctx,
    {
      clientId,
      carrier: carrier === 'dev_browser' ? 'dev_browser' : 'cookie',
      userAgent: c.req.header('user-agent') ?? null,
      ipAddress: callerAddress(c),
    },
    token,
  )
  if (!outcome) return show(404, 'This link is not known', html`<p>It may have been copied in part.</p>`)
  noteIssued(c, outcome.issued)
  return finish(c, outcome)
}

function finish(_: Context<FrontendEnv>, { status, redirectUrl, createdSessionId }: LinkOutcome): Response {
  const target = new URL(redirectUrl)
  target.searchParams.set('__clerk_status', status)
  if (createdSessionId) target.searchParams.set('__clerk_created_session', createdSessionId)
  return new Response(null, {
    status: 303,
    headers: { location: target.toString(), 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' },
  })
}

const deeds = {
  sign_in: { title: 'Sign in?', verb: 'sign in' },
  sign_up: { title: 'Finish signing up?', verb: 'sign up' },
  email_address: { title: 'Verify this email address?', verb: 'verify it' },
} as const

/** Says who asked: a link that somebody else asked for would let them in. */
function confirm(token: string, link: EmailLink): Response {
  const { title, verb } = deeds[link.purpose]
  return show(
    200,
    title,
    html`<p class="lead">You opened this link in another browser than the one that asked for it.</p>
<dl class="card"><dt>Address</dt><dd>${link.emailAddress}</dd><dt>Asked by</dt><dd>${nameDevice(link.userAgent) ?? 'an unknown device'}</dd><dt>From</dt><dd>${link.ipAddress ?? 'an unknown place'}</dd></dl>
<p>Go on only if that was you: whoever asked will be able to ${verb} there.</p>
<form method="post"><input type="hidden" name="token" value="${token}"><button class="primary" type="submit">Yes, that was me</button></form>`,
  )
}

function show(status: number, title: string, content: Html): Response {
  const { body, headers } = page({
    title,
    // The answer to the form leads to the application.
    policy: { 'form-action': '*' },
    body: html`<main class="stack"><h1>${title}</h1>${content}</main>`,
  })
  // Browsers say where a form comes from only to pages that may know what they came from: our own.
  headers.set('referrer-policy', 'same-origin')
  return new Response(body, { status, headers })
}
