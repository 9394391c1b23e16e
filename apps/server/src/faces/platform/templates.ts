import { type Context, Hono, type MiddlewareHandler } from 'hono'
import {
  type Channel,
  getTemplate,
  listTemplates,
  previewTemplate,
  revertTemplate,
  setTemplate,
  type Template,
} from '../../domains/messaging/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { createCtx } from '../../runtime.ts'
import { type Env, resolveInstance } from '../http.ts'
import { readText } from '../read-text.ts'
import { emailDocument } from './inbox.ts'
import { type Html, html, page, topBar } from './page.ts'
import { sameOriginOnly } from './same-origin.ts'

/** As much as the server API takes. */
const maxFormBytes = 1024 * 1024
const languageNames = new Intl.DisplayNames('en', { type: 'language' })
const bar = topBar(html`<a href="/inbox">Inbox</a><a href="/templates/email">Templates</a><a href="/demo">Demo</a>`)

/** `/templates`: the texts of messages, to look at and to edit in development. In production the server API does it. */
export function templateRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  routes.use('/templates', resolveInstance, developmentOnly)
  routes.use('/templates/*', resolveInstance, developmentOnly)

  routes.get('/templates', (c) => c.redirect('/templates/email'))
  routes.get('/templates/:channel', async (c) => {
    const channel = channelOf(c)
    const templates = await listTemplates(c.var.ctx, channel, c.req.query('locale'))
    const { locale = 'en', locales = [] } = templates[0] ?? {}
    const tabs: [Channel, string][] = [
      ['email', 'Emails'],
      ['sms', 'Texts'],
    ]
    return page({
      title: 'Templates · Usher',
      body: html`${bar}<main><h1>Templates</h1>
<p class="lead">What people are told, in the language that they chose. Texts of your own are used instead of those that ship.</p>
<nav class="row wrap" aria-label="Kinds and languages">${tabs.map(
        ([key, label]) =>
          html`<a class="tab"${current(key === channel)} href="/templates/${key}?locale=${locale}">${label}</a>`,
      )}<span class="gap"></span>${locales.map((tag) => languageTab(tag, locale, `/templates/${channel}`))}</nav>
<ul class="plain stack">${templates.map(
        (t) =>
          html`<li><a class="card" href="/templates/${channel}/${t.name}?locale=${locale}"><h2>${t.label}</h2><p lang="${t.textLocale}" dir="auto">${t.subject || t.body}</p>${t.edited ? html`<p><span class="pill">Your own text</span></p>` : ''}</a></li>`,
      )}</ul></main>`,
    })
  })
  routes.get('/templates/:channel/:name', async (c) => {
    const template = await getTemplate(c.var.ctx, { ...named(c), locale: c.req.query('locale') })
    return editor(template, { subject: template.subject, body: template.body, saved: c.req.query('saved') === '1' })
  })
  routes.get('/templates/:channel/:name/preview', async (c) =>
    previewDocument(c, await previewTemplate(c.var.ctx, { ...named(c), locale: c.req.query('locale') })),
  )
  // The form is sent here by a button of its own, into the frame: what is typed is shown, and saved nowhere.
  routes.post('/templates/:channel/:name/preview', sameOriginOnly, async (c) => {
    const { locale, subject, body } = await formOf(c)
    try {
      return previewDocument(c, await previewTemplate(c.var.ctx, { ...named(c), locale, subject, body }))
    } catch (error) {
      if (!(error instanceof UsherError)) throw error
      return emailDocument(
        html`<!doctype html><meta charset="utf-8"><p style="font:16px system-ui;padding:24px">${error.message}</p>`
          .text,
      )
    }
  })
  routes.post('/templates/:channel/:name', sameOriginOnly, async (c) => {
    const { channel, name } = named(c)
    const { locale, subject, body, revert } = await formOf(c)
    try {
      if (revert) await revertTemplate(c.var.ctx, { channel, name, locale })
      else await setTemplate(c.var.ctx, { channel, name, locale, subject, body })
    } catch (error) {
      if (!(error instanceof UsherError) || error.code === 'resource_not_found') throw error
      const template = await getTemplate(c.var.ctx, { channel, name })
      return editor({ ...template, locale }, { subject, body, problem: error.message })
    }
    return c.redirect(`/templates/${channel}/${name}?locale=${encodeURIComponent(locale)}&saved=1`, 303)
  })
  return routes
}

type Typed = { subject: string; body: string; saved?: boolean; problem?: string }

function editor(template: Template, { subject, body, saved, problem }: Typed): Response {
  const { channel, name, locale, locales, variables, requiredVariables } = template
  const address = `/templates/${channel}/${name}`
  const response = page({
    title: `${template.label} · Templates`,
    body: html`${bar}<main class="stack wide"><p><a href="/templates/${channel}?locale=${locale}">All ${channel === 'sms' ? 'texts' : 'emails'}</a></p>
<h1>${template.label}</h1>
<nav class="row wrap" aria-label="Languages">${[...new Set([...locales, locale])].map((tag) => languageTab(tag, locale, address))}</nav>
${problem ? html`<p class="card" role="alert" id="problem"><strong>Not saved.</strong> ${problem}</p>` : ''}
${saved ? html`<p class="card" role="status">Saved.</p>` : ''}
<div class="columns"><form method="post" action="${address}" class="stack">
<p class="muted">${template.edited ? html`<span class="pill">Your own text</span> in ${languageName(locale)}` : `The text that ships in ${languageName(template.textLocale)}.`}</p>
<input type="hidden" name="locale" value="${locale}">
${channel === 'email' ? html`<div><label for="subject">Subject</label><input id="subject" type="text" name="subject" maxlength="200" dir="auto" value="${subject}"></div>` : ''}
<div><label for="body">Text</label><textarea id="body" name="body" rows="${channel === 'sms' ? 4 : 16}" dir="auto" aria-describedby="help"${problem ? html` aria-invalid="true"` : ''}>
${body}</textarea></div>
<p class="muted" id="help">${channel === 'email' ? html`An empty line begins a new paragraph, <code>&gt; </code> small print, and <code>[Label]({{url}})</code> on a line of its own is a button. ` : ''}${requiredVariables.length > 0 ? html`Needed: ${codes(requiredVariables)}. ` : ''}Variables: ${codes(variables)}.</p>
<p class="row wrap"><button class="primary">Save</button><button formaction="${address}/preview" formtarget="preview">Preview</button>${template.edited ? html`<button name="revert" value="1">Back to the text that ships</button>` : ''}</p></form>
<section aria-labelledby="preview-title"><h2 id="preview-title">Preview</h2><iframe title="Preview with made-up data" name="preview" sandbox="" src="${address}/preview?locale=${locale}" width="100%" height="${channel === 'sms' ? 200 : 560}"></iframe></section></div></main>`,
  })
  // Without a referrer a form says `Origin: null`, and could not be told from another page's.
  response.headers.set('referrer-policy', 'same-origin')
  return response
}

function previewDocument(
  c: Context<Env>,
  { subject, html: content, text }: { subject: string; html: string; text: string },
) {
  if (channelOf(c) === 'email') {
    const line = html`<p style="margin:0 auto 16px;max-width:544px;font:14px system-ui;color:#52525b"><b>Subject:</b> <bdi>${subject}</bdi></p>`
    return emailDocument(content.replace(/(<body[^>]*>)/, (tag) => `${tag}\n${line.text}`))
  }
  return emailDocument(
    html`<!doctype html><html lang="en"><meta charset="utf-8"><title>Preview</title><body style="margin:0;padding:24px;background:#f4f4f5"><p dir="auto" style="display:inline-block;max-width:320px;margin:0;padding:12px 16px;border-radius:18px;background:#fff;color:#18181b;font:16px/1.5 system-ui;overflow-wrap:anywhere">${text}</p></body></html>`
      .text,
  )
}

const current = (is: boolean): Html | string => (is ? html` aria-current="page"` : '')
const languageName = (tag: string) => languageNames.of(tag) ?? tag
const languageTab = (tag: string, locale: string, address: string) =>
  html`<a class="tab"${current(tag === locale)} href="${address}?locale=${tag}">${languageName(tag)}</a>`
const codes = (names: string[]) => names.map((name, i) => html`${i > 0 ? ', ' : ''}<code>{{${name}}}</code>`)

async function formOf(c: Context<Env>) {
  const form = new URLSearchParams(await readText(c, maxFormBytes))
  const field = (name: string) => form.get(name) ?? ''
  return { locale: field('locale'), subject: field('subject'), body: field('body'), revert: form.has('revert') }
}

function channelOf(c: Context<Env>): Channel {
  const channel = c.req.param('channel')
  if (channel === 'email' || channel === 'sms') return channel
  throw new UsherError('resource_not_found', 'Templates are of emails or texts.')
}
const named = (c: Context<Env>) => ({ channel: channelOf(c), name: c.req.param('name') ?? '' })

const developmentOnly: MiddlewareHandler<Env> = async (c, next) => {
  if (c.var.instance.environment === 'production')
    throw new UsherError('forbidden', 'This page is for development instances. The server API edits templates.')
  c.set('ctx', createCtx(c.var.runtime, c.var.instance, { type: 'system', job: 'templates' }, c.var.log))
  await next()
}
