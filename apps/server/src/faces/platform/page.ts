import { randomBytes } from 'node:crypto'

/** Text that has been made safe to stand in HTML. */
export class Html {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** Builds HTML from a template: every value is escaped unless it is {@link Html} already. */
export function html(
  strings: TemplateStringsArray,
  ...values: (string | number | Html | Html[] | null | undefined)[]
): Html {
  const show = (value: (typeof values)[number]): string =>
    value instanceof Html
      ? value.text
      : Array.isArray(value)
        ? value.map(show).join('')
        : Bun.escapeHTML(String(value ?? ''))
  return new Html(strings.reduce((out, part, i) => out + part + (i < values.length ? show(values[i]) : ''), ''))
}

type Page = {
  title: string
  body: Html
  status?: number
  /** Further sources that the page needs, by directive; an empty one takes the directive away. */
  policy?: Record<string, string>
  /** Script of the page itself; it runs by a nonce and no other inline script does. */
  script?: string
  /** Style of the page itself. */
  style?: string
  scriptSrc?: string
}

// What may meet the components of the SDK weighs nothing (`:where`): their styles are single classes.
const style = `
:root{color-scheme:light dark;--bg:#fafafa;--card:#fff;--text:#18181b;--soft:#52525b;--line:#e4e4e7;--accent:#4338ca;--on:#fff;--tint:#eef2ff}
@media (prefers-color-scheme:dark){:root{--bg:#0f0f12;--card:#18181b;--text:#f4f4f5;--soft:#a1a1aa;--line:#2e2e33;--accent:#a5b4fc;--on:#1e1b4b;--tint:#1e1b4b}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--text);font:16px/1.6 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:860px;margin:0 auto;padding:48px 24px}header.top{display:flex;align-items:center;gap:16px;justify-content:space-between;max-width:860px;margin:0 auto;padding:16px 24px}
h1{font-size:30px;line-height:1.2;letter-spacing:-.02em;margin:0 0 8px}h2{font-size:18px;margin:0 0 8px}p{margin:0 0 12px}a{color:var(--accent)}
.lead{color:var(--soft);font-size:18px;max-width:60ch}.brand{font-weight:700;font-size:18px;text-decoration:none;color:inherit}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(230px,1fr));gap:16px;margin:32px 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:20px;text-decoration:none;color:inherit;display:block}
a.card:hover,a.card:focus-visible{border-color:var(--accent)}.card p{color:var(--soft);margin:0;font-size:15px}
code,pre{font:14px/1.6 ui-monospace,SFMono-Regular,Menlo,monospace}pre{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:16px;overflow:auto}
dl{display:grid;grid-template-columns:max-content 1fr;gap:6px 20px;margin:0}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
button,input,textarea,select{font:inherit;color:inherit}
button{border:1px solid var(--line);background:var(--card);border-radius:8px;padding:8px 14px;cursor:pointer}button.primary{background:var(--accent);border-color:var(--accent);color:var(--on);font-weight:600}
button:disabled,input:disabled,textarea:disabled{opacity:.55;cursor:not-allowed}
:where(input[type=text],textarea){width:100%;border:1px solid var(--line);background:var(--card);border-radius:8px;padding:9px 12px}
:where(:focus-visible){outline:2px solid var(--accent);outline-offset:2px}.muted{color:var(--soft)}.pill{display:inline-block;padding:2px 10px;border-radius:99px;background:var(--tint);font-size:13px;font-weight:600}
.pill+.pill{margin-left:4px}[hidden]{display:none!important}.row{display:flex;gap:12px;align-items:center}.stack>*+*{margin-top:12px}iframe{border:1px solid var(--line);border-radius:12px}pre{white-space:pre-wrap}.apart{margin-top:32px}.prose{overflow-wrap:break-word}.prose h2{margin-top:32px}.prose table{border-collapse:collapse;display:block;overflow:auto;margin:0 0 16px;padding-bottom:1px}.prose th,.prose td{border:1px solid var(--line);padding:6px 10px;text-align:left;vertical-align:top}.prose img{max-width:100%}
label{display:block;font-weight:600;font-size:14px;margin-bottom:4px}label :where(input,select){font-weight:400;font-size:16px}form.row label{margin:0}form.row{margin-bottom:24px}
.wrap{flex-wrap:wrap}.gap{flex:1}.tab{padding:4px 12px;border-radius:99px;border:1px solid var(--line);text-decoration:none;font-size:14px}.tab[aria-current]{background:var(--tint);font-weight:600}
nav.row.wrap{gap:8px;margin-bottom:24px}main.wide,header.top:has(+main.wide){max-width:1180px}.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:32px;align-items:start}
.bubble{display:inline-block;max-width:420px;padding:12px 16px;border-radius:18px;background:var(--card);border:1px solid var(--line);overflow-wrap:anywhere}textarea{font:15px/1.6 ui-monospace,SFMono-Regular,Menlo,monospace}iframe{background:#f4f4f5}
ul.plain{list-style:none;padding:0;margin-bottom:0}
`

/** The mark of pages that name no other. */
export const icon =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#4338ca"/><path d="M10 8v9a6 6 0 0 0 12 0V8" fill="none" stroke="#fff" stroke-width="4" stroke-linecap="round"/></svg>'

/** A page of our own: no external resource, and a policy under which nothing injected could run. */
export function page({ title, body, status = 200, policy = {}, script, scriptSrc, style: more = '' }: Page): Response {
  const nonce = randomBytes(16).toString('base64')
  const directives: Record<string, string> = {
    'default-src': "'none'",
    'script-src': `'nonce-${nonce}'`,
    'style-src': `'nonce-${nonce}'`,
    'img-src': "'self' data:",
    'connect-src': "'self'",
    'frame-src': "'self'",
    'form-action': "'self'",
    'base-uri': "'none'",
    'frame-ancestors': "'none'",
    ...Object.fromEntries(
      Object.entries(policy).map(([name, value]) => [name, value.replace('{nonce}', `'nonce-${nonce}'`)]),
    ),
  }
  const scripts = [
    scriptSrc && html`<script nonce="${nonce}" type="module" src="${scriptSrc}"></script>`,
    script && html`<script nonce="${nonce}" type="module">${new Html(script)}</script>`,
  ].filter((s): s is Html => s instanceof Html)
  const document = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>${title}</title><link rel="icon" href="data:image/svg+xml,${encodeURIComponent(icon)}">
<style nonce="${nonce}">${new Html(style + more)}</style></head><body>${body}${scripts}</body></html>`
  return new Response(document.text, {
    status,
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': Object.entries(directives)
        .filter(([, value]) => value !== '')
        .map(([name, value]) => `${name} ${value}`)
        .join('; '),
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
    },
  })
}

export const topBar = (links: Html) =>
  html`<header class="top"><a class="brand" href="/">Usher</a><nav class="row" aria-label="Pages">${links}</nav></header>`
