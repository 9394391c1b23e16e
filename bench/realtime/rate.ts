import type { LoadInput, LoadResult } from '../generators/realtime-load.ts'
import { generate } from '../support/processes.ts'
import { type Benchmark, type Row, times } from '../support/rows.ts'
import { type Contender, startHocuspocus, startOurs, startSocketIo, startYWebsocket } from './contenders.ts'
import { cpuOf } from './measures.ts'
import { scale } from './scale.ts'

const subscribers = scale.size(200, 20)
const seconds = scale.size(3, 1)
const rates = scale.tiny ? [20, 50] : [100, 500, 1000]

type Measured = { p50: number; p99: number; cpuUs: number }
let room = 0

async function measure({ pid, port, path, dialect }: Contender, messagesPerSecond: number): Promise<Measured> {
  const name = `rate-${room++}`
  const input: LoadInput = {
    targets: [{ ports: [port], path: path(name), room: name }],
    dialect,
    socketsPerRoom: subscribers,
    writersPerRoom: 1,
    messagesPerSecond,
    seconds,
    contentBytes: 40,
  }
  const { result, cpu } = await cpuOf(pid, () => generate<LoadResult>('generators/realtime-load.ts', input))
  return { p50: result.p50, p99: result.p99, cpuUs: (cpu * 1e6) / result.deliveries }
}

const words = ({ p50, p99, cpuUs }: Measured) =>
  `p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)} ms, ${cpuUs.toFixed(1)} µs CPU`

export const rate: Benchmark = {
  name: 'realtime-rate',
  group: 'realtime',
  method:
    `A room of ${subscribers} sockets in which one writes on a schedule for ${seconds} s; latency is from the moment of writing until the ` +
    'update is seen, of all receivers, and the processor time is that of the server and everything it started (ours with its PostgreSQL, ' +
    'which stores every update), joining included, by deliveries. The ratio is of the processor time, and a target of latencies is that neither is larger.',
  run: async () => {
    await using ours = await startOurs()
    await using yWebsocket = await startYWebsocket()
    await using hocuspocus = await startHocuspocus()
    await using socketIo = await startSocketIo()
    const rows: Row[] = []
    // What starts slowly because its code is new is not what is measured.
    for (const one of [ours, yWebsocket, hocuspocus, socketIo]) await measure(one, rates[0] as number)
    for (const messages of rates) {
      const isFast = messages === rates.at(-1) && !scale.tiny
      const mine = await measure(ours, messages)
      for (const peer of isFast ? [yWebsocket, hocuspocus] : [yWebsocket, hocuspocus, socketIo]) {
        const theirs = await measure(peer, messages)
        const share = mine.cpuUs / theirs.cpuUs
        const isTarget = !isFast || peer === hocuspocus
        const met = isFast
          ? share <= 0.35 && mine.p50 <= 6
          : share <= 0.65 && mine.p50 <= theirs.p50 && mine.p99 <= theirs.p99
        rows.push({
          name: `${(messages * subscribers) / 1000} k deliveries/s, beside ${peer.name}`,
          ours: words(mine),
          peer: words(theirs),
          ratio: times(share),
          target: isFast ? (isTarget ? 'CPU ≤ 0.35x, p50 ≤ 6 ms' : '–') : 'CPU ≤ 0.65x, p50 and p99 ≤ 1x',
          met: isTarget ? met : undefined,
        })
      }
    }
    return { rows, notes: [] }
  },
}
