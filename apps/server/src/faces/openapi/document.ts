import type { Observation, Observations } from './observations.ts'
import { type Operation, operations } from './operations.ts'
import { ownOperations } from './own-operations.ts'
import { keyOf, listRoutes, type Route } from './routes.ts'
import { objectSchema, toSchema } from './shapes.ts'

type Schema = Record<string, unknown>

export type OpenApiOperation = {
  operationId: string
  summary: string
  tags: string[]
  parameters: { name: string; in: 'path' | 'query'; required: boolean; schema: Schema }[]
  requestBody?: { content: Record<string, { schema: Schema }> }
  responses: Record<string, { description: string; content?: Record<string, { schema: Schema }> }>
}

export type OpenApiDocument = {
  openapi: '3.1.0'
  info: { title: string; version: string; description: string }
  tags: { name: string }[]
  paths: Record<string, Record<string, OpenApiOperation>>
  components: { schemas: Record<string, Schema>; securitySchemes: Record<string, Schema> }
  security: Record<string, string[]>[]
}

const faces = {
  frontend: {
    title: 'Usher browser API',
    description:
      'What the browser SDKs call. Bodies are forms. Answers come as `response`, with the state of the browser beside it as `client`.',
    content: 'application/x-www-form-urlencoded',
    security: {
      client: { type: 'apiKey', in: 'cookie', name: '__client' },
      devBrowser: { type: 'apiKey', in: 'query', name: '__clerk_db_jwt' },
    },
  },
  backend: {
    title: 'Usher server API',
    description: 'What an application’s own server calls, with its secret key.',
    content: 'application/json',
    security: { secretKey: { type: 'http', scheme: 'bearer' } },
  },
} as const

/** Query parameters of lists, which are read by one schema everywhere. */
const numbers = new Set(['limit', 'offset'])

/**
 * The OpenAPI 3.1 document of a face. Its routes are those of the router, so that none is missing and none is too many;
 * bodies are the Zod schemas by which the routes read them, and answers are described as the tests saw them. A route that
 * no test called is there with its method and path.
 */
export function buildDocument(
  face: Operation['face'],
  observations: Observations,
  routes = listRoutes(),
): OpenApiDocument {
  const { title, description, content, security } = faces[face]
  const listed = [...operations, ...ownOperations]
  const known = new Map(listed.map((operation) => [keyOf(operation), operation]))
  const paths: OpenApiDocument['paths'] = {}
  const tags: string[] = []
  const own = routes.filter((route) => route.face === face)
  const order = new Map(listed.map((operation, i) => [keyOf(operation), i]))
  const rank = (route: Route) => order.get(keyOf(route)) ?? listed.length
  for (const route of own.sort((a, b) => rank(a) - rank(b) || (a.path < b.path ? -1 : 1))) {
    const operation = known.get(keyOf(route))
    const tag = operation?.tag ?? 'Of this server'
    if (!tags.includes(tag)) tags.push(tag)
    const seen = observations.routes[`${face} ${route.method} ${route.pattern}`]
    paths[route.path] ??= {}
    Object.assign(paths[route.path] as object, {
      [route.method.toLowerCase()]: describe(route, { operation, tag, seen, content }),
    })
  }
  const schemas: Record<string, Schema> = { Errors: errors }
  for (const kind of referredTo(paths, observations)) {
    const schema = objectSchema(observations.objects[kind] ?? {})
    schemas[kind] = { ...schema, properties: { ...(schema.properties as object), object: { const: kind } } }
  }
  return {
    openapi: '3.1.0',
    info: { title, version: 'v1', description },
    tags: tags.map((name) => ({ name })),
    paths,
    components: {
      schemas: Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1))),
      securitySchemes: security,
    },
    security: Object.keys(security).map((name) => ({ [name]: [] })),
  }
}

/** The kinds of objects that a face answers with, and those that are in them. */
function referredTo(paths: OpenApiDocument['paths'], { objects }: Observations): Set<string> {
  const kinds = new Set<string>()
  const visit = (part: unknown) => {
    for (const [, kind = ''] of JSON.stringify(part).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (kind === 'Errors' || kinds.has(kind)) continue
      kinds.add(kind)
      visit(objectSchema(objects[kind] ?? {}))
    }
  }
  visit(paths)
  return kinds
}

const errors: Schema = {
  type: 'object',
  properties: {
    errors: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          code: { type: 'string' },
          message: { type: 'string' },
          long_message: { type: 'string' },
          meta: { type: 'object' },
        },
      },
    },
    clerk_trace_id: { type: 'string' },
  },
}

type Known = {
  operation: Operation | undefined
  tag: string
  seen: Observation | undefined
  content: string
}

function describe(route: Route, { operation, tag, seen, content }: Known): OpenApiOperation {
  const inPath = [...route.path.matchAll(/\{([^}]+)\}/g)].map(([, name = '']) => name)
  const [body, ...others] = seen?.bodies ?? []
  return {
    operationId: `${route.method.toLowerCase()}${route.path.replace(/^\/v1/, '').replace(/[^A-Za-z0-9]+(.?)/g, (_, next) => next.toUpperCase())}`,
    summary: operation?.summary ?? `${route.method} ${route.path}`,
    tags: [tag],
    parameters: [
      ...inPath.map((name) => ({ name, in: 'path' as const, required: true, schema: { type: 'string' } })),
      ...(seen?.query ?? []).map((name) => ({
        name,
        in: 'query' as const,
        required: false,
        schema: { type: numbers.has(name) ? 'integer' : 'string' },
      })),
    ],
    ...(body && {
      requestBody: { content: { [content]: { schema: others.length > 0 ? { anyOf: seen?.bodies } : body } } },
    }),
    responses: describeResponses(seen),
  }
}

function describeResponses(seen: Observation | undefined) {
  const json = (schema: Schema) => ({ 'application/json': { schema } })
  const responses: OpenApiOperation['responses'] = {}
  for (const status of seen?.statuses ?? []) {
    const codes = seen?.codes[status]
    if (codes)
      responses[status] = {
        description: codes.map((code) => `\`${code}\``).join(', '),
        content: json({ $ref: '#/components/schemas/Errors' }),
      }
    else if (status >= 300) responses[status] = { description: status < 400 ? 'Leads elsewhere' : 'An error' }
    else
      responses[status] = {
        description: 'Done',
        ...(seen?.response && { content: json(toSchema(seen.response)) }),
      }
  }
  if (Object.keys(responses).length === 0) responses.default = { description: 'No test has called it yet' }
  return responses
}
