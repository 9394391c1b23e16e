import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { AcksInput, AcksResult } from '../generators/realtime-acks.ts'
import { generate, temporaryDirectory } from '../support/processes.ts'
import { median } from '../support/rounds.ts'
import { atMost, type Benchmark, compare, type Row } from '../support/rows.ts'
import { type Contender, startBareCommits, startOurs } from './contenders.ts'
import { scale } from './scale.ts'

const seconds = scale.size(4, 1)

/** Milliseconds until a page that was written is on the disk of the directory. */
function fsyncMs(directory: string): number {
  const file = openSync(join(directory, 'fsync'), 'w')
  const took: number[] = []
  for (let i = 0; i < 50; i++) {
    writeSync(file, Buffer.alloc(8192, i))
    const startedAt = performance.now()
    fsyncSync(file)
    took.push(performance.now() - startedAt)
  }
  closeSync(file)
  return median(took)
}

export const acks: Benchmark = {
  name: 'realtime-acks',
  group: 'realtime',
  method:
    'Writers, spread over rooms, who each wait for the echo of an update (its acknowledgement: it is stored) before they write the next. ' +
    'The peer is the statement of such a flush alone: one connection to the same PostgreSQL that advances the rooms’ heads and inserts a ' +
    'segment into each, one update of each writer at a time, without sockets, checks or anybody to tell; it runs on the same core. Beside it stands a Bun server that takes the same frames from the ' +
    'same sockets, hands them to the rooms, stores them by that statement and gives each back to its author: what sockets cost anybody.',
  run: async () => {
    using data = temporaryDirectory()
    await using ours = await startOurs({ data: data.path })
    const fsync = fsyncMs(data.path)
    const postgres = join(data.path, 'run/.s.PGSQL.5432')
    const rows: Row[] = []
    for (const [writers, rooms, target] of scale.tiny
      ? ([[10, 5, 0.3]] as const)
      : ([
          [50, 10, 0.3],
          [1000, 50, 0.4],
        ] as const)) {
      const measure = (one: Contender) => {
        const paths = Array.from({ length: writers }, (_, i) => one.path(`acks-${writers}-${i % rooms}`))
        const input: AcksInput = { port: one.port, paths, seconds }
        return generate<AcksResult>('generators/realtime-acks.ts', input)
      }
      const result = await measure(ours)
      const raw = await generate<{ perSecond: number }>(
        'peers/raw-commits.ts',
        { path: postgres, rooms, frames: writers, seconds: scale.size(3, 1) },
        { core: 0 },
      )
      await using bare = await startBareCommits(postgres)
      const least = await measure(bare)
      rows.push(
        compare(
          `durable acknowledgements to ${writers} writers, beside the raw statement`,
          result.perSecond,
          raw.perSecond,
          target,
        ),
        compare(
          `durable acknowledgements to ${writers} writers, beside ${bare.name}`,
          result.perSecond,
          least.perSecond,
          undefined,
        ),
        atMost(
          `an acknowledgement to one of ${writers} writers, p50 (p99 ${result.p99.toFixed(1)} ms)`,
          result.p50,
          Math.round((3 * fsync + 2) * 10) / 10,
          'ms',
          1,
        ),
      )
    }
    return {
      rows,
      notes: [
        `An fsync of 8 KB takes ${fsync.toFixed(2)} ms here; the limit of an acknowledgement is three of them and 2 ms.`,
      ],
    }
  },
}
