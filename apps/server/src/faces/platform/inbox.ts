import { Hono } from 'hono'
import { z } from 'zod'
import { getMessage, listMessages, type Message } from '../../domains/messaging/index.ts'
import { createCtx } from '../../runtime.ts'
import { type Env, jsonResponse, resolveInstance } from '../http.ts'
import { type Html, html, page, topBar } from './page.ts'

const Query = z.object({
  to: z.string().max(320).optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
})

const bar = topBar(html`<a href="/inbox">Inbox</a><a href="/templates/email">Templates</a><a href="/demo">Demo</a>`)

/** `/inbox`: what was sent, in development: emails and texts. Also as JSON at `/inbox.json`, for tests. */
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
    const query = Query.parse(c.req.query())
    const messages = await listMessages(c.var.ctx, query)
    return page({
      title: 'Inbox · Usher',
      body: html`${bar}<main><h1>Inbox</h1>
<p class="lead">What this development instance sent. Emails leave this machine only if SMTP_URL is set, texts only if USHER_SMS_ACCOUNT is.</p>
<form class="row" role="search"><label for="to" class="muted">To</label><input id="to" type="text" name="to" value="${query.to}" placeholder="ada@example.com or +12025550143" autocomplete="off" spellcheck="false"><button>Show</button></form>
${messages.length === 0 ? nothing(query.to) : ''}
<ul class="plain stack">${messages.map(entry)}</ul></main>`,
    })
  })
  routes.get('/inbox/:id', async (c) => {
    const message = await getMessage(c.var.ctx, c.req.param('id'))
    const kind = message.channel === 'sms' ? 'text message' : 'email'
    return page({
      title: `${message.subject} · Inbox`,
      // The email's own styles stand in attributes; scripts and forms stay impossible in the frame.
      policy: { 'frame-src': "'self'" },
      body: html`${bar}<main class="stack"><h1>${message.channel === 'sms' ? `Text to ${message.toAddress}` : message.subject}</h1>
<p class="muted">${channelPill(message)} To ${message.toAddress} · <a href="/templates/${message.channel}/${message.template}">${message.template}</a> · ${time(message)} · ${stateOf(message)}</p>
${linksOf(message).map((url) => html`<p><a class="pill" data-testid="message-link" rel="noreferrer" href="${url}">Open the link of this ${kind}</a></p>`)}
${
  message.channel === 'sms'
    ? html`<p class="bubble" dir="auto" aria-label="The text message">${message.text}</p>`
    : html`<pre tabindex="0" aria-label="Text of the email" dir="auto">${message.text}</pre>
<iframe title="The email as it looks" sandbox="" src="/inbox/${message.id}/html" width="100%" height="560"></iframe>`
}</main>`,
    })
  })
  routes.get('/inbox/:id/html', async (c) => emailDocument((await getMessage(c.var.ctx, c.req.param('id'))).html))
  return routes
}

/** An email to be shown in a frame of our own: its styles work, and nothing else does. */
export function emailDocument(content: string): Response {
  return new Response(content, {
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy':
        "default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; sandbox; frame-ancestors 'self'",
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
    },
  })
}

const nothing = (to: string | undefined) =>
  to
    ? html`<p class="card muted">Nothing was sent to ${to}.</p>`
    : html`<p class="card muted">Nothing yet. Sign up in the <a href="/demo">demo</a>, and the code appears here.</p>`

function entry(m: Message): Html {
  return html`<li><a class="card" href="/inbox/${m.id}"><h2 dir="auto">${m.subject}</h2><p>${channelPill(m)} To ${m.toAddress} · ${time(m)} · ${stateOf(m)}</p></a></li>`
}

const channelPill = (m: Message) => html`<span class="pill">${m.channel === 'sms' ? 'Text' : 'Email'}</span>`
const time = ({ createdAt }: Message) =>
  html`<time datetime="${createdAt.toISOString()}">${createdAt.toISOString().slice(0, 19).replace('T', ' ')}</time>`
const stateOf = ({ state, lastError }: Message) =>
  lastError ? `${state} (${lastError})` : state === 'kept' ? 'kept here, not sent' : state

const withCtx: import('hono').MiddlewareHandler<Env> = async (c, next) => {
  c.set('ctx', createCtx(c.var.runtime, c.var.instance, { type: 'system', job: 'inbox' }, c.var.log))
  await next()
}

const linksOf = (message: Message) => [...message.text.matchAll(/https?:\/\/\S+/g)].map(([url]) => url)

function present(message: Message) {
  return {
    id: message.id,
    channel: message.channel,
    template: message.template,
    to: message.toAddress,
    subject: message.subject,
    text: message.text,
    html: message.html,
    code:
      message.text.match(/^\d{6}$/m)?.[0] ?? ((message.channel === 'sms' && message.text.match(/\d{6}/)?.[0]) || null),
    links: linksOf(message),
    state: message.state,
    created_at: message.createdAt.getTime(),
  }
}
