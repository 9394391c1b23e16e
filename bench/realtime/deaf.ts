import type { LoadInput, LoadResult } from '../generators/realtime-load.ts'
import { generate, residentBytes } from '../support/processes.ts'
import { atMost, type Benchmark } from '../support/rows.ts'
import { type Contender, startOurs } from './contenders.ts'
import { atMostTimes } from './measures.ts'
import { scale } from './scale.ts'

const sockets = scale.size(200, 20)
const deaf = sockets / 10
const input = {
  socketsPerRoom: sockets,
  writersPerRoom: 1,
  messagesPerSecond: 40,
  seconds: scale.size(10, 2),
  contentBytes: 16_000,
}

async function measure(one: Contender, room: string, silent: number): Promise<LoadResult & { grown: number }> {
  const load: LoadInput = {
    ...input,
    targets: [{ ports: [one.port], path: one.path(room), room }],
    dialect: one.dialect,
    deaf: silent,
  }
  const before = residentBytes(one.pid)
  let most = before
  const watch = setInterval(() => {
    most = Math.max(most, residentBytes(one.pid))
  }, 50)
  const result = await generate<LoadResult>('generators/realtime-load.ts', load)
  clearInterval(watch)
  return { ...result, grown: most - before }
}

export const deafSockets: Benchmark = {
  name: 'realtime-slow-readers',
  group: 'realtime',
  method:
    `A room of ${sockets} sockets in which one writes 40 updates of 16 KB a second for ${input.seconds} s, once with all of them reading and once while ` +
    'a tenth has stopped: each of those is behind by more than the kernel’s buffers and our 4 MB before it is over. Memory is what the ' +
    'server’s process grew by at its most, beyond the growth with everybody reading, by the sockets that do not.',
  run: async () => {
    const all = await (async () => {
      await using ours = await startOurs()
      return await measure(ours, 'all-read', 0)
    })()
    await using ours = await startOurs()
    const some = await measure(ours, 'some-do-not', deaf)
    return {
      rows: [
        atMostTimes('latency (p99) while a tenth does not read, beside without them', some.p99, all.p99, 1.5, 'ms'),
        atMost(
          'memory for each socket that does not read',
          Math.max(0, some.grown - all.grown) / deaf / 1e6,
          4,
          'MB',
          1,
        ),
      ],
      notes: [],
    }
  },
}
