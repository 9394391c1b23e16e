import { channelsOf } from '../../domains/channels/index.ts'
import {
  type Connection,
  changesRights,
  endedOrganization,
  judgeConnection,
  SyncEngine,
} from '../../domains/sync/index.ts'
import { refusals, watchPlane } from '../../kernel/metrics.ts'
import { createCtx, type Runtime } from '../../runtime.ts'
import { documentChannels } from '../realtime/document-channels.ts'
import { createSyncPlane, type SyncPlane } from './plane.ts'
import { tellAboutKeys } from './tell-about-keys.ts'
import { tokenGate } from './token-gate.ts'

export type { SocketData, SyncPlane } from './plane.ts'

const retries = 5

/** The realtime plane beside the identity plane: sockets follow sessions, memberships and roles. */
export function openSyncPlane(runtime: Runtime): SyncPlane {
  const { database, log, config } = runtime
  const engine = new SyncEngine({
    sql: database.systemSql,
    connect: database.connectSystem,
    log,
    limits: config.syncLimits,
    cluster: runtime.cluster,
  })
  const endWatch = watchPlane('sync', () => engine.stats)
  /** Counts what changed, to notice a change between the judgement of a token and the opening of its socket. */
  let changes = 0
  const gate = tokenGate(runtime)
  const channels = documentChannels({
    hub: () => channelsOf(database),
    log,
    types: (instanceId) => runtime.instances.find(instanceId)?.settings.channels.types ?? [],
    close: (connection, reason, message) => engine.close(connection, reason, message),
  })
  const plane = createSyncPlane({
    engine,
    onText: channels.receive,
    onClosed: channels.closed,
    log,
    gate: async (offer) => {
      const before = changes
      const admission = await gate(offer)
      return admission.admitted ? { ...admission, judgedAt: before } : admission
    },
    onJudged: (connection) => {
      if (connection.judgedAt !== changes) judgeAgain(runtime, engine, [connection], changes)
    },
    countRefusal: (code) => refusals.inc({ code }),
  })
  const unsubscribe = runtime.bus.subscribe((event) => {
    if (event.type === 'document.deleted') return engine.documentDeleted(event.instanceId, event.subject)
    // The log of the document grew by the record of it, and the members' next envelopes need the new key.
    if (event.type === 'documentKey.rotated')
      for (const room of engine.findRooms(event.instanceId, event.subject)) engine.catchUpSoon(room)
    if (event.type.startsWith('documentKey.')) tellAboutKeys(engine, event)
    const ids = changesRights(event)
    if (!ids) return
    changes++
    const concerned = engine.connectionsOf(event.instanceId, ids)
    const ended = endedOrganization(event)
    for (const connection of concerned) {
      if (ended === undefined || connection.principal.organizationId !== ended) continue
      concerned.delete(connection)
      engine.close(connection, 'forbidden', 'the organization was deleted')
    }
    judgeAgain(runtime, engine, concerned, changes)
  })
  return {
    ...plane,
    stop: async () => {
      unsubscribe()
      await plane.stop()
      endWatch()
    },
  }
}

/**
 * Judges live connections anew; one question for all that share a token. Who cannot be judged is cut off.
 *
 * @param change the newest change that this judgement knows of
 */
function judgeAgain(runtime: Runtime, engine: SyncEngine, connections: Iterable<Connection>, change: number): void {
  const groups = new Map<string, Connection[]>()
  for (const connection of connections) {
    const { principal, key, granted } = connection
    const { instanceId, kind, userId, sessionId, permissionVersion } = principal
    const group = [instanceId, kind, userId, sessionId, permissionVersion, granted, key].join(' ')
    const others = groups.get(group)
    if (others) others.push(connection)
    else groups.set(group, [connection])
  }
  for (const group of groups.values()) void judgeGroup(runtime, engine, group, change)
}

async function judgeGroup(
  runtime: Runtime,
  engine: SyncEngine,
  group: readonly Connection[],
  change: number,
): Promise<void> {
  const [first] = group
  if (!first) return
  for (let attempt = 1; ; attempt++) {
    try {
      const instance = runtime.instances.find(first.principal.instanceId)
      if (!instance) throw new Error('the instance is gone')
      const ctx = createCtx(runtime, instance, { type: 'system', job: 'sync' })
      const verdict = await judgeConnection(ctx, first.principal, first.key, first.granted)
      for (const connection of group) {
        // A judgement that took longer than a later one knows less.
        if (connection.judgedAt > change) continue
        connection.judgedAt = change
        if (verdict.allowed) engine.setAccess(connection, verdict.access)
        else engine.close(connection, verdict.reason, verdict.message)
      }
      return
    } catch (error) {
      runtime.log.warn({ err: error }, 'the rights of live sockets could not be read')
      if (attempt < retries) {
        await Bun.sleep(100)
        continue
      }
      for (const connection of group) engine.close(connection, 'storage_unavailable', 'rights cannot be checked now')
      return
    }
  }
}
