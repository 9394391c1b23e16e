import type { FanOutInput, FanOutResult } from '../generators/fan-out.ts'
import { generate } from '../support/processes.ts'
import { inTurns } from '../support/rounds.ts'
import { type Benchmark, compare, type Row } from '../support/rows.ts'
import { markerEvery } from '../support/yjs-updates.ts'
import {
  type Contender,
  startBareBun,
  startHocuspocus,
  startOurs,
  startSocketIo,
  startWsRelay,
  startYWebsocket,
} from './contenders.ts'
import { scale } from './scale.ts'

/** Long enough for a steady state, short enough to take turns. */
const roundSeconds = scale.tiny ? 0.2 : 1.2
const shapes = [
  {
    name: `one room of ${scale.size(200, 20)}`,
    rooms: 1,
    subscribers: scale.size(200, 20),
    rounds: scale.size(3, 1),
    relays: true,
  },
  {
    name: `${scale.size(100, 5)} rooms of ${scale.size(50, 5)}`,
    rooms: scale.size(100, 5),
    subscribers: scale.size(50, 5),
    rounds: scale.size(2, 1),
    relays: false,
  },
]

let flooded = 0

/** A contender that is flooded round by round, with as many updates as the round before says that the time allows. */
function flooder({ port, path, dialect }: Contender, shape: (typeof shapes)[number]) {
  let updates = markerEvery * 8
  return async (): Promise<number> => {
    // Each flood has rooms of its own: what a document holds already must not make the next one slower.
    const rooms = Array.from({ length: shape.rooms }, () => `flood-${flooded++}`).map((room) => ({
      room,
      path: path(room),
    }))
    const input: FanOutInput = { port, dialect, rooms, subscribersPerRoom: shape.subscribers, updates }
    const { deliveriesPerSecond } = await generate<FanOutResult>('generators/fan-out.ts', input)
    const fitting = (deliveriesPerSecond / shape.rooms / shape.subscribers) * roundSeconds
    updates = Math.min(markerEvery * 4000, Math.max(markerEvery * 2, Math.round(fitting / markerEvery) * markerEvery))
    return deliveriesPerSecond
  }
}

export const flood: Benchmark = {
  name: 'realtime-flood',
  group: 'realtime',
  method:
    'One publisher in each room writes 64-byte Yjs updates (text of that length to Socket.IO) as fast as its socket takes them, to a ' +
    'room that it is in itself; deliveries are counted by markers in the content, until the last socket has the last update. Ours ' +
    'checks every update, stores it in PostgreSQL (fsync), which shares the core, and echoes it to its author after the commit; the ' +
    'peers keep documents in memory or nothing at all, so that the same row answers for durable delivery. Limits of one connection are lifted.',
  run: async () => {
    await using ours = await startOurs()
    await using yWebsocket = await startYWebsocket()
    await using hocuspocus = await startHocuspocus()
    await using socketIo = await startSocketIo()
    await using wsRelay = await startWsRelay()
    await using bare = await startBareBun()
    const contenders = { ours, yWebsocket, hocuspocus, socketIo, wsRelay, bare }
    const rows: Row[] = []
    for (const shape of shapes) {
      const floods = Object.fromEntries(
        Object.entries(contenders)
          .filter(([, one]) => shape.relays || (one !== socketIo && one !== wsRelay))
          .map(([name, one]) => [name, flooder(one, shape)]),
      ) as Record<keyof typeof contenders, () => Promise<number>>
      // The first ones only find out how many updates fill the time.
      for (const round of Object.values(floods)) {
        await round()
        if (shape.relays && !scale.tiny) await round()
      }
      const rates = await inTurns(shape.rounds, floods)
      const row = (peer: Exclude<keyof typeof contenders, 'ours'>, target: number | undefined) =>
        compare(`deliveries in ${shape.name}, beside ${contenders[peer].name}`, rates.ours, rates[peer], target)
      rows.push(row('yWebsocket', 10), row('hocuspocus', 1.5), row('bare', 0.6))
      if (shape.relays) rows.push(row('socketIo', undefined), row('wsRelay', undefined))
    }
    return { rows, notes: [] }
  },
}
