import { Hono } from 'hono'
import { z } from 'zod'
import { getMessage, listMessages, type Message } from '../../domains/messaging/index.ts'
import { createCtx } from '../../runtime.ts'
import { type Env, jsonResponse, resolveInstance } from '../http.ts'
import { html, page, topBar } from './page.ts'

const Query = z.object({
  to: z.string().max(320).optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
})

/** `/inbox`: what was sent, in development. Also as JSON at `/inbox.json`, for tests. */
export function inboxRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  routes.use('/inbox', resolveInstance, withCtx)
  routes.use('/inbox.json', resolveInstance, withCtx)
  routes.use('/inbox/*', resolveInstance, withCtx)

  routes.get('/inbox.json', async (c) => {
    const messages = await listMessages(c.var.ctx, Query.parse(c.req.query()))
    return jsonResponse({ data: messages.map(present) })
  })
  routes.get('/inbox', async (c) => {
    const messages = await listMessages(c.var.ctx, Query.parse(c.req.query()))
    return page({
      title: 'Inbox · Usher',
      body: html`${topBar(html`<a href="/demo">Demo</a>`)}<main><h1>Inbox</h1>
<p class="lead">What this development instance sent. Nothing of it left this machine unless SMTP_URL is set.</p>
${messages.length === 0 ? html`<p class="card muted">Nothing yet. Sign up in the <a href="/demo">demo</a>, and the code appears here.</p>` : ''}
<ul class="plain stack">${messages.map(
        (m) =>
          html`<li><a class="card" href="/inbox/${m.id}"><h2>${m.subject}</h2><p>To ${m.toAddress} · <time datetime="${m.createdAt.toISOString()}">${m.createdAt.toISOString().slice(0, 19).replace('T', ' ')}</time> · ${m.state}</p></a></li>`,
      )}</ul></main>`,
    })
  })
  routes.get('/inbox/:id', async (c) => {
    const message = await getMessage(c.var.ctx, c.req.param('id'))
    const links = [...message.text.matchAll(/https?:\/\/\S+/g)].map(([url]) => url)
    return page({
      title: `${message.subject} · Inbox`,
      // The email's own styles stand in attributes; scripts and forms stay impossible in the frame.
      policy: { 'frame-src': "'self'" },
      body: html`${topBar(html`<a href="/inbox">Inbox</a>`)}<main class="stack"><h1>${message.subject}</h1>
<p class="muted">To ${message.toAddress} · ${message.template} · ${message.state}</p>
${links.map((url) => html`<p><a class="pill" data-testid="message-link" rel="noreferrer" href="${url}">Open the link of this email</a></p>`)}
<pre tabindex="0" aria-label="Text of the email">${message.text}</pre>
<iframe title="The email as it looks" sandbox="" src="/inbox/${message.id}/html" width="100%" height="480"></iframe></main>`,
    })
  })
  routes.get('/inbox/:id/html', async (c) => {
    const { html: content } = await getMessage(c.var.ctx, c.req.param('id'))
    return new Response(content, {
      headers: {
        'content-type': 'text/html; charset=utf-8',
        'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'self'",
        'x-content-type-options': 'nosniff',
      },
    })
  })
  return routes
}

const withCtx: import('hono').MiddlewareHandler<Env> = async (c, next) => {
  c.set('ctx', createCtx(c.var.runtime, c.var.instance, { type: 'system', job: 'inbox' }, c.var.log))
  await next()
}

function present(message: Message) {
  return {
    id: message.id,
    template: message.template,
    to: message.toAddress,
    subject: message.subject,
    text: message.text,
    html: message.html,
    code: message.text.match(/^\d{6}$/m)?.[0] ?? null,
    links: [...message.text.matchAll(/https?:\/\/\S+/g)].map(([url]) => url),
    state: message.state,
    created_at: message.createdAt.getTime(),
  }
}
