import type { Context } from 'hono'
import type { Env } from '../http.ts'
import { html, page } from './page.ts'

/**
 * Where a provider's popup ends: it tells the page that opened it of the session, or where to go on, and closes. Only
 * pages of the application hear it; in development that is any page.
 */
export function popupCallbackPage(c: Context<Env>): Response {
  const { instance, publicUrl } = c.var
  const { allowedOrigins, homeUrl, signInUrl, signUpUrl } = instance.settings
  const pages = [publicUrl, ...allowedOrigins, homeUrl, signInUrl, signUpUrl]
  const origins = pages.flatMap((url) => (url && URL.canParse(url) ? [new URL(url).origin] : []))
  const hearers = instance.environment === 'development' ? ['*'] : [...new Set(origins)]
  return page({
    title: 'Signing in',
    body: html`<main class="stack" id="state" data-hearers="${JSON.stringify(hearers)}"><h1>One moment</h1>
<p class="lead" id="text">You are being signed in. This window closes by itself.</p></main>`,
    script,
  })
}

const script = `
const returnUrl = new URLSearchParams(location.search).get('return_url')
const tell = (message) => {
  for (const origin of JSON.parse(document.getElementById('state').dataset.hearers)) opener?.postMessage(message, origin)
}
const client = returnUrl ? null : (await (await fetch('/v1/client' + location.search, { credentials: 'include' })).json()).response
if (returnUrl) tell({ return_url: returnUrl })
else if (client?.last_active_session_id) tell({ session: client.last_active_session_id })
document.getElementById('text').textContent = 'You can close this window now.'
close()
`
