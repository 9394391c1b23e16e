import {
  type Delivery,
  type PortalSession,
  type WebhookEndpoint,
  webhookEventTypes,
} from '../../../domains/webhooks/index.ts'
import { type Html, html } from '../page.ts'
import { bar, base, fields, portalPage, problemCard, stateOf, type Typed, timeOf } from './pages.ts'

export type Shown = {
  portal: PortalSession
  endpoint: WebhookEndpoint
  log: { data: Delivery[]; hasMore: boolean }
  query: { state?: Delivery['state'] | undefined; run: number; before?: number | undefined }
  done?: 'saved' | 'made' | 'rotated' | 'tested' | 'replayed' | undefined
  /** Only in the answer to whoever asked for it. */
  secret?: string | undefined
  problem?: string | undefined
  typed?: Typed | undefined
}

const doneTexts: Record<NonNullable<Shown['done']>, string> = {
  saved: 'Saved.',
  made: 'Added. Give its secret to the application that receives, and send a test.',
  rotated: 'There is a new secret. The one before signs beside it as long as you said.',
  tested: 'A test was sent. What came of it stands first in the log.',
  replayed: 'The replay is on its way.',
}

/** One endpoint: how it goes, what it is, its secret, and what was delivered. */
export function endpointPage(shown: Shown): Response {
  const { portal, endpoint, done, problem, typed } = shown
  const { url, description, eventTypes } = endpoint
  const disabled = endpoint.disabledAt !== null
  return portalPage({
    title: url,
    status: problem === undefined ? 200 : 422,
    body: html`${bar(portal)}<main class="stack"><p><a href="${base}">All endpoints</a></p><h1>${url}</h1>
<p>${stateOf(endpoint)} <span class="muted">${endpoint.failingSince ? html`since ${timeOf(endpoint.failingSince)}` : ''}${endpoint.pausedUntil ? html`, next try ${timeOf(endpoint.pausedUntil)}` : ''}</span></p>
${problemCard(problem)}
${done ? html`<p class="card" role="status">${doneTexts[done]}</p>` : ''}
${secretSection(shown)}
${testSection(shown)}
${logSection(shown)}
${replaySection(shown)}
<section aria-labelledby="what"><h2 id="what">Address and events</h2>
<form method="post" action="${addressOf(shown)}" class="stack">${fields(typed ?? { url, description, eventTypes: eventTypes ?? [] }, typed !== undefined)}<p><button class="primary">Save</button></p></form></section>
<section aria-labelledby="off"><h2 id="off">${disabled ? 'Enable' : 'Disable'} or delete</h2>
<div class="stack"><form method="post" action="${addressOf(shown)}/state"><input type="hidden" name="disabled" value="${String(!disabled)}"><p class="muted">${disabled ? 'It gets what it missed, as far back as events are kept.' : 'Nothing is delivered until it is enabled again.'}</p><button>${disabled ? 'Enable' : 'Disable'}</button></form>
<details><summary>Delete this endpoint</summary><form method="post" action="${addressOf(shown)}/delete" class="stack"><p class="muted">Its log and its secret go with it.</p><button class="danger">Delete for good</button></form></details></div></section></main>`,
  })
}

const addressOf = ({ endpoint }: Shown) => `${base}/endpoints/${endpoint.id}`

function secretSection(shown: Shown): Html {
  const { secret } = shown
  return html`<section aria-labelledby="secret"><h2 id="secret">Secret</h2>
<p class="muted">Whoever receives verifies with it that a delivery is from here.</p>
${
  secret === undefined
    ? html`<form method="post" action="${addressOf(shown)}/secret"><button>Show the secret</button></form>`
    : html`<pre class="secret" tabindex="0" aria-label="The secret" data-testid="secret">${secret}</pre>`
}
<details><summary>Replace it</summary><form method="post" action="${addressOf(shown)}/rotate" class="stack">
<label class="check"><input type="radio" name="overlap" value="day" checked> <span>The old one signs beside the new one for a day</span></label>
<label class="check"><input type="radio" name="overlap" value="none"> <span>The old one ends now, because it is in wrong hands</span></label>
<button>Make a new secret</button></form></details></section>`
}

function testSection(shown: Shown): Html {
  const chosen = shown.endpoint.eventTypes ?? []
  const types = Object.keys(webhookEventTypes)
  const first = types.find((type) => chosen.includes(type) || chosen.includes(`${type.split('.')[0]}.*`)) ?? types[0]
  return html`<section aria-labelledby="test"><h2 id="test">Test</h2>
<form method="post" action="${addressOf(shown)}/test" class="row wrap"><label for="event_type">Event</label><select id="event_type" name="event_type">${types.map((type) => html`<option${type === first ? html` selected` : ''}>${type}</option>`)}</select><button>Send a test</button></form></section>`
}

function logSection(shown: Shown): Html {
  const { log, query } = shown
  const at = (change: Partial<Shown['query']>) => {
    const wanted = { ...query, before: undefined, ...change }
    const entries = Object.entries(wanted).flatMap(([name, value]) => (value ? [[name, String(value)]] : []))
    return `${addressOf(shown)}?${new URLSearchParams(entries)}#log`
  }
  const tabs: [string, Delivery['state'] | undefined][] = [
    ['All', undefined],
    ['Delivered', 'delivered'],
    ['Waiting', 'waiting'],
    ['Failed', 'failed'],
    ['Skipped', 'skipped'],
  ]
  const last = log.data.findLast(({ position }) => position !== null)?.position
  return html`<section aria-labelledby="log"><h2 id="log">Deliveries${query.run > 0 ? `, replay ${query.run}` : ''}</h2>
<nav class="row wrap" aria-label="Deliveries by what came of them">${tabs.map(([label, state]) => html`<a class="tab"${state === query.state ? html` aria-current="page"` : ''} href="${at({ state })}">${label}</a>`)}${query.run > 0 ? html`<a class="tab" href="${at({ run: 0, state: undefined })}">Not of replays</a>` : ''}</nav>
${
  log.data.length === 0
    ? html`<p class="card muted">There is nothing in this log${query.run > 0 ? ' yet' : ''}.</p>`
    : html`<div class="scroll" tabindex="0" role="region" aria-label="Log of deliveries"><table><thead><tr><th scope="col">Event</th><th scope="col">What came of it</th><th scope="col">Answer</th><th scope="col">At</th><th scope="col">Attempts</th><td></td></tr></thead><tbody>${log.data.map((delivery) => row(shown, delivery))}</tbody></table></div>`
}
${log.hasMore && last ? html`<p><a href="${at({ before: last })}">Earlier ones</a></p>` : ''}</section>`
}

const looks = { delivered: 'good', waiting: 'off', failed: 'bad', skipped: 'off' }

function row(shown: Shown, delivery: Delivery): Html {
  const { type, position, state, responseStatus, error, durationMs, attemptedAt, createdAt } = delivery
  const answer = [responseStatus, error, durationMs === null ? null : `${durationMs} ms`].filter(
    (part) => part !== null,
  )
  return html`<tr><td data-label="Event"><span><code>${type}</code><br><span class="muted">${position === null ? 'test' : `sequence ${position}`}</span></span></td><td data-label="What came of it"><span class="pill ${looks[state]}">${state}</span></td><td data-label="Answer">${answer.join(', ')}</td><td data-label="At"><span>${timeOf(attemptedAt ?? createdAt)}${delivery.nextAttemptAt ? html`<br><span class="muted">again ${timeOf(delivery.nextAttemptAt)}</span>` : ''}</span></td><td data-label="Attempts">${delivery.attempts}</td><td class="small">${
    position === null || state === 'waiting'
      ? ''
      : html`<form method="post" action="${addressOf(shown)}/replay"><input type="hidden" name="position" value="${position}"><button aria-label="Deliver ${type} with the sequence ${position} again">Again</button></form>`
  }</td></tr>`
}

function replaySection(shown: Shown): Html {
  const spans: [number, string][] = [
    [1, 'the last hour'],
    [24, 'the last day'],
    [168, 'the last week'],
    [24 * 366, 'everything that is kept'],
  ]
  return html`<section aria-labelledby="replay"><h2 id="replay">Replay</h2>
<form method="post" action="${addressOf(shown)}/replay" class="row wrap"><label for="hours">Deliver once more</label><select id="hours" name="hours">${spans.map(([hours, label]) => html`<option value="${hours}">${label}</option>`)}</select>
<label for="which" class="muted">of it</label><select id="which" name="which"><option value="failed">what was given up</option><option value="all">everything</option></select><button>Replay</button></form></section>`
}
