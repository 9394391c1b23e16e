import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Kinds, Shape } from './shapes.ts'

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
export type Observations = {
  /** By `backend POST /v1/users/:id`. */
  routes: Record<string, Observation>
  objects: Kinds
}

export const observationsFile = join(import.meta.dir, '../../assets/routes.json')

export function readObservations(): Observations {
  return JSON.parse(readFileSync(observationsFile, 'utf8')) as Observations
}
