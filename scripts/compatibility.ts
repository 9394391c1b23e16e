import {
  keyOf,
  type Observations,
  type Operation,
  operations,
  type Route,
} from '../apps/server/src/faces/openapi/index.ts'

/** What is served but does less than the original. By method and path of the operation. */
const limits: Record<string, string> = {
  'frontend GET /v1/organizations/{id}/enterprise_connections': 'the list is always empty',
  'frontend GET /v1/client/sign_ups/{id}/enterprise_connections': 'the list is always empty',
  'frontend GET /.well-known/openid-configuration': 'issuer and keys only, there is no OAuth server yet',
}

const priorities = ['P0', 'P1', 'P2']
const faces = { frontend: 'Browser API', backend: 'Server API' }

type State = 'implemented' | 'partly' | 'not'

/** `docs/compatibility/clerk.md`: every operation that the SDKs know, and whether it is served, by which test. */
export function compatibilityPage(routes: readonly Route[], observations: Observations): string {
  const served = new Map(routes.map((route) => [keyOf(route), route]))
  const known = new Set(operations.map(keyOf))
  const rows = operations.map((operation) => ({ operation, ...judge(operation, served, observations) }))
  const count = (state: State, priority: number, face: string) =>
    rows.filter((row) => row.state === state && row.operation.priority === priority && row.operation.face === face)
      .length
  const summary = Object.entries(faces).flatMap(([face, name]) =>
    priorities.map(
      (label, p) =>
        `| ${name} | ${label} | ${count('implemented', p, face)} | ${count('partly', p, face)} | ${count('not', p, face)} |`,
    ),
  )
  const own = routes.filter((route) => !known.has(keyOf(route)))
  return `${[
    '# Compatibility with Clerk, operation by operation',
    '',
    '<!-- Written by `bun scripts/routes.ts --write`: do not edit. -->',
    '',
    'The list is of what the unmodified SDKs call. **Implemented** means that the route is served and that a test of this repository',
    'had an answer from it that was no error; the test is named. **Partly** means that it is served and something is missing: what',
    'is said, or that no test has shown an answer. **Not** means that there is no such route, or that it answers `501`. P0 is what the components need for',
    'sign-up, sign-in and organizations, P1 what applications with more than that use, P2 what few do.',
    '',
    'What the SDKs and components make of it is told in [Clerk’s SDKs with Usher](../clerk.md). The same routes, with their',
    'parameters and answers, are at `/reference` of a running server.',
    '',
    '| | | implemented | partly | not |',
    '| --- | --- | --- | --- | --- |',
    ...summary,
    ...Object.entries(faces).flatMap(([face, name]) =>
      section(
        name,
        rows.filter((row) => row.operation.face === face),
      ),
    ),
    '',
    '## Of this server',
    '',
    'Routes that no SDK of the vendor knows.',
    '',
    ...own.map((route) => `- \`${route.method} ${route.path}\``).sort(),
  ].join('\n')}\n`
}

type Row = { operation: Operation; state: State; note: string; test: string | undefined }

function section(name: string, rows: Row[]): string[] {
  const lines = ['', `## ${name}`]
  for (const tag of new Set(rows.map((row) => row.operation.tag))) {
    lines.push('', `### ${tag}`, '', '| operation | | | |', '| --- | --- | --- | --- |')
    for (const { operation, state, note, test } of rows.filter((row) => row.operation.tag === tag)) {
      const shown = test ? `[${test.split('/').slice(-2).join('/')}](../../${test})` : note
      const { method, path, summary, priority } = operation
      lines.push(
        `| \`${method} ${path}\`<br>${summary} | ${priorities[priority]} | ${state} | ${[state === 'partly' ? note : '', test ? shown : ''].filter(Boolean).join('<br>')} |`,
      )
    }
  }
  return lines
}

function judge(operation: Operation, served: Map<string, Route>, observations: Observations): Omit<Row, 'operation'> {
  const route = served.get(keyOf(operation))
  if (!route) return { state: 'not', note: '', test: undefined }
  const seen = observations.routes[`${route.face} ${route.method} ${route.pattern}`]
  // What answers `not_implemented` only is a promise.
  if (seen?.statuses.includes(501) && seen.tests.length === 0) return { state: 'not', note: '', test: undefined }
  const test = seen && closest(seen.tests)
  const limit = limits[`${operation.face} ${operation.method} ${operation.path}`]
  if (limit) return { state: 'partly', note: limit, test }
  if (!test) return { state: 'partly', note: 'no test had an answer', test: undefined }
  return { state: 'implemented', note: '', test }
}

/** Of several tests the one that goes through the vendor's own package, else the first. */
const closest = (tests: readonly string[]) =>
  tests.find((test) => test.includes('backend-sdk')) ?? tests.find((test) => test.includes('e2e')) ?? tests[0]
