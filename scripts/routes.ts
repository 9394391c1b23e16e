/**
 * What the two faces serve, from their routers and from what tests saw of them.
 *
 *   bun scripts/routes.ts                     fails when docs/compatibility/clerk.md is out of date
 *   bun scripts/routes.ts --write             writes it anew
 *   bun scripts/routes.ts --write --log DIR   takes over what a run of the tests with USHER_ROUTE_LOG=DIR saw
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import {
  listRoutes,
  mergeFields,
  mergeShapes,
  type Observation,
  type Observations,
  observationsFile,
  readObservations,
} from '../apps/server/src/faces/openapi/index.ts'
import type { RouteNote } from '../apps/server/src/faces/route-log.ts'
import { compatibilityPage } from './compatibility.ts'

const root = join(import.meta.dir, '..')
const page = join(root, 'docs/compatibility/clerk.md')
const { values } = parseArgs({ options: { write: { type: 'boolean' }, log: { type: 'string' } } })

const routes = listRoutes()
const served = new Set(routes.map(({ face, method, pattern }) => `${face} ${method} ${pattern}`))
if (values.log) writeFileSync(observationsFile, `${JSON.stringify(collect(values.log), null, 1)}\n`)
const observations = readObservations()
const gone = Object.keys(observations.routes).filter((route) => !served.has(route))
if (gone.length > 0 && !values.write) fail(`${observationsFile} knows routes that are not served: ${gone.join(', ')}`)

const text = compatibilityPage(routes, observations)
if (values.write) writeFileSync(page, text)
else if (readFileSync(page, 'utf8') !== text)
  fail('docs/compatibility/clerk.md is out of date: bun scripts/routes.ts --write')

function fail(message: string): never {
  console.error(message)
  process.exit(1)
}

/** Everything that the processes of a test run wrote down, by route. */
function collect(directory: string): Observations {
  const observations: Observations = { routes: {}, objects: {} }
  for (const file of readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()) {
    if (!file.endsWith('.jsonl')) continue
    for (const line of readFileSync(join(directory, file), 'utf8').split('\n')) {
      if (line === '') continue
      const note = JSON.parse(line) as RouteNote
      if (!served.has(note.route)) continue
      observations.routes[note.route] = add(observations.routes[note.route], note, testOf(file, note))
      for (const [kind, fields] of Object.entries(note.objects ?? {}))
        observations.objects[kind] = mergeFields(observations.objects[kind] ?? fields, fields)
    }
  }
  return { routes: sorted(observations.routes), objects: sorted(observations.objects) }
}

function sorted<T>(values: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** A server of its own knows only where it was told to write; its folder is named after the test. */
function testOf(file: string, note: RouteNote): string {
  const [folder = ''] = file.split('/')
  return file.includes('/') ? decodeURIComponent(folder) : relative(root, note.test)
}

function add(known: Observation | undefined, note: RouteNote, test: string): Observation {
  const { statuses = [], codes = {}, query = [], bodies = [], response, tests = [] } = known ?? {}
  const isFine = note.status < 400
  const { $schema: _, ...body } = (note.body ?? {}) as Record<string, unknown>
  const merged = response && note.response ? mergeShapes(response, note.response) : (response ?? note.response)
  const isNew = note.body !== undefined && !bodies.some((other) => Bun.deepEquals(other, body))
  return {
    statuses: union(statuses, [note.status]).sort((a, b) => a - b),
    codes: note.codes ? { ...codes, [note.status]: union(codes[note.status] ?? [], note.codes).sort() } : codes,
    // What only a refused request carried is no parameter.
    query: isFine ? union(query, note.query).sort() : query,
    bodies: isNew ? [...bodies, body] : bodies,
    ...(merged !== undefined && { response: merged }),
    tests: isFine && test.endsWith('.test.ts') ? union(tests, [test]).sort() : tests,
  }
}

function union<T>(a: readonly T[], b: readonly T[]): T[] {
  return [...new Set([...a, ...b])]
}
