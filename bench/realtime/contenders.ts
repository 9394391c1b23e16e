import { join } from 'node:path'
import {
  firstLine,
  freePort,
  type RunningProcess,
  root,
  startServer,
  temporaryDirectory,
  waitForPort,
} from '../support/processes.ts'
import type { Dialect } from './dialects.ts'

/** A server that can be loaded: ours or a peer. */
export type Contender = AsyncDisposable & {
  name: string
  pid: number
  port: number
  dialect: Dialect
  /** Address of a room. */
  path: (room: string) => string
}

/** What one client may do is not what is measured; its 256 KB of uncommitted bytes stay. */
export const liftedLimits = [
  'messagesPerSecond',
  'messagesBurst',
  'bytesPerSecond',
  'bytesBurst',
  'awarenessPerSecond',
  'upgradesPerIpPerSecond',
  'upgradesPerIpBurst',
  'upgradesPerSecond',
  'backlogFrames',
  'uncommittedFrames',
  'connectionsPerRoom',
  'roomPendingBytes',
]
  .map((name) => `${name}=1000000000`)
  .join(',')

const here = join(import.meta.dir, '..')

async function startPeer(
  name: string,
  command: string[],
  path: (room: string) => string,
  dialect: Dialect,
  env: Record<string, string> = {},
) {
  const port = await freePort()
  const server = startServer(command, { env: { PORT: String(port), HOST: '127.0.0.1', ...env }, cwd: here })
  await waitForPort(port, server)
  return contender(name, server, port, path, dialect)
}

function contender(
  name: string,
  server: RunningProcess,
  port: number,
  path: (room: string) => string,
  dialect: Dialect,
): Contender {
  return { name, pid: server.pid, port, path, dialect, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

/** `usher sync-server start`: checks and stores every update, in a PostgreSQL that counts as a part of it. */
export async function startOurs(options: { data?: string; env?: Record<string, string> } = {}): Promise<Contender> {
  const own = options.data === undefined ? temporaryDirectory() : undefined
  const data = options.data ?? own?.path ?? ''
  const main = join(root, 'apps/server/src/main.ts')
  const command = [process.execPath, main, 'sync-server', 'start', '--port', '0', '--data', data, '--json']
  const server = startServer(command, { env: { USHER_SYNC_LIMITS: liftedLimits, ...options.env } })
  const { url } = JSON.parse(await firstLine(server)) as { url: string }
  const started = contender('ours', server, Number(new URL(url).port), (room) => `/sync/${room}`, 'y-websocket')
  return {
    ...started,
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]()
      own?.[Symbol.dispose]()
    },
  }
}

export const startYWebsocket = () =>
  startPeer(
    'y-websocket 2.1',
    ['node', join(here, 'node_modules/y-websocket-2/bin/server.cjs')],
    (room) => `/${room}`,
    'y-websocket',
  )

export const startHocuspocus = () =>
  startPeer('Hocuspocus 4.7', ['node', join(here, 'peers/hocuspocus.mjs')], () => '/', 'hocuspocus')

export const startSocketIo = () =>
  startPeer(
    'Socket.IO 4.8',
    ['node', join(here, 'peers/socket-io.mjs')],
    () => '/socket.io/?EIO=4&transport=websocket',
    'socket.io',
  )

export const startWsRelay = () =>
  startPeer('ws relay', ['node', join(here, 'peers/ws-relay.mjs')], (room) => `/${room}`, 'y-websocket')

export const startBareBun = () =>
  startPeer('bare Bun', [process.execPath, join(here, 'peers/bare-publish.ts')], (room) => `/${room}`, 'y-websocket')

/** @param postgres path of its socket */
export const startBareCommits = (postgres: string) =>
  startPeer(
    'bare Bun with that statement',
    [process.execPath, join(here, 'peers/bare-commits.ts')],
    (room) => `/${room}`,
    'y-websocket',
    { POSTGRES: postgres },
  )
