import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Hono } from 'hono'
import { UsherError } from '../../kernel/errors.ts'
import type { Env } from '../http.ts'
import { Html, html, page, topBar } from './page.ts'

const folder = join(import.meta.dir, '../../../../../docs')

/** `/docs`: the documentation of exactly this version, as it lies in the repository. */
export function docsRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  routes.get('/docs', () => {
    const pages = readdirSync(folder).filter((name) => name.endsWith('.md'))
    return page({
      title: 'Documentation · Usher',
      body: html`${topBar(html`<a href="/">Home</a>`)}<main><h1>Documentation</h1>
<p class="lead">Of the version that runs here.</p>
<ul class="plain stack">${pages.map((name) => html`<li><a class="card" href="/docs/${name}">${titleOf(name)}</a></li>`)}<li><a class="card" href="/docs/compatibility/clerk.md">Compatibility, operation by operation</a></li><li><a class="card" href="/reference">API reference</a></li></ul></main>`,
    })
  })
  routes.get('/docs/:path{.+\\.md}', async (c) => {
    const path = c.req.param('path')
    if (!/^((decisions|compatibility)\/)?[a-z0-9-]+\.md$/i.test(path))
      throw new UsherError('resource_not_found', 'There is no such page.')
    const file = Bun.file(join(folder, path))
    if (!(await file.exists())) throw new UsherError('resource_not_found', 'There is no such page.')
    // Written by us, not by visitors; the page's policy forbids scripts all the same.
    const content = new Html(Bun.markdown.html(await file.text()))
    return page({
      title: `${titleOf(path)} · Usher`,
      body: html`${topBar(html`<a href="/docs">Documentation</a>`)}<main class="prose">${content}</main>`,
    })
  })
  return routes
}

const titleOf = (path: string) => {
  const words = (path.split('/').at(-1) ?? '').replace(/\.md$/, '').replaceAll('-', ' ')
  return words.charAt(0).toUpperCase() + words.slice(1)
}
