import type { Context } from 'hono'
import type { Env } from '../http.ts'
import { html, page, topBar } from './page.ts'

/** `/`: what runs here, and where to go from it. */
export function landingPage(c: Context<Env>): Response {
  const { instance, publicUrl } = c.var
  const development = instance.environment === 'development'
  const env = `NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY=${instance.publishableKey}
CLERK_SECRET_KEY=sk_…    # npm run usher -- keys
CLERK_API_URL=${publicUrl}
CLERK_FAPI_URL=${publicUrl}
NEXT_PUBLIC_CLERK_PROXY_URL=/__clerk
NEXT_PUBLIC_CLERK_SIGN_IN_URL=/sign-in
NEXT_PUBLIC_CLERK_SIGN_UP_URL=/sign-up
NEXT_PUBLIC_CLERK_TELEMETRY_DISABLED=1
NEXT_PUBLIC_CLERK_KEYLESS_DISABLED=1`
  return page({
    title: `Usher · ${instance.settings.applicationName}`,
    style: '.grid{grid-template-columns:repeat(auto-fit,minmax(180px,1fr))}',
    body: html`${topBar(html`<a href="/healthz">Health</a>`)}<main>
<h1>Usher is running</h1>
<p class="lead">Sign-in, organizations, roles and realtime documents for <strong>${instance.settings.applicationName}</strong>, on your own machine.</p>
<div class="grid">
${
  development
    ? html`<a class="card" href="/demo"><h2>Demo</h2><p>Sign up, make an organization, invite somebody and edit a note together.</p></a>
<a class="card" href="/inbox"><h2>Inbox</h2><p>The emails and text messages of this instance, with their codes and links.</p></a>`
    : ''
}
<a class="card" href="/docs"><h2>Documentation</h2><p>What works, how to point an app at this server, and every setting.</p></a>
<a class="card" href="/reference"><h2>Reference</h2><p>Both APIs, route by route, and as OpenAPI documents.</p></a>
</div>
<section class="card stack" aria-labelledby="instance"><h2 id="instance">This instance</h2>
<dl><dt>Environment</dt><dd><span class="pill">${instance.environment}</span></dd>
<dt>Publishable key</dt><dd><code>${instance.publishableKey}</code></dd>
<dt>Secret key</dt><dd class="muted">shown by <code>npm run usher -- keys</code></dd></dl></section>
<h2 class="apart">Next steps</h2>
<p>Point a Next.js app that uses Clerk’s SDKs at this server, in its <code>.env.local</code>:</p>
<pre tabindex="0" aria-label="Environment variables"><code>${env}</code></pre>
<p>What its <code>proxy.ts</code> needs is in the <a href="/docs/readme">README</a>; <code>examples/tasks-nextjs</code> is a whole app to start from.</p>
</main>`,
  })
}
