import { Hono } from 'hono'
import { UsherError } from '../../kernel/errors.ts'
import { type Env, jsonResponse } from '../http.ts'
import { buildDocument, type OpenApiDocument, type OpenApiOperation, readObservations } from '../openapi/index.ts'
import { type Html, html, page, topBar } from './page.ts'

const faces = ['backend', 'frontend'] as const
type Face = (typeof faces)[number]
type Schema = Record<string, unknown>

/** Made when somebody asks for the first time: a server that nobody asks has no use for them. */
const documents = new Map<Face, OpenApiDocument>()

function documentOf(name: string): OpenApiDocument {
  const face = faces.find((one) => one === name)
  if (!face) throw new UsherError('resource_not_found', 'There is a reference of the backend and of the frontend.')
  const document = documents.get(face) ?? buildDocument(face, readObservations())
  documents.set(face, document)
  return document
}

/** `/reference`: both APIs as pages, and as OpenAPI documents for tools. Nothing comes from elsewhere. */
export function referenceRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  routes.get('/openapi/:face{(backend|frontend)\\.json}', (c) =>
    jsonResponse(documentOf(c.req.param('face').replace(/\.json$/, ''))),
  )
  routes.get('/reference', () =>
    page({
      title: 'API reference · Usher',
      body: html`${topBar(html`<a href="/docs">Documentation</a>`)}<main><h1>API reference</h1>
<p class="lead">Of the version that runs here, read off its routers and schemas.</p>
<ul class="plain stack">${faces.map((face) => {
        const { info } = documentOf(face)
        return html`<li><a class="card" href="/reference/${face}"><h2>${info.title}</h2><p>${plain(info.description)}</p></a></li>`
      })}</ul></main>`,
    }),
  )
  routes.get('/reference/:face', (c) => {
    const face = c.req.param('face')
    return referencePage(face, documentOf(face))
  })
  return routes
}

function referencePage(face: string, document: OpenApiDocument): Response {
  const all = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  )
  return page({
    title: `${document.info.title} · Usher`,
    style: 'summary{cursor:pointer;padding:3px 0}nav ul{columns:2 260px;padding-left:20px}',
    body: html`${topBar(html`<a href="/reference">Reference</a><a href="/openapi/${face}.json">OpenAPI</a>`)}<main class="prose">
<h1>${document.info.title}</h1><p class="lead">${plain(document.info.description)}</p>
<nav aria-label="Groups"><ul>${document.tags.map(({ name }) => html`<li><a href="#${anchor(name)}">${name}</a></li>`)}<li><a href="#objects">Objects</a></li></ul></nav>
${document.tags.map(
  ({ name }) => html`<section aria-labelledby="${anchor(name)}"><h2 id="${anchor(name)}">${name}</h2>
${all.filter(({ operation }) => operation.tags.includes(name)).map(({ method, path, operation }) => showOperation(method, path, operation))}</section>`,
)}
<section aria-labelledby="objects"><h2 id="objects">Objects</h2>
${Object.entries(document.components.schemas).map(
  ([name, schema]) =>
    html`<details id="object-${name}"><summary><code>${name}</code></summary>${showFields(schema)}</details>`,
)}</section></main>`,
  })
}

const anchor = (name: string) => name.toLowerCase().replace(/[^a-z0-9]+/g, '-')

function showOperation(method: string, path: string, operation: OpenApiOperation): Html {
  const [[type, body] = []] = Object.entries(operation.requestBody?.content ?? {})
  const query = operation.parameters.filter((parameter) => parameter.in === 'query')
  return html`<details id="${operation.operationId}"><summary><code>${method} ${path}</code> ${operation.summary}</summary>
${query.length > 0 ? html`<p>Query: ${listed(query.map(({ name }) => html`<code>${name}</code>`))}</p>` : ''}
${body ? html`<p>Body (<code>${type ?? ''}</code>):</p>${showFields(body.schema)}` : ''}
<ul>${Object.entries(operation.responses).map(([status, response]) => {
    const schema = response.content?.['application/json']?.schema
    const isError = Number(status) >= 400
    return html`<li><strong>${status}</strong> ${
      isError || !schema ? plain(response.description) : showType(schema)
    }${!isError && schema?.properties ? showFields(schema) : ''}</li>`
  })}</ul></details>`
}

const plain = (description: string) => description.replaceAll('`', '')
const listed = (parts: Html[]) => parts.map((part, i) => (i === 0 ? part : html`, ${part}`))

function showFields(schema: Schema): Html {
  const options = schema.anyOf as Schema[] | undefined
  if (options) return html`${options.map(showFields)}`
  const properties = Object.entries((schema.properties ?? {}) as Record<string, Schema>)
  if (properties.length === 0) return html``
  const required = new Set(schema.required as string[] | undefined)
  return html`<table><thead><tr><th>Field</th><th>Type</th><th>Limits</th></tr></thead><tbody>${properties.map(
    ([name, field]) =>
      html`<tr><td><code>${name}</code>${required.has(name) ? ' (required)' : ''}</td><td>${showType(field)}</td><td>${[field, ...((field.anyOf ?? []) as Schema[])].map(notes).filter(Boolean).join(', ')}</td></tr>`,
  )}</tbody></table>`
}

function showType(schema: Schema): Html {
  const name = String(schema.$ref ?? '')
    .split('/')
    .at(-1)
  if (name) return html`<a href="#object-${name}"><code>${name}</code></a>`
  const options = (schema.anyOf ?? schema.oneOf) as Schema[] | undefined
  if (options) return html`${options.map((option, i) => (i === 0 ? showType(option) : html` or ${showType(option)}`))}`
  if ('const' in schema) return html`<code>${JSON.stringify(schema.const)}</code>`
  if (Array.isArray(schema.enum))
    return html`${listed(schema.enum.map((value) => html`<code>${JSON.stringify(value)}</code>`))}`
  const types = [schema.type ?? 'any'].flat().map(String)
  if (types.includes('array')) return html`list of ${showType((schema.items ?? {}) as Schema)}`
  return html`${types.join(' or ')}`
}

/** Limits of a field, as its schema has them. */
function notes({
  minLength,
  maxLength,
  minimum,
  maximum,
  maxItems,
  pattern,
  format,
  default: standard,
  description,
}: Schema): string {
  return [
    description,
    format,
    minLength && `at least ${minLength} characters`,
    maxLength && `at most ${maxLength} characters`,
    minimum !== undefined && `from ${minimum}`,
    maximum !== undefined && `to ${maximum}`,
    maxItems && `at most ${maxItems}`,
    pattern && !format && `matches ${pattern}`,
    standard !== undefined && `${JSON.stringify(standard)} unless given`,
  ]
    .filter(Boolean)
    .join(', ')
}
