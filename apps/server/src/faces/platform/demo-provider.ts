import { type Context, Hono } from 'hono'
import { z } from 'zod'
import {
  approveDemoSignIn,
  type DemoRequest,
  denyDemoSignIn,
  refuseProduction,
} from '../../domains/connections/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { createCtx } from '../../runtime.ts'
import { type Env, resolveInstance } from '../http.ts'
import { readText } from '../read-text.ts'
import { html, page } from './page.ts'

const maxFormBytes = 64 * 1024
const Request = z.object({
  redirect_uri: z.url({ protocol: /^https?$/ }),
  state: z.string().min(1).max(500),
  nonce: z.string().min(1).max(500),
  code_challenge: z.string().min(1).max(500),
})
const Account = z.object({
  email: z.email().max(254),
  first_name: z.string().max(100).default(''),
  last_name: z.string().max(100).default(''),
  verified: z.literal('on').optional(),
  number: z.string().max(10).default('1'),
})

/** The pages of the identity provider that development instances have built in. */
export function demoProviderRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  routes.get('/demo-provider/:provider', resolveInstance, (c) => {
    const { ctx, name } = open(c)
    const request = parseRequest(ctx, c, c.req.query())
    return signInPage(name, c.req.query('login_hint') ?? '', request)
  })
  routes.post('/demo-provider/:provider', resolveInstance, async (c) => {
    const { ctx } = open(c)
    const form = Object.fromEntries(new URLSearchParams(await readText(c, maxFormBytes)))
    const request = parseRequest(ctx, c, form)
    const location =
      form.deny === undefined ? await approveDemoSignIn(ctx, request, accountOf(form)) : denyDemoSignIn(ctx, request)
    return new Response(null, { status: 303, headers: { location, 'cache-control': 'no-store' } })
  })
  return routes
}

function open(c: Context<Env>): { ctx: Ctx; name: string } {
  const ctx = createCtx(c.var.runtime, c.var.instance, { type: 'anonymous' }, c.var.log)
  refuseProduction(ctx)
  const key = c.req.param('provider')
  const connection = c.var.instance.connections.find((x) => x.provider.key === key && x.credentials === null)
  if (!connection) throw new UsherError('resource_not_found', 'There is nothing at this address.')
  return { ctx, name: connection.name }
}

/** Back it goes to this server's own callback alone, wherever the query says. */
function parseRequest(ctx: Ctx, c: Context<Env>, values: Record<string, string>): DemoRequest {
  const parsed = Request.safeParse(values)
  if (!parsed.success || parsed.data.redirect_uri !== `${c.var.publicUrl}/v1/oauth_callback`)
    throw new UsherError('request_body_invalid', 'This page is reached from a sign-in.')
  ctx.log.debug('the demo provider was asked')
  const { redirect_uri: redirectUri, state, nonce, code_challenge: codeChallenge } = parsed.data
  return { redirectUri, state, nonce, codeChallenge }
}

function accountOf(form: Record<string, string>) {
  const account = Account.parse(form)
  return {
    emailAddress: account.email,
    emailVerified: account.verified === 'on',
    firstName: account.first_name,
    lastName: account.last_name,
    number: account.number,
  }
}

function signInPage(name: string, hint: string, request: DemoRequest): Response {
  const { redirectUri, state, nonce, codeChallenge } = request
  return page({
    title: `Demo sign-in instead of ${name}`,
    // The answer to the form leads to the application, wherever that is; an app has a scheme of its own.
    policy: { 'form-action': '' },
    body: html`<main class="stack">
<p><span class="pill">Development</span></p>
<h1>This is not ${name}</h1>
<p class="lead">No credentials of ${name} are set for this instance, so Usher stands in for it. Say who you want to be.</p>
<form method="post" class="card stack">
<input type="hidden" name="redirect_uri" value="${redirectUri}"><input type="hidden" name="state" value="${state}">
<input type="hidden" name="nonce" value="${nonce}"><input type="hidden" name="code_challenge" value="${codeChallenge}">
<label>Email address<br><input type="text" name="email" inputmode="email" autocomplete="email" value="${hint || 'ada@example.com'}" required></label>
<label>First name<br><input type="text" name="first_name" value="Ada"></label>
<label>Last name<br><input type="text" name="last_name" value="Lovelace"></label>
<label class="row"><input type="checkbox" name="verified" checked> The provider says that the address is verified</label>
<label>Account number, to be several people with one address<br><input type="text" name="number" inputmode="numeric" value="1"></label>
<p class="row"><button class="primary" type="submit">Continue as this person</button><button type="submit" name="deny" value="1" formnovalidate>Deny</button></p>
</form></main>`,
  })
}
