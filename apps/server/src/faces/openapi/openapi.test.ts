import { expect, test } from 'bun:test'
import { testInstance } from '../../testing/server.ts'
import { buildDocument, keyOf, listRoutes, type OpenApiDocument, operations, readObservations } from './index.ts'
import { ownOperations } from './own-operations.ts'

const faces = ['frontend', 'backend'] as const

function operationsOf(face: (typeof faces)[number], document: OpenApiDocument): string[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => keyOf({ face, method: method.toUpperCase(), path })),
  )
}

test('every route is in the document of its face, and every operation of a document is a route', () => {
  for (const face of faces) {
    const described = operationsOf(face, buildDocument(face, readObservations()))
    const served = listRoutes()
      .filter((route) => route.face === face)
      .map(keyOf)
    expect(new Set(described).size).toBe(described.length)
    expect(described.sort()).toEqual([...new Set(served)].sort())
    expect(served.length).toBeGreaterThan(50)
  }
})

test('a route that nobody described is there with its method and path', () => {
  const route = { face: 'backend', method: 'POST', pattern: '/v1/things/:id', path: '/v1/things/{id}' } as const
  const { paths } = buildDocument('backend', { routes: {}, objects: {} }, [route])
  expect(paths['/v1/things/{id}']?.post).toMatchObject({
    operationId: 'postThingsId',
    summary: 'POST /v1/things/{id}',
    parameters: [{ name: 'id', in: 'path', required: true }],
  })
})

test('no operation is listed twice, and every reference leads to an object', () => {
  const keys = [...operations, ...ownOperations].map(keyOf)
  expect(keys.filter((key, i) => keys.indexOf(key) !== i)).toEqual([])
  const served = listRoutes().map(keyOf)
  expect(ownOperations.map(keyOf).filter((key) => !served.includes(key))).toEqual([])
  for (const face of faces) {
    const document = buildDocument(face, readObservations())
    const names = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name)
    expect(names.filter((name) => !((name as string) in document.components.schemas))).toEqual([])
    const ids = Object.values(document.paths).flatMap((methods) => Object.values(methods).map((o) => o.operationId))
    expect(ids.filter((id, i) => ids.indexOf(id) !== i)).toEqual([])
  }
})

test('bodies are described by the schemas that read them, and answers by what tests saw', () => {
  const { paths, components } = buildDocument('backend', readObservations())
  const create = paths['/v1/users']?.post
  expect(create?.requestBody?.content['application/json']?.schema).toMatchObject({
    type: 'object',
    properties: { first_name: {}, email_address: {} },
  })
  expect(create?.responses[200]?.content?.['application/json']?.schema).toEqual({ $ref: '#/components/schemas/user' })
  expect(components.schemas.user).toMatchObject({
    properties: { object: { const: 'user' }, id: { type: 'string' }, banned: { type: 'boolean' } },
  })
})

test('the pages of the reference ask nobody else for anything, and the documents are JSON', async () => {
  const t = await testInstance()
  for (const path of ['/reference', '/reference/backend', '/reference/frontend']) {
    const response = await t.fetch(path)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(await response.text()).not.toMatch(/(?:src|href)="(?:https?:)?\/\//)
  }
  const document = (await (await t.fetch('/openapi/backend.json')).json()) as OpenApiDocument
  expect(document.openapi).toBe('3.1.0')
  expect((await t.fetch('/reference/nothing')).status).toBe(404)
})
