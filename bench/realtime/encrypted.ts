import type { DecryptInput } from '../generators/realtime-decrypt.ts'
import type { LoadInput, LoadResult } from '../generators/realtime-load.ts'
import { generate } from '../support/processes.ts'
import { type Benchmark, perSecond } from '../support/rows.ts'
import { startOurs } from './contenders.ts'
import type { Dialect } from './dialects.ts'
import { atMostTimes, cpuOf } from './measures.ts'
import { scale } from './scale.ts'

const clients = scale.size(100, 10)
const seconds = scale.size(6, 1)

export const encrypted: Benchmark = {
  name: 'realtime-encrypted',
  group: 'realtime',
  method:
    `A room of ${clients} who write 20 updates a second each for ${seconds} s, in a plaintext room (as y-websocket does it) and in an encrypted one (envelopes ` +
    'with a true header and no true content: the server does not look). Processor time of the server and its PostgreSQL by deliveries. Then ' +
    'one process opens envelopes of 64 bytes with the client package, 50 at a time.',
  run: async () => {
    const measure = async (dialect: Dialect) => {
      await using ours = await startOurs()
      const load = (room: string, time: number): LoadInput => ({
        targets: [{ ports: [ours.port], path: ours.path(room), room }],
        dialect,
        socketsPerRoom: clients,
        writersPerRoom: clients,
        messagesPerSecond: 20,
        seconds: time,
        contentBytes: 40,
      })
      await generate<LoadResult>('generators/realtime-load.ts', load(`${dialect}-first`, 1))
      const { result, cpu } = await cpuOf(ours.pid, () =>
        generate<LoadResult>('generators/realtime-load.ts', load(dialect, seconds)),
      )
      return { ...result, cpuUs: (cpu * 1e6) / result.deliveries }
    }
    const plain = await measure('y-websocket')
    const sealed = await measure('encrypted')
    const input: DecryptInput = { frames: scale.size(40_000, 2000), contentBytes: 64 }
    const opened = await generate<{ perSecond: number }>('generators/realtime-decrypt.ts', input)
    return {
      rows: [
        atMostTimes(
          `encrypted room of ${clients}, processor time a delivery, beside a plaintext room`,
          sealed.cpuUs,
          plain.cpuUs,
          1.1,
          'µs',
          2,
        ),
        {
          name: 'envelopes that a client opens',
          ours: perSecond(opened.perSecond),
          peer: '',
          ratio: `${(opened.perSecond / 20_000).toFixed(2)} of the least`,
          target: '≥ 20,000/s',
          met: opened.perSecond >= 20_000,
        },
      ],
      notes: [
        `Latency in the plaintext room p50 ${plain.p50.toFixed(1)}, p99 ${plain.p99.toFixed(1)} ms (delivered before the commit); in the encrypted one ` +
          `p50 ${sealed.p50.toFixed(1)}, p99 ${sealed.p99.toFixed(1)} ms (delivered after it).`,
      ],
    }
  },
}
