import { join } from 'node:path'
import type { PresenceInput, PresenceResult } from '../generators/realtime-presence.ts'
import { lineReader, startGenerator } from '../support/processes.ts'
import { type Benchmark, compare, type Row, times } from '../support/rows.ts'
import { type Contender, startHocuspocus, startOurs, startYWebsocket } from './contenders.ts'
import { atMostTimes, cpuSeconds } from './measures.ts'
import { scale } from './scale.ts'

const clients = scale.size(500, 30)
const seconds = scale.size(12, 3)

async function measure({ pid, port, path, dialect }: Contender): Promise<PresenceResult & { cpu: number }> {
  await using generator = startGenerator(join(import.meta.dir, '../generators/realtime-presence.ts'))
  const next = lineReader(generator)
  const input: PresenceInput = { port, path: path('presence'), room: 'presence', dialect, clients, seconds }
  generator.child.stdin.write(JSON.stringify(input))
  await generator.child.stdin.end()
  await next()
  const before = cpuSeconds(pid)
  const result = JSON.parse(await next()) as PresenceResult
  return { ...result, cpu: cpuSeconds(pid) - before }
}

export const presence: Benchmark = {
  name: 'realtime-presence',
  group: 'realtime',
  method:
    `${clients} people in a room who do nothing, as y-websocket’s client has them: each renews its presence every 15 s and sends every change ` +
    `that it hears of back to the server. Messages of presence that reached anybody, and processor time of the server with all that it started, in ${seconds} s.`,
  run: async () => {
    await using ours = await startOurs()
    const mine = await measure(ours)
    const rows: Row[] = []
    for (const start of [startYWebsocket, startHocuspocus]) {
      await using peer = await start()
      const theirs = await measure(peer)
      const ratio = mine.received / theirs.received
      rows.push(
        {
          ...compare(
            `messages of presence among ${clients} idle people, beside ${peer.name}`,
            mine.received / seconds,
            theirs.received / seconds,
            undefined,
          ),
          ratio: times(ratio),
          target: '≤ 0.1x',
          met: ratio <= 0.1,
        },
        atMostTimes(
          `processor time for ${clients} idle people, beside ${peer.name}`,
          mine.cpu,
          theirs.cpu,
          0.1,
          's',
          2,
        ),
      )
    }
    return { rows, notes: [`Each of the ${clients} knew of ${mine.known.toFixed(0)} others at ours.`] }
  },
}
