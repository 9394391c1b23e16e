import type { Context } from 'hono'
import type { z } from 'zod'
import { UsherError } from '../../kernel/errors.ts'
import { parseJsonBody } from '../../kernel/json.ts'
import { readText } from '../read-text.ts'
import { refuseParents } from '../refuse-parents.ts'
import { noteSchema } from '../route-log.ts'
import type { FrontendEnv } from './env.ts'

/** Form bodies are small; what is larger is no form of ours. */
const maxBytes = 256 * 1024
/** Far more than any form has, lists included. */
const maxFields = 2000

export type Form = Record<string, unknown>

/**
 * The fields of a body. Browsers send forms: a repeated key is an array, JSON values are text. JSON bodies are taken
 * too; any other type is refused, because a page may send `text/plain` anywhere without asking.
 *
 * @throws {UsherError} `request_body_invalid` or `request_too_large`
 */
export async function readForm(c: Context<FrontendEnv>): Promise<Form> {
  const type = (c.req.header('content-type') ?? '').split(';')[0]?.trim().toLowerCase()
  const text = await readText(c, maxBytes)
  if (text === '') return {}
  if (type === 'application/x-www-form-urlencoded') return fromParams(new URLSearchParams(text))
  if (type === 'application/json') return fromJson(text)
  throw new UsherError('request_body_invalid', 'The body must be a form or JSON.')
}

/** One look at each field: asked for by name, each name would cost a look at all of them. */
function fromParams(params: URLSearchParams): Form {
  if (params.size > maxFields) throw new UsherError('request_body_invalid', 'The form has too many fields.')
  const lists: Record<string, string[]> = Object.create(null)
  for (const [name, value] of params) {
    const list = lists[name]
    if (list) list.push(value)
    else lists[name] = [value]
  }
  const form: Form = Object.create(null)
  for (const name in lists) form[name] = lists[name]?.length === 1 ? lists[name][0] : lists[name]
  return form
}

function fromJson(text: string): Form {
  try {
    const value = parseJsonBody(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Form
  } catch {}
  throw new UsherError('request_body_invalid', 'The body is not a JSON object, or nests too deeply.')
}

/**
 * Reads a body by its schema.
 *
 * @throws {UsherError} `form_param_format_invalid` or `form_param_unknown`, naming the first parameter at fault
 */
export async function parseForm<T extends z.ZodType>(c: Context<FrontendEnv>, schema: T): Promise<z.infer<T>> {
  noteSchema(c, schema)
  const form = await readForm(c)
  refuseParents(form)
  const parsed = schema.safeParse(form)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const param = String(issue?.path[0] ?? '')
  throw new UsherError('form_param_format_invalid', `${param || 'The body'} is invalid.`, { param })
}
