import { UsherError } from './errors.ts'

/** Finds the value of a path such as `user.public_metadata.plan`. Undefined: there is none. */
export type Lookup = (path: string) => unknown
export type RenderClaims = (lookup: Lookup) => Record<string, unknown>

/** Claims that say who speaks, for whom and until when: only the server states them. */
const reservedClaims = new Set([
  'iss',
  'sub',
  'exp',
  'nbf',
  'iat',
  'jti',
  'azp',
  'sid',
  'v',
  'sts',
  'fva',
  'act',
  'o',
  'fea',
  'pla',
  'acc',
])

const maxDepth = 12

type Operand = { value: unknown } | { path: string }
type Segment = string | Operand[]
type Render = (lookup: Lookup) => unknown

/**
 * Makes a function that fills in the shortcodes of claims: `{{user.id}}`, `{{user.public_metadata.plan || 'free'}}`.
 * A string that is nothing but a shortcode takes the value's type, others get it as text. What is filled in is not
 * looked through again, and names of claims are taken as they are.
 *
 * @param maxBytes of the claims as JSON
 * @throws {UsherError} `form_param_value_invalid` (reserved claim, malformed shortcode, nested too deeply) or
 *   `form_param_max_length_exceeded`
 */
export function compileClaims(claims: Record<string, unknown>, options: { maxBytes: number }): RenderClaims {
  const size = Buffer.byteLength(JSON.stringify(claims))
  if (size > options.maxBytes)
    throw new UsherError('form_param_max_length_exceeded', `Claims take ${options.maxBytes} bytes at most.`, {
      param: 'claims',
    })
  for (const name of Object.keys(claims))
    if (reservedClaims.has(name)) throw invalid(`The claim "${name}" is reserved: the server states it.`)
  const render = compileObject(claims, 0)
  return (lookup) => render(lookup) as Record<string, unknown>
}

function compile(value: unknown, depth: number): Render {
  if (typeof value === 'string') return compileText(value)
  if (typeof value !== 'object' || value === null) return () => value
  if (depth >= maxDepth) throw invalid('These claims are nested too deeply.')
  if (!Array.isArray(value)) return compileObject(value as Record<string, unknown>, depth)
  const items = value.map((item) => compile(item, depth + 1))
  return (lookup) => items.map((render) => render(lookup))
}

function compileObject(value: Record<string, unknown>, depth: number): Render {
  const entries = Object.entries(value).map(([name, part]) => [name, compile(part, depth + 1)] as const)
  return (lookup) => Object.fromEntries(entries.map(([name, render]) => [name, render(lookup)]))
}

function compileText(text: string): Render {
  const segments = parseSegments(text)
  const [only] = segments
  if (segments.length === 1 && Array.isArray(only)) return (lookup) => evaluate(only, lookup)
  if (segments.every((s) => typeof s === 'string')) return () => text
  return (lookup) => segments.map((s) => (typeof s === 'string' ? s : asText(evaluate(s, lookup)))).join('')
}

const asText = (value: unknown) =>
  value === null ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value)

/** The first operand that is neither missing nor `false`; else the last. */
function evaluate(operands: Operand[], lookup: Lookup): unknown {
  let value: unknown = null
  for (const operand of operands) {
    value = 'path' in operand ? (lookup(operand.path) ?? null) : operand.value
    if (value !== null && value !== false) break
  }
  return value
}

function parseSegments(text: string): Segment[] {
  const segments: Segment[] = []
  let at = 0
  for (let open = text.indexOf('{{'); open !== -1; open = text.indexOf('{{', at)) {
    if (open > at) segments.push(text.slice(at, open))
    const { operands, end } = parseShortcode(text, open + 2)
    segments.push(operands)
    at = end
  }
  if (at < text.length || segments.length === 0) segments.push(text.slice(at))
  return segments
}

const token = /\s*(?:'([^']*)'|"([^"]*)"|(-?\d+(?:\.\d+)?)(?![\w.])|([A-Za-z_]\w*(?:\.[\w:/-]+)*))\s*(\|\||\}\})/y

function parseShortcode(text: string, start: number): { operands: Operand[]; end: number } {
  const operands: Operand[] = []
  token.lastIndex = start
  for (;;) {
    const at = token.lastIndex
    const match = token.exec(text)
    if (!match) throw invalid(`This shortcode cannot be read: ${text.slice(start - 2, at + 40)}`)
    const [, single, double, number, path, next] = match
    const literal = single ?? double
    if (literal !== undefined) operands.push({ value: literal })
    else if (number !== undefined) operands.push({ value: Number(number) })
    else if (path === 'true' || path === 'false') operands.push({ value: path === 'true' })
    else if (path === 'null') operands.push({ value: null })
    else operands.push({ path: path as string })
    if (next === '}}') return { operands, end: token.lastIndex }
  }
}

const invalid = (message: string) => new UsherError('form_param_value_invalid', message, { param: 'claims' })

/** The value at a path inside plain data; what objects inherit is not data. */
export function valueAt(data: unknown, path: readonly string[]): unknown {
  let value = data
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as Record<string, unknown>)[name]
  }
  return value
}
