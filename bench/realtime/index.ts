import type { Benchmark } from '../support/rows.ts'
import { flood } from './flood.ts'

/** `npm run bench -- realtime`: the realtime plane beside its peers, in some eight minutes. */
export const realtime: readonly Benchmark[] = [flood]
