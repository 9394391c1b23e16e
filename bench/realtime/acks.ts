import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { AcksInput, AcksResult } from '../generators/realtime-acks.ts'
import { generate, temporaryDirectory } from '../support/processes.ts'
import { median } from '../support/rounds.ts'
import { atMost, type Benchmark, compare, type Row } from '../support/rows.ts'
import { startOurs } from './contenders.ts'
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
    'segment into each, one update of each writer at a time, without sockets, checks or anybody to tell; it runs on the same core.',
  run: async () => {
    using data = temporaryDirectory()
    await using ours = await startOurs({ data: data.path })
    const fsync = fsyncMs(data.path)
    const rows: Row[] = []
    for (const [writers, rooms, target] of scale.tiny
      ? ([[10, 5, 0.3]] as const)
      : ([
          [50, 10, 0.3],
          [1000, 50, 0.4],
        ] as const)) {
      const paths = Array.from({ length: writers }, (_, i) => ours.path(`acks-${writers}-${i % rooms}`))
      const input: AcksInput = { port: ours.port, paths, seconds }
      const result = await generate<AcksResult>('generators/realtime-acks.ts', input)
      const raw = await generate<{ perSecond: number }>(
        'peers/raw-commits.ts',
        { path: join(data.path, 'run/.s.PGSQL.5432'), rooms, frames: writers, seconds: scale.size(3, 1) },
        { core: 0 },
      )
      rows.push(
        compare(
          `durable acknowledgements to ${writers} writers, beside the raw statement`,
          result.perSecond,
          raw.perSecond,
          target,
        ),
        atMost(
          `an acknowledgement to one of ${writers} writers, p50 (p99 ${result.p99.toFixed(1)} ms)`,
          result.p50,
          3 * fsync + 2,
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
