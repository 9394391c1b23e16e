import { join } from 'node:path'
import { Hono } from 'hono'
import { sdkAssets } from '../../../assets/sdk-assets.ts'
import { UsherError } from '../../../kernel/errors.ts'
import { type Env, resolveInstance } from '../../http.ts'
import { html, page } from '../page.ts'

/** `/demo`: the main job on one page, with the unmodified browser SDK and the unmodified `y-websocket` client. */
export function demoRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  routes.use('/demo', resolveInstance)
  routes.get('/demo', (c) => {
    const { instance } = c.var
    if (instance.environment === 'production')
      throw new UsherError('resource_not_found', 'The demo is for development instances.')
    return page({
      title: 'Demo · Usher',
      scriptSrc: '/demo/app.js',
      policy: {
        // The components bring styles of their own; scripts are what our own script loads.
        'script-src': `{nonce} 'strict-dynamic'`,
        'style-src': "'self' 'unsafe-inline'",
        'connect-src': "'self' ws: wss:",
        'worker-src': "'self' blob:",
        'img-src': "'self' data: https:",
      },
      body: html`<div id="demo" data-publishable-key="${instance.publishableKey}" data-clerk-js="${sdkFile('@clerk/clerk-js', 'clerk')}" data-clerk-ui="${sdkFile('@clerk/ui', 'ui')}">
<header class="top"><a class="brand" href="/">Usher</a><div class="row"><div id="organization-switcher"></div><div id="user-button"></div></div></header>
<main><p id="loading" class="muted" role="status">Loading…</p>
<section id="signed-out" hidden><h1>Try it</h1><p class="lead">Make an account: any address will do, its emails are in the <a href="/inbox" target="_blank">inbox</a>.</p><div id="sign-in"></div></section>
<section id="signed-in" class="stack" hidden>
<h1 data-testid="workspace-name"></h1>
<p><span class="pill" data-testid="role"></span> <span class="pill" data-testid="read-only" hidden>Read only</span> <span class="muted" data-testid="connection" role="status"></span></p>
<p class="muted">Make an organization with the switcher at the top and invite somebody: the invitation lies in the <a href="/inbox" target="_blank">inbox</a>. Open it in a private window and edit together.</p>
<div id="work" class="stack">
<section class="card stack" aria-labelledby="tasks-title"><h2 id="tasks-title">Tasks</h2>
<form id="new-task" class="row"><input type="text" name="title" aria-label="New task" placeholder="What is to be done?" maxlength="200" data-testid="task-input"><button class="primary" data-testid="task-add">Add</button></form>
<ul class="plain stack" data-testid="tasks" aria-label="Tasks"></ul></section>
<section class="card stack" aria-labelledby="note-title"><h2 id="note-title">Note</h2>
<p class="muted">Everybody in this workspace edits the same text. Here now: <span data-testid="presence"></span></p>
<textarea rows="8" aria-label="Shared note" data-testid="note"></textarea></section>
</div>
<p id="ended" class="card" data-testid="ended" role="alert" hidden></p>
</section></main></div>`,
    })
  })
  routes.get('/demo/app.js', async () => {
    bundle ??= buildBundle()
    return new Response(await bundle, {
      headers: { 'content-type': 'text/javascript; charset=utf-8', 'cache-control': 'no-cache' },
    })
  })
  // Links in emails lead to the application; without one, the demo takes its place.
  for (const path of ['/sign-in', '/sign-up', '/waitlist'])
    routes.get(path, resolveInstance, (c) => {
      if (c.var.instance.environment === 'production')
        throw new UsherError('resource_not_found', 'There is nothing at this address.')
      const { searchParams } = new URL(c.req.url)
      if (path !== '/sign-in') searchParams.set(path.slice(1), '1')
      return c.redirect(`/demo${searchParams.size > 0 ? `?${searchParams}` : ''}`, 302)
    })
  return routes
}

const sdkFile = (name: string, bundleName: string) =>
  `/npm/${name}@${sdkAssets[name]?.version}/dist/${bundleName}.browser.js`

let bundle: Promise<string> | undefined

/** Made at the first visit and kept: starting does not wait for it. */
async function buildBundle(): Promise<string> {
  const built = await Bun.build({ entrypoints: [join(import.meta.dir, 'app.ts')], target: 'browser', minify: true })
  const [output] = built.outputs
  if (!output) throw new Error('the demo could not be built')
  return output.text()
}
