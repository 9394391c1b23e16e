import type { UsherError } from '../kernel/errors.ts'
import { html, page } from './platform/page.ts'

/** Whether a person looks at the answer: a browser that opens an address says so, and programs do not. */
export function isForPerson(headers: { accept?: string | undefined; authorization?: string | undefined }): boolean {
  return headers.authorization === undefined && /(^|,)\s*text\/html\b/.test(headers.accept ?? '')
}

/** What went wrong, as a page. @param requestId by which it is found in the log */
export function errorPage(error: UsherError, requestId: string): Response {
  const { status, message, details } = error
  const shown = page({
    status,
    title: `${titleOf(status)} · Usher`,
    body: html`<main><h1>${titleOf(status)}</h1><p class="lead">${details.longMessage ?? message}</p>
<p><a href="/">To the first page</a></p>
<p class="muted"><small>${status} · <code>${error.code}</code> · <code>${requestId}</code></small></p></main>`,
  })
  if (details.retryAfterSeconds !== undefined) shown.headers.set('retry-after', String(details.retryAfterSeconds))
  return shown
}

function titleOf(status: number): string {
  if (status === 404 || status === 410) return 'There is nothing here'
  if (status === 401 || status === 403) return 'This is not open to you'
  if (status === 429) return 'Too many attempts'
  if (status === 503) return 'Not now'
  return status >= 500 ? 'Something went wrong' : 'This did not work'
}
