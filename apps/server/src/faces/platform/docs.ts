import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { Hono } from 'hono'
import { UsherError } from '../../kernel/errors.ts'
import type { Env } from '../http.ts'
import { Html, html, page, topBar } from './page.ts'

const root = join(import.meta.dir, '../../../../..')
const folder = join(root, 'docs')

/** The pages in the order in which somebody needs them; what is in none of these stands last. */
const chapters: [string, string[]][] = [
  ['People and organizations', ['clerk', 'sign-in', 'sessions', 'organizations', 'access', 'messages']],
  ['Programs, events and history', ['api-keys', 'machines', 'webhooks', 'audit-log']],
  [
    'Realtime',
    ['realtime', 'sync-client', 'channels', 'encryption', 'nextjs-realtime', 'realtime-protocol', 'realtime-faults'],
  ],
  [
    'Running it',
    ['configuration', 'settings', 'production', 'deploy', 'several-nodes', 'import-export', 'security', 'benchmarks'],
  ],
]

/** `/docs`: the documentation of exactly this version, as it lies in the repository. */
export function docsRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  routes.get('/docs', () => {
    const placed = new Set(chapters.flatMap(([, names]) => names))
    const others = pagesIn(folder).filter((name) => !placed.has(name))
    return page({
      title: 'Documentation · Usher',
      style: contentsStyle,
      body: html`${topBar(html`<a href="/">Home</a>`)}<main><h1>Documentation</h1>
<p class="lead">Of the version that runs here. Where to begin is in the <a href="/docs/readme">README</a>.</p>
${chapters.map(([title, names]) => contents(title, names))}
${contents('Reference', others, [
  html`<li><a href="/reference">Both APIs, route by route</a></li>`,
  html`<li><a href="/docs/compatibility/clerk.md">${titleOf('compatibility/clerk')}</a></li>`,
  html`<li><a href="/docs/decisions">Decisions</a></li>`,
])}</main>`,
    })
  })
  routes.get('/docs/readme', () => showFile('README.md'))
  routes.get('/docs/decisions', () =>
    page({
      title: 'Decisions · Usher',
      style: contentsStyle,
      body: html`${topBar(html`<a href="/docs">Documentation</a>`)}<main><h1>Decisions</h1>
<p class="lead">Why it is so, one page each.</p>
${contents(
  '',
  pagesIn(join(folder, 'decisions')).map((name) => `decisions/${name}`),
)}</main>`,
    }),
  )
  routes.get('/docs/images/:name{[a-z0-9-]+\\.png}', async (c) => {
    const file = Bun.file(join(folder, 'images', c.req.param('name')))
    if (!(await file.exists())) throw new UsherError('resource_not_found', 'There is no such picture.')
    return new Response(file, { headers: { 'content-type': 'image/png', 'x-content-type-options': 'nosniff' } })
  })
  routes.get('/docs/:path{.+\\.md}', (c) => {
    const path = c.req.param('path')
    if (!/^((decisions|compatibility)\/)?[a-z0-9-]+\.md$/i.test(path))
      throw new UsherError('resource_not_found', 'There is no such page.')
    return showFile(`docs/${path}`)
  })
  return routes
}

const contentsStyle = '.contents{columns:2 300px;padding-left:20px;margin:0 0 32px}.contents li{margin-bottom:6px}'

const contents = (title: string, names: string[], more: Html[] = []) =>
  html`${title ? html`<h2>${title}</h2>` : ''}<ul class="contents">${names.map((name) => html`<li><a href="/docs/${name}.md">${titleOf(name)}</a></li>`)}${more}</ul>`

const pagesIn = (path: string) =>
  readdirSync(path)
    .filter((name) => name.endsWith('.md'))
    .map((name) => name.replace(/\.md$/, ''))
    .sort()

/** The heading of a page. @param name its path below docs, without its ending */
function titleOf(name: string): string {
  return /^# (.+)$/m.exec(readFileSync(join(folder, `${name}.md`), 'utf8'))?.[1] ?? name
}

/** @param path of the file in the repository */
async function showFile(path: string): Promise<Response> {
  const file = Bun.file(join(root, path))
  if (!(await file.exists())) throw new UsherError('resource_not_found', 'There is no such page.')
  const text = await file.text()
  // Written by us, not by visitors; the page's policy forbids scripts all the same.
  const content = new Html(withOwnLinks(Bun.markdown.html(text), path))
  return page({
    title: `${/^# (.+)$/m.exec(text)?.[1] ?? path} · Usher`,
    body: html`${topBar(html`<a href="/docs">Documentation</a>`)}<main class="prose">${content}</main>`,
  })
}

/** Pages link to each other as files of the repository. What is not served here is named instead of linked. */
function withOwnLinks(content: string, path: string): string {
  const inRepository = (target: string) => normalize(join(dirname(path), target)).replace(/\/$/, '')
  return content
    .replace(/<img src="(?!https?:)([^"]+)"/g, (_, target: string) => `<img src="/${inRepository(target)}"`)
    .replace(/<a href="(?!https?:|#|\/)([^"#]+)(#[^"]*)?"([^>]*)>(.*?)<\/a>/gs, (_, target, hash = '', rest, label) => {
      const file = inRepository(target)
      const href = file === 'README.md' ? '/docs/readme' : /^docs\/(.+\.md|decisions)$/.test(file) ? `/${file}` : ''
      return href ? `<a href="${href}${hash}"${rest}>${label}</a>` : `<span title="${file}">${label}</span>`
    })
}
