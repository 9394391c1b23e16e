import { type PortalSession, type WebhookEndpoint, webhookEventTypes } from '../../../domains/webhooks/index.ts'
import type { UsherError } from '../../../kernel/errors.ts'
import { type Html, html, page } from '../page.ts'

export const base = '/webhooks/portal'

const style = `
input[type=url]{width:100%;border:1px solid var(--line);background:var(--card);border-radius:8px;padding:9px 12px}
select{border:1px solid var(--line);background:var(--card);border-radius:8px;padding:9px 12px;max-width:100%}
fieldset{border:1px solid var(--line);border-radius:12px;padding:12px 16px;margin:0}legend{font-weight:600;font-size:14px;padding:0 4px}
.types{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,300px),1fr));gap:4px 16px}.types label,.check{display:flex;gap:8px;align-items:baseline;font-weight:400;margin:0;overflow-wrap:anywhere}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px}th,td{text-align:left;padding:8px 12px 8px 0;border-bottom:1px solid var(--line);white-space:nowrap}
.pill.bad{background:#fee2e2;color:#991b1b}.pill.good{background:#dcfce7;color:#166534}.pill.off{background:var(--line);color:var(--text)}
@media (prefers-color-scheme:dark){.pill.bad{background:#450a0a;color:#fecaca}.pill.good{background:#052e16;color:#bbf7d0}}
button.danger{color:#b91c1c;border-color:currentColor}@media (prefers-color-scheme:dark){button.danger{color:#fca5a5}}
a.card h2,main h1{overflow-wrap:anywhere}.secret{user-select:all;overflow-wrap:anywhere}main.stack>section{margin-top:40px}section h2{font-size:20px}header.top form.row,section form.row{margin-bottom:0}details{margin-top:12px}details>:not(summary){margin-top:12px}.card[role=alert]{border-color:#b91c1c}
.small button{padding:4px 10px;font-size:14px}summary{cursor:pointer;font-weight:600}.button{border:1px solid var(--line);border-radius:8px;padding:8px 14px;text-decoration:none}.button.primary{background:var(--accent);border-color:var(--accent);color:var(--on);font-weight:600}
@media (max-width:600px){main{padding:24px 16px}header.top{padding:12px 16px}h1{font-size:24px}thead{display:none}table,tbody{display:block}tr{display:block;padding:12px 0;border-bottom:1px solid var(--line)}td{display:flex;gap:12px;justify-content:space-between;border:0;padding:2px 0;white-space:normal;text-align:right}td:empty{display:none}td[data-label]::before{content:attr(data-label);color:var(--soft)}}
`

type PortalPage = { title: string; body: Html; status?: number; script?: string }

/** A page of the portal. Without a referrer its forms would say `Origin: null`, and could not be told from another page's. */
export function portalPage({ title, body, status = 200, script }: PortalPage): Response {
  const shown = page({ title: `${title} · Webhooks`, body, status, style, ...(script && { script }) })
  shown.headers.set('referrer-policy', 'same-origin')
  return shown
}

/** Until when the portal is open, and the way out of it. */
export const bar = (portal: PortalSession) =>
  html`<header class="top"><a class="brand" href="${base}">Webhooks</a><form method="post" action="${base}/close" class="row small"><span class="muted">Open until ${clock(portal.expiresAt)}</span><button>Close</button></form></header>`

const clock = (moment: Date) =>
  html`<time datetime="${moment.toISOString()}">${moment.toISOString().slice(11, 16)} UTC</time>`

export const timeOf = (moment: Date) =>
  html`<time datetime="${moment.toISOString()}">${moment.toISOString().slice(0, 19).replace('T', ' ')}</time>`

/**
 * Where a link leads. What follows the `#` goes from the address into the form, and to the server only when a person
 * presses the button: programs that look at links before people do use nothing up.
 */
export function unlockPage(): Response {
  return portalPage({
    title: 'Open the portal',
    script: `
const form = document.querySelector('form')
const token = location.hash.slice(1)
history.replaceState(null, '', location.pathname)
form.elements.token.value = token
document.querySelector(token ? '#ready' : '#missing').hidden = false
if (token) form.querySelector('button').focus()
`,
    body: html`<main class="stack"><h1>Webhooks</h1>
<p class="lead">Endpoints that are told what happens here: add, try and repair them.</p>
<div id="ready" hidden><p>This link opens the portal once, in this browser, for an hour.</p>
<form method="post" action="${base}/open"><input type="hidden" name="token"><button class="primary">Open the portal</button></form></div>
<p id="missing" class="card" role="alert" hidden>This address lacks the part that opens the portal. Follow the whole link, or ask for another one.</p>
<noscript><p class="card">This page needs JavaScript, to keep the link’s secret out of what is sent along with addresses.</p></noscript></main>`,
  })
}

/** What is left when there is no session. @param error why; absent: the person closed it */
export function overPage(error?: UsherError): Response {
  const reasons: Record<string, string> = {
    token_used: 'This link was used already. Each link opens the portal once.',
    ticket_expired: 'This link has expired: it is good for ten minutes.',
    ticket_invalid: 'This link is not valid here.',
    authentication_invalid: 'The portal is not open in this browser, or its hour is over.',
  }
  return portalPage({
    title: error ? 'Not open' : 'Closed',
    status: error ? (error.code === 'authentication_invalid' ? 401 : error.status) : 200,
    body: html`<main class="stack"><h1>${error ? 'The portal is not open' : 'The portal is closed'}</h1>
<p class="card" role="${error ? 'alert' : 'status'}">${error ? (reasons[error.code] ?? error.message) : 'Nobody can go on here with this session.'}</p>
<p class="muted">Ask for a new link where you got the last one.</p></main>`,
  })
}

/** What went wrong, for the person who looks at it. */
export function problemPage(error: UsherError): Response {
  const titles: Record<number, string> = { 403: 'Not done', 404: 'Not here', 413: 'Too large', 429: 'Please wait' }
  const title = titles[error.status] ?? 'Something went wrong'
  const seconds = error.details.retryAfterSeconds
  const shown = portalPage({
    title,
    status: error.status,
    body: html`<main class="stack"><h1>${title}</h1>
<p class="card" role="alert">${error.message}${seconds === undefined ? '' : ` It goes on in ${seconds} s.`}</p>
<p><a href="${base}">All endpoints</a></p></main>`,
  })
  if (seconds !== undefined) shown.headers.set('retry-after', String(seconds))
  return shown
}

export function endpointsPage(portal: PortalSession, endpoints: WebhookEndpoint[]): Response {
  return portalPage({
    title: 'Endpoints',
    body: html`${bar(portal)}<main class="stack"><h1>Endpoints</h1>
<p class="lead">Addresses that are told what happens.</p>
<p><a class="button primary" href="${base}/new">Add an endpoint</a></p>
${endpoints.length === 0 ? html`<p class="card muted">There are none yet.</p>` : ''}
<ul class="plain stack">${endpoints.map(
      (endpoint) =>
        html`<li><a class="card" href="${base}/endpoints/${endpoint.id}"><h2>${endpoint.url}</h2><p>${stateOf(endpoint)} ${endpoint.description}</p></a></li>`,
    )}</ul></main>`,
  })
}

/** How it goes with an endpoint, in a word. */
export function stateOf({ disabledAt, disabledReason, failingSince, pausedUntil }: WebhookEndpoint): Html {
  if (disabledAt !== null) {
    const why = {
      operator: 'Disabled',
      failing: 'Disabled: it failed for too long',
      gone: 'Disabled: it said it is gone',
    }
    return html`<span class="pill off">${why[disabledReason ?? 'operator']}</span>`
  }
  if (failingSince === null) return html`<span class="pill good">Enabled</span>`
  return html`<span class="pill bad">${pausedUntil ? 'Failing, left alone for a while' : 'Failing'}</span>`
}

export type Typed = { url: string; description: string; eventTypes: string[] }

export function newEndpointPage(portal: PortalSession, typed?: Typed & { problem: string }): Response {
  return portalPage({
    title: 'New endpoint',
    status: typed ? 422 : 200,
    body: html`${bar(portal)}<main class="stack"><p><a href="${base}">All endpoints</a></p><h1>New endpoint</h1>
${problemCard(typed?.problem)}
<form method="post" action="${base}/endpoints" class="stack">${fields(typed ?? { url: '', description: '', eventTypes: [] }, typed?.problem !== undefined)}
<p><button class="primary">Add the endpoint</button></p></form></main>`,
  })
}

export const problemCard = (problem: string | undefined) =>
  problem === undefined ? '' : html`<p class="card" role="alert" id="problem"><strong>Not done.</strong> ${problem}</p>`

/** What an endpoint is about, as a form. */
export function fields({ url, description, eventTypes }: Typed, invalid = false): Html {
  const kinds = Map.groupBy(Object.entries(webhookEventTypes), ([name]) => name.split('.')[0] ?? '')
  const box = (value: string, label: Html | string) =>
    html`<label><input type="checkbox" name="event_types" value="${value}"${eventTypes.includes(value) ? html` checked` : ''}> <span>${label}</span></label>`
  return html`<div><label for="url">Address</label><input id="url" type="url" name="url" required maxlength="2048" placeholder="https://app.example.com/api/webhooks" autocomplete="off" spellcheck="false" value="${url}"${invalid ? html` aria-invalid="true" aria-describedby="problem"` : ''}></div>
<div><label for="description">Description</label><input id="description" type="text" name="description" maxlength="500" value="${description}"></div>
<details${eventTypes.length > 0 ? html` open` : ''}><summary>Events: ${eventTypes.length > 0 ? `${eventTypes.length} chosen` : 'all of them'}</summary>
<p class="muted">Choose what it is told. Without a choice it is told everything, also of kinds that come later.</p>
<div class="stack">${[...kinds].map(
    ([kind, types]) =>
      html`<fieldset><legend>${kind}</legend><div class="types">${types.length > 1 ? box(`${kind}.*`, html`<strong>all of these</strong>`) : ''}${types.map(([name, about]) => box(name, html`<code>${name}</code><br><span class="muted">${about}</span>`))}</div></fieldset>`,
  )}</div></details>`
}
