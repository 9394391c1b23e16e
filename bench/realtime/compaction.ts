import type { CompactionInput, CompactionResult } from '../generators/realtime-compaction.ts'
import { generate } from '../support/processes.ts'
import { atMost, type Benchmark, times } from '../support/rows.ts'
import { scale } from './scale.ts'

const input: CompactionInput = { updates: scale.size(20_000, 1000), contentBytes: 1000 }

export const compaction: Benchmark = {
  name: 'realtime-compaction',
  group: 'realtime',
  method:
    `${input.updates} updates of ${input.contentBytes} bytes to a thousand records: the server’s compaction (in its worker, checked by a second decoding) ` +
    'beside one `Y.mergeUpdates` of all of them, and the longest time for which the event loop of the server’s side stood meanwhile. No ' +
    'sockets and no database; worker and event loop share a core.',
  run: async () => {
    const { compactMs, stallMs, mergeMs, bytes, compacted } = await generate<CompactionResult>(
      'generators/realtime-compaction.ts',
      input,
    )
    const ratio = mergeMs / compactMs
    return {
      rows: [
        {
          name: `compaction of ${input.updates} updates, beside one flat merge`,
          ours: `${compactMs.toFixed(0)} ms`,
          peer: `${mergeMs.toFixed(0)} ms`,
          ratio: times(ratio),
          target: '≥ 20x',
          met: ratio >= 20,
        },
        atMost('longest stall of the event loop meanwhile', stallMs, 20, 'ms', 1),
      ],
      notes: [`${(bytes / 1e6).toFixed(1)} MB became ${(compacted / 1e6).toFixed(1)} MB.`],
    }
  },
}
