import { Hono } from 'hono'
import { z } from 'zod'
import {
  type Channel,
  getTemplate,
  listTemplates,
  previewTemplate,
  revertTemplate,
  setTemplate,
} from '../../domains/messaging/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { type Env, jsonResponse } from '../http.ts'
import { presentTemplate } from '../presenters/template.ts'
import { parseBody } from './input.ts'

const Text = z.string().max(30_000).nullish()
const Locale = z.string().max(35).nullish()
/** `body` is the text; an editor's `markup`, where there is one, is the same text here. */
const TemplateInput = z.object({ subject: Text, body: Text, markup: Text, locale: Locale })

/** `/v1/templates/{email|sms}`: the texts of messages. `locale` chooses the language; absent, it is the instance's. */
export function templateRoutes(): Hono<Env> {
  const routes = new Hono<Env>()

  routes.get('/templates/:type', async (c) => {
    const found = await listTemplates(c.var.ctx, channelOf(c.req.param('type')), c.req.query('locale'))
    const data = found.map((template, position) => ({ ...presentTemplate(template, c.var.instance.id), position }))
    if (c.req.query('paginated') !== 'true') return jsonResponse(data)
    const { limit, offset } = Pagination.parse(c.req.query())
    return jsonResponse({ data: data.slice(offset, offset + limit), total_count: data.length })
  })
  routes.get('/templates/:type/:slug', async (c) => {
    const template = await getTemplate(c.var.ctx, { ...named(c.req.param()), locale: c.req.query('locale') })
    return jsonResponse(presentTemplate(template, c.var.instance.id))
  })
  routes.put('/templates/:type/:slug', async (c) => {
    const { subject, body, markup, locale } = await parseBody(c, TemplateInput)
    const template = await setTemplate(c.var.ctx, {
      ...named(c.req.param()),
      locale: locale ?? c.req.query('locale'),
      subject: subject ?? undefined,
      body: body ?? markup ?? '',
    })
    return jsonResponse(presentTemplate(template, c.var.instance.id))
  })
  routes.post('/templates/:type/:slug/revert', async (c) => {
    const { locale } = await parseBody(c, z.object({ locale: Locale }))
    const template = await revertTemplate(c.var.ctx, {
      ...named(c.req.param()),
      locale: locale ?? c.req.query('locale'),
    })
    return jsonResponse(presentTemplate(template, c.var.instance.id))
  })
  routes.post('/templates/:type/:slug/preview', async (c) => {
    const { subject, body, markup, locale } = await parseBody(c, TemplateInput)
    const shown = await previewTemplate(c.var.ctx, {
      ...named(c.req.param()),
      locale: locale ?? c.req.query('locale'),
      subject: subject ?? undefined,
      body: body ?? markup ?? undefined,
    })
    const { html, text, ...rest } = shown
    return jsonResponse({ ...rest, body: html || text, text })
  })
  return routes
}

function named({ type, slug }: { type: string; slug: string }) {
  return { channel: channelOf(type), name: slug }
}

function channelOf(type: string): Channel {
  if (type === 'email' || type === 'sms') return type
  throw new UsherError('resource_not_found', 'Templates are of type email or sms.')
}
