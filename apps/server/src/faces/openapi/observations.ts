import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Shape } from './shapes.ts'

/** What the tests saw of a route, over all of their runs: see `faces/route-log.ts` and `scripts/routes.ts`. */
export type Observation = {
  statuses: number[]
  /** Error codes by status. */
  codes: Record<string, string[]>
  query: string[]
  /** JSON Schemas of the Zod schemas by which bodies were read. */
  bodies: Record<string, unknown>[]
  /** Of answers that were no errors. */
  response?: Shape
  /** Files of tests that had an answer that was no error. */
  tests: string[]
}
export type Observations = Record<string, Observation>

export const observationsFile = join(import.meta.dir, '../../assets/routes.json')

/** By `backend POST /v1/users/:id`. */
export function readObservations(): Observations {
  return JSON.parse(readFileSync(observationsFile, 'utf8')) as Observations
}
