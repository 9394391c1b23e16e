import { join } from 'node:path'
import type { FanOutInput, FanOutResult } from './generators/fan-out.ts'
import {
  firstLine,
  freePort,
  generate,
  type RunningProcess,
  root,
  startServer,
  temporaryDirectory,
  waitForPort,
} from './support/processes.ts'
import { inTurns } from './support/rounds.ts'
import { type Benchmark, compare } from './support/rows.ts'
import { markerEvery } from './support/yjs-updates.ts'

const subscribers = 100
const rounds = 5
/** Long enough for a steady state, short enough to take turns. */
const roundSeconds = 1.2
/** A flood is what the limits of one connection are there to prevent; its 256 KB of uncommitted bytes stay. */
const lifted = [
  'messagesPerSecond',
  'messagesBurst',
  'bytesPerSecond',
  'bytesBurst',
  'upgradesPerIpBurst',
  'backlogFrames',
  'uncommittedFrames',
]
  .map((name) => `${name}=1000000000`)
  .join(',')
const modules = join(import.meta.dir, 'node_modules')

type Contender = AsyncDisposable & {
  /** Updates of the next flood: as many as the one before says that the time allows. */
  updates: number
  flood: (updates: number) => Promise<FanOutResult>
}

let room = 0

function contender(
  server: RunningProcess,
  port: number,
  path: (room: string) => string,
  dialect: FanOutInput['dialect'],
): Contender {
  return {
    updates: 0,
    // Each flood has a room of its own: what a document holds already must not make the next one slower.
    flood: (updates) => {
      const name = `bench-${room++}`
      return generate<FanOutResult>('generators/fan-out.ts', {
        port,
        rooms: [{ path: path(name), room: name }],
        subscribersPerRoom: subscribers,
        updates,
        dialect,
      } satisfies FanOutInput)
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

async function startPeer(
  command: string[],
  path: (room: string) => string,
  dialect: FanOutInput['dialect'],
): Promise<Contender> {
  const port = await freePort()
  const server = startServer(command, { env: { PORT: String(port), HOST: '127.0.0.1' }, cwd: import.meta.dir })
  await waitForPort(port, server)
  return contender(server, port, path, dialect)
}

async function startOurs(data: string): Promise<Contender> {
  const main = join(root, 'apps/server/src/main.ts')
  const server = startServer(
    [process.execPath, main, 'sync-server', 'start', '--port', '0', '--data', data, '--json'],
    {
      env: { USHER_SYNC_LIMITS: lifted },
    },
  )
  const { url } = JSON.parse(await firstLine(server))
  return contender(server, Number(new URL(url).port), (name) => `/sync/${name}`, 'y-websocket')
}

/** One round; the first one only finds out how many updates fill the time. */
async function flood(one: Contender): Promise<number> {
  if (one.updates === 0) one.updates = markerEvery * 32
  const { deliveriesPerSecond } = await one.flood(one.updates)
  const fitting = (deliveriesPerSecond / subscribers) * roundSeconds
  one.updates = Math.min(markerEvery * 4000, Math.max(markerEvery * 8, Math.round(fitting / markerEvery) * markerEvery))
  return deliveriesPerSecond
}

export const fanOut: Benchmark = {
  name: 'fan-out',
  method:
    `One room of ${subscribers} sockets, the publisher among them. It writes 64-byte Yjs updates as fast as its socket takes ` +
    'them; a delivery is one update that reached one socket, counted by markers in the content, so batching does not ' +
    'count twice. The time ends when the last socket has the last update. Ours runs as `usher sync-server start`: every ' +
    'update is checked, stored in PostgreSQL (fsync) and echoed to its author after the commit, with the rates and ' +
    'frame counts of one connection lifted, and PostgreSQL shares the core with it. The peers keep documents in memory only; bare Bun ' +
    'publish keeps and checks nothing.',
  run: async () => {
    using data = temporaryDirectory()
    await using ours = await startOurs(data.path)
    await using yWebsocket = await startPeer(
      ['node', join(modules, 'y-websocket-2/bin/server.cjs')],
      (name) => `/${name}`,
      'y-websocket',
    )
    await using hocuspocus = await startPeer(
      ['node', join(import.meta.dir, 'peers/hocuspocus.mjs')],
      () => '/',
      'hocuspocus',
    )
    await using bare = await startPeer(
      [process.execPath, join(import.meta.dir, 'peers/bare-publish.ts')],
      () => '/',
      'y-websocket',
    )
    const contenders = { ours, yWebsocket, hocuspocus, bare }
    for (const one of Object.values(contenders)) {
      await flood(one)
      await flood(one)
    }
    const rates = await inTurns(rounds, {
      ours: () => flood(ours),
      yWebsocket: () => flood(yWebsocket),
      hocuspocus: () => flood(hocuspocus),
      bare: () => flood(bare),
    })
    return {
      rows: [
        compare(
          `deliveries in a room of ${subscribers}, beside y-websocket 2.1 server`,
          rates.ours,
          rates.yWebsocket,
          10,
        ),
        compare(
          `deliveries in a room of ${subscribers}, beside Hocuspocus 4.7 (batching)`,
          rates.ours,
          rates.hocuspocus,
          1.5,
        ),
        compare(`deliveries in a room of ${subscribers}, beside bare Bun publish`, rates.ours, rates.bare, 0.6),
      ],
      notes: [],
    }
  },
}
