import type { Observation, Observations } from './observations.ts'
import { type Operation, operations } from './operations.ts'
import { keyOf, listRoutes, type Route } from './routes.ts'
import { objectSchema, type Shape, toSchema } from './shapes.ts'

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
  const known = new Map(operations.map((operation) => [keyOf(operation), operation]))
  const components = new Map<string, Record<string, Shape>>()
  const paths: OpenApiDocument['paths'] = {}
  const tags: string[] = []
  const own = routes.filter((route) => route.face === face)
  const order = new Map(operations.map((operation, i) => [keyOf(operation), i]))
  const rank = (route: Route) => order.get(keyOf(route)) ?? operations.length
  for (const route of own.sort((a, b) => rank(a) - rank(b) || (a.path < b.path ? -1 : 1))) {
    const operation = known.get(keyOf(route))
    const tag = operation?.tag ?? 'Of this server'
    if (!tags.includes(tag)) tags.push(tag)
    const seen = observations[`${face} ${route.method} ${route.pattern}`]
    paths[route.path] ??= {}
    Object.assign(paths[route.path] as object, {
      [route.method.toLowerCase()]: describe(route, { operation, tag, seen, content, components }),
    })
  }
  const schemas: Record<string, Schema> = { Errors: errors }
  // Objects hold objects: describing one may bring further kinds.
  const done = new Set<string>()
  while (done.size < components.size)
    for (const kind of [...components.keys()].filter((kind) => !done.has(kind))) {
      done.add(kind)
      const schema = objectSchema(components.get(kind) ?? {}, components)
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
  components: Map<string, Record<string, Shape>>
}

function describe(route: Route, { operation, tag, seen, content, components }: Known): OpenApiOperation {
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
    responses: describeResponses(seen, components),
  }
}

function describeResponses(seen: Observation | undefined, components: Known['components']) {
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
        ...(seen?.response && { content: json(toSchema(seen.response, components)) }),
      }
  }
  if (Object.keys(responses).length === 0) responses.default = { description: 'No test has called it yet' }
  return responses
}
