import type { Context } from 'hono'
import { z } from 'zod'
import { UsherError } from '../../kernel/errors.ts'
import { parseJsonBody } from '../../kernel/json.ts'
import { type Env, isStorableMoment } from '../http.ts'
import { readText } from '../read-text.ts'
import { refuseParents } from '../refuse-parents.ts'
import { noteSchema } from '../route-log.ts'

const maxBytes = 1024 * 1024

/**
 * Reads a JSON body by its schema.
 *
 * @throws {UsherError} `request_body_invalid`, `request_too_large`, `form_param_format_invalid` or `form_param_unknown`,
 *   naming the parameter
 */
export async function parseBody<T extends z.ZodType>(c: Context<Env>, schema: T): Promise<z.infer<T>> {
  noteSchema(c, schema)
  const text = await readText(c, maxBytes)
  let value: unknown
  try {
    value = text === '' ? {} : parseJsonBody(text)
  } catch {
    throw new UsherError('request_body_invalid', 'The body is not JSON, or nests too deeply.')
  }
  refuseParents(value)
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const param = String(issue?.path[0] ?? '')
  throw new UsherError('form_param_format_invalid', `${param || 'The body'} is invalid: ${issue?.message}`, { param })
}

/** The values of a repeated query parameter, in the spellings that are in use. */
export function repeated(c: Context<Env>, name: string): string[] | undefined {
  const values = [...(c.req.queries(name) ?? []), ...(c.req.queries(`${name}[]`) ?? [])].flatMap((v) => v.split(','))
  return values.length > 0 ? values : undefined
}

/** A moment as milliseconds since 1970, as the SDK sends it. */
export function instantOf(c: Context<Env>, name: string): Date | undefined {
  const value = c.req.query(name)
  if (value === undefined) return undefined
  const moment = new Date(Number(value))
  if (!isStorableMoment(moment))
    throw new UsherError('form_param_format_invalid', `${name} is a number of milliseconds.`, { param: name })
  return moment
}

export const Metadata = z.record(z.string(), z.unknown())
export const Name = z.string().max(256)
