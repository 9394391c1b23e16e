import { appendFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from 'hono'
import { routePath } from 'hono/route'
import { z } from 'zod'
import { type Kinds, type Shape, shapeOf } from './openapi/shapes.ts'

/** One thing that was seen of a route. */
export type RouteNote = {
  /** `backend POST /v1/users/:id` */
  route: string
  status: number
  /** File of the test that was running. */
  test: string
  query: string[]
  body?: unknown
  response?: Shape
  /** The objects in the answer. */
  objects?: Kinds
  /** Codes of an error's envelope. */
  codes?: string[]
}

const schemas = new WeakMap<Request, z.ZodType>()
let recording = false

/** Remembers by which schema a request's body was read, for the description of its route. Does nothing in operation. */
export function noteSchema(c: Context, schema: z.ZodType): void {
  if (recording) schemas.set(c.req.raw, schema)
}

/**
 * Writes down which routes were called, with what, and what they answered: for the tests, from whose runs the API's
 * description and the table of compatibility are made. Values are not written, only the shapes of them.
 */
export class RouteLog {
  private readonly seen = new Set<string>()
  private readonly file: string

  constructor(directory: string) {
    mkdirSync(directory, { recursive: true })
    this.file = join(directory, `${process.pid}.jsonl`)
    recording = true
  }

  async note(c: Context): Promise<void> {
    const [, face = 'frontend', path = ''] = routePath(c).match(/^(?:\/~([a-z]+))?(\/.*)$/) ?? []
    // Nothing but middleware saw the request: it went to no route.
    if (path === '' || path.endsWith('*')) return
    const { method } = c.req
    const { status } = c.res
    const query = [...new Set([...new URL(c.req.url).searchParams.keys()].map((name) => name.replace(/\[\]$/, '')))]
    const isJson = c.res.headers.get('content-type') === 'application/json'
    const schema = schemas.get(c.req.raw)
    const response: unknown = isJson ? await c.res.clone().json() : undefined
    const codes = (response as { errors?: { code: string }[] } | undefined)?.errors?.map((error) => error.code)
    const objects: Kinds = {}
    const note: RouteNote = {
      route: `${face} ${method} ${path}`,
      status,
      test: Bun.main,
      query: query.filter((name) => !name.startsWith('_')).sort(),
      ...(schema && { body: z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) }),
      ...(codes
        ? { codes }
        : response !== undefined && status < 300 && { response: shapeOf(response, objects), objects }),
    }
    const line = JSON.stringify(note)
    if (this.seen.has(line)) return
    this.seen.add(line)
    appendFileSync(this.file, `${line}\n`)
  }
}
