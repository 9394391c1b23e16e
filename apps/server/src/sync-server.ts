import type { SyncCredentials } from './commands/sync-credentials.ts'
import type { Config } from './config.ts'
import { openDatabase } from './database/index.ts'
import { ChannelHub } from './domains/channels/index.ts'
import { clusterOptions, joinNodes } from './domains/nodes/index.ts'
import { ExternalIssuers, SyncEngine } from './domains/sync/index.ts'
import { clientIp } from './faces/client-ip.ts'
import { watchPeers } from './faces/liveness.ts'
import { answerMetrics } from './faces/metrics.ts'
import { documentChannels } from './faces/realtime/document-channels.ts'
import type { Gate } from './faces/sync/credentials.ts'
import { externalGate } from './faces/sync/external-gate.ts'
import { createSyncPlane, type SocketData } from './faces/sync/plane.ts'
import { openGate, type StaticGate, standaloneInstance, staticGate } from './faces/sync/static-gate.ts'
import { openCluster } from './kernel/cluster/index.ts'
import { createEgress } from './kernel/egress.ts'
import { listen } from './kernel/listen.ts'
import { createLog, type Log } from './kernel/log.ts'
import { refusals, watchPlane } from './kernel/metrics.ts'

export type SyncServer = {
  /** What a stock client takes as its server URL. */
  url: string
  port: number
  database: 'embedded' | 'postgres'
  warnings: string[]
  /** Reads again what may change without a restart: the file of tokens. */
  reload: () => void
  stop: () => Promise<void>
}

const loopback = new Set(['127.0.0.1', '::1', 'localhost'])
const shortToken = 16

/**
 * Serves realtime documents without an identity plane: open to whoever reaches the URL, to whoever has a shared token,
 * or to whom another issuer vouches for.
 */
export async function startSyncPlane(config: Config, credentials: SyncCredentials): Promise<SyncServer> {
  const log = createLog(config.logLevel)
  const isLoopback = loopback.has(config.listen)
  const warnings = warningsOf(config, credentials, isLoopback)
  // Two writers are plenty here, and each database connection is a process with memory of its own.
  const database = await openDatabase(config, { tenantConnections: 1, systemConnections: 1, log })
  const node = await joinNodes(database, { kind: 'sync', redis: config.redisUrl !== undefined, log })
  const cluster = openCluster(clusterOptions(config, node, log))
  const engine = new SyncEngine({
    sql: database.systemSql,
    connect: database.connectSystem,
    log,
    lanes: 2,
    limits: config.syncLimits,
    cluster,
  })
  const tokens =
    credentials.kind === 'static'
      ? staticGate({ tokens: credentials.read(), wrongTokensPerMinute: engine.limits.wrongTokensPerMinute })
      : undefined
  const gate = tokens?.gate ?? gateOf(config, credentials, isLoopback)
  const channels = new ChannelHub({ sql: database.systemSql, connect: database.connectSystem, cluster, log })
  const { receive: onText, closed: onClosed } = documentChannels({
    hub: () => channels,
    log,
    types: () => [],
    close: (connection, reason, message) => engine.close(connection, reason, message),
  })
  const countRefusal = (code: string) => refusals.inc({ code })
  const plane = createSyncPlane({ engine, gate, log, onText, onClosed, countRefusal })
  const endWatch = watchPlane('sync', () => engine.stats)
  const close = async () => {
    await cluster.close()
    await node.leave()
    await database.close()
  }
  const server = await listen<SocketData>(close, {
    port: config.port,
    hostname: config.listen,
    maxRequestBodySize: 64 * 1024,
    fetch(request, server) {
      const ip = clientIp(request, server, config.trustedProxies)
      if (plane.handles(request)) return plane.fetch(request, server, ip)
      const { pathname } = new URL(request.url)
      if (pathname === '/metrics') return answerMetrics(request, ip, config.metricsToken)
      if (pathname === '/healthz' || pathname === '/readyz') return readiness(pathname, engine, database)
      return new Response('Not found\n', { status: 404 })
    },
    websocket: watchPeers(plane.websocket),
  })
  plane.listen(server)
  channels.publish = (topic, text) => server.publish(topic, text)
  const host = config.listen.includes(':') ? `[${config.listen}]` : isLoopback ? 'localhost' : config.listen
  return {
    url: `ws://${host}:${server.port}/sync`,
    port: server.port as number,
    database: database.kind,
    warnings,
    reload: () => {
      if (tokens && credentials.kind === 'static') replaceTokens(engine, tokens, credentials.read, log)
    },
    stop: async () => {
      await plane.stop()
      await channels.stop()
      endWatch()
      await server.stop(true)
      await close()
    },
  }
}

function warningsOf(config: Config, credentials: SyncCredentials, isLoopback: boolean): string[] {
  switch (credentials.kind) {
    case 'open':
      return isLoopback
        ? []
        : [`there is no token: everybody who reaches ${config.listen} can read and write every document.`]
    case 'static':
      return credentials.read().some((token) => Buffer.byteLength(token) < shortToken)
        ? [`the token is shorter than ${shortToken} bytes: it can be guessed.`]
        : []
    case 'issuer':
      return credentials.everyDocument
        ? ['there are no rules: who has a token for this audience can read and write every document.']
        : []
  }
}

function gateOf(config: Config, credentials: SyncCredentials, isLoopback: boolean): Gate {
  if (credentials.kind !== 'issuer') return openGate({ isLoopback })
  const issuers = new ExternalIssuers(createEgress({ allow: config.egressAllow }))
  return externalGate({ issuers, issuer: credentials.issuer })
}

/** Takes other tokens and sends away who came in with one that is gone. A file that is no good changes nothing. */
function replaceTokens(engine: SyncEngine, tokens: StaticGate, read: () => string[], log: Log): void {
  try {
    tokens.replace(read())
  } catch (error) {
    log.error({ err: error }, 'the file of tokens was not taken; those before hold')
    return
  }
  for (const connection of engine.connectionsOf(standaloneInstance, 'everyone'))
    if (!tokens.holds(connection.principal)) engine.close(connection, 'unauthenticated', 'the token no longer counts')
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
