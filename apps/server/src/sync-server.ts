import type { Config } from './config.ts'
import { openDatabase } from './database/index.ts'
import { joinNodes } from './domains/nodes/index.ts'
import { SyncEngine } from './domains/sync/index.ts'
import { createSyncPlane, type SocketData } from './faces/sync/plane.ts'
import { openGate, staticGate } from './faces/sync/static-gate.ts'
import { openCluster } from './kernel/cluster/index.ts'
import { createLog } from './kernel/log.ts'

export type SyncServer = {
  /** What a stock client takes as its server URL. */
  url: string
  port: number
  database: 'embedded' | 'postgres'
  warnings: string[]
  stop: () => Promise<void>
}

const loopback = new Set(['127.0.0.1', '::1', 'localhost'])
const shortToken = 16

/**
 * Serves realtime documents without an identity plane: open to whoever reaches the URL, or to whoever has the token.
 *
 * @param token undefined: everybody is in
 */
export async function startSyncPlane(config: Config, token: string | undefined): Promise<SyncServer> {
  const log = createLog(config.logLevel)
  const isLoopback = loopback.has(config.listen)
  const warnings: string[] = []
  if (token === undefined && !isLoopback)
    warnings.push(`there is no token: everybody who reaches ${config.listen} can read and write every document.`)
  if (token !== undefined && Buffer.byteLength(token) < shortToken)
    warnings.push(`the token is shorter than ${shortToken} bytes: it can be guessed.`)
  // Two writers are plenty here, and each database connection is a process with memory of its own.
  const database = await openDatabase(config, { tenantConnections: 1, systemConnections: 1 })
  const node = await joinNodes(database, { kind: 'sync', redis: config.redisUrl !== undefined, log })
  const cluster = openCluster({ redisUrl: config.redisUrl, scope: node.scope, nodeId: node.id, log })
  const engine = new SyncEngine({
    sql: database.systemSql,
    connect: database.connectSystem,
    log,
    lanes: 2,
    limits: config.syncLimits,
  })
  const gate =
    token === undefined
      ? openGate({ isLoopback })
      : staticGate({ token, wrongTokensPerMinute: engine.limits.wrongTokensPerMinute })
  const plane = createSyncPlane({ engine, gate, log })
  const server = Bun.serve<SocketData>({
    port: config.port,
    hostname: config.listen,
    maxRequestBodySize: 64 * 1024,
    fetch(request, server) {
      if (plane.handles(request)) return plane.fetch(request, server, server.requestIP(request)?.address ?? 'unknown')
      const { pathname } = new URL(request.url)
      if (pathname === '/healthz' || pathname === '/readyz') return readiness(pathname, engine, database)
      return new Response('Not found\n', { status: 404 })
    },
    websocket: plane.websocket,
  })
  plane.listen(server)
  const host = config.listen.includes(':') ? `[${config.listen}]` : isLoopback ? 'localhost' : config.listen
  return {
    url: `ws://${host}:${server.port}/sync`,
    port: server.port as number,
    database: database.kind,
    warnings,
    stop: async () => {
      await plane.stop()
      await server.stop(true)
      await cluster.close()
      await node.leave()
      await database.close()
    },
  }
}

async function readiness(
  pathname: string,
  engine: SyncEngine,
  database: { ping: () => Promise<void> },
): Promise<Response> {
  if (engine.draining) return new Response('draining\n', { status: 503 })
  if (pathname === '/readyz') {
    try {
      await database.ping()
    } catch {
      return new Response('the database does not answer\n', { status: 503 })
    }
  }
  return new Response('ok\n')
}
