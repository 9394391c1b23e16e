import type { Benchmark } from '../support/rows.ts'
import { acks } from './acks.ts'
import { compaction } from './compaction.ts'
import { deafSockets } from './deaf.ts'
import { encrypted } from './encrypted.ts'
import { flood } from './flood.ts'
import { admission, opening, storm } from './joins.ts'
import { presence } from './presence.ts'
import { rate } from './rate.ts'
import { twoNodes } from './two-nodes.ts'

/** `npm run bench -- realtime`: the realtime plane beside its peers, in some eight minutes. */
export const realtime: readonly Benchmark[] = [
  flood,
  rate,
  admission,
  storm,
  opening,
  acks,
  presence,
  deafSockets,
  compaction,
  encrypted,
  twoNodes,
]
