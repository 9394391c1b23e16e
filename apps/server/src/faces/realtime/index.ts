import {
  authChannel,
  ChannelHub,
  deleteChannels,
  documentChannel,
  judgeChannels,
  useChannels,
} from '../../domains/channels/index.ts'
import type { UsherEvent } from '../../domains/events/index.ts'
import { changesRights, defaultLimits } from '../../domains/sync/index.ts'
import type { Log } from '../../kernel/log.ts'
import { countChannelFrames, refusals, watchPlane } from '../../kernel/metrics.ts'
import { createCtx, type Runtime } from '../../runtime.ts'
import { createAdmission, instanceOf, isAllowedOrigin } from './admit.ts'
import { RealtimePlane } from './plane.ts'

export { RealtimeSocket } from './socket.ts'
export { RealtimePlane }

export type OpenRealtime = {
  plane: RealtimePlane
  hub: ChannelHub
  /** Says which server hands texts to its sockets. */
  listen: (server: { publish(topic: string, text: string): unknown; subscriberCount(topic: string): number }) => void
  stop: () => Promise<void>
}

/** The plane of channels beside the identity plane: sockets follow sessions, memberships, roles and settings. */
export function openRealtimePlane(runtime: Runtime): OpenRealtime {
  const { bus, cluster, config, database, log } = runtime
  const hub = new ChannelHub({ sql: database.systemSql, connect: database.connectSystem, cluster, log })
  useChannels(database, hub)
  let changes = 0
  const plane = new RealtimePlane({
    hub,
    log,
    limits: { ...defaultLimits, ...config.syncLimits },
    isAllowedOrigin: (host, origin) => isAllowedOrigin(runtime, instanceOf(runtime, host), origin),
    admit: createAdmission(runtime),
    cluster,
    judge: async (principal, names) => {
      const instance = runtime.instances.find(principal.instanceId)
      if (!instance) return { isSignedIn: false, verdicts: new Map() }
      return judgeChannels(createCtx(runtime, instance, { type: 'system', job: 'channels' }), principal, names)
    },
    changes: () => changes,
    countRefusal: (code) => refusals.inc({ code }),
  })
  /** What was said in channels of somebody or something that is gone goes too. */
  function forgetOwned({ type, subject, instanceId }: UsherEvent) {
    const owned = ownedBy(type, subject)
    if (owned === undefined) return
    const isPrefix = type !== 'document.deleted'
    hub.forget(instanceId, owned, isPrefix)
    deleteChannels(database.systemSql, instanceId, owned, isPrefix).catch((error) =>
      log.error({ err: error }, 'channels whose owner is gone could not be deleted'),
    )
  }
  const endWatch = watchPlane('realtime', () => ({ connections: plane.sockets.size, rooms: hub.size }))
  const unsubscribe = bus.subscribe((event) => {
    forgetOwned(event)
    if (event.type === 'document.deleted')
      for (const data of plane.ofDocument(event.instanceId, event.subject)) void plane.judgeAgain(data)
    const ids = changesRights(event)
    if (!ids) return
    changes++
    for (const data of plane.of(event.instanceId, ids)) void plane.judgeAgain(data)
    announceAuth(hub, log, event, ids)
  })
  return {
    plane,
    hub,
    listen: (server) => {
      hub.publish = (topic, text) => {
        countChannelFrames(server.subscriberCount(topic), text.length)
        return server.publish(topic, text)
      }
    },
    stop: async () => {
      unsubscribe()
      await plane.stop(20_000)
      await hub.stop()
      endWatch()
    },
  }
}

/**
 * Tells who holds a person's session elsewhere: each node tells those who listen on it, because each hears of every
 * event by itself.
 */
function announceAuth(hub: ChannelHub, log: Log, event: UsherEvent, ids: ReadonlySet<string> | 'everyone') {
  const { instanceId, type, data, subject } = event
  const isEnd = /^session\.(ended|removed|replaced|revoked)$/.test(type)
  for (const channel of hub.inUse(instanceId)) {
    const [, userId] = channel.name.match(/^user:(user_[A-Za-z0-9]+):auth$/) ?? []
    // An event of an organization or a role names nobody: it may be anybody's.
    const names = ids !== 'everyone' && [...ids].some((id) => id.startsWith('user_'))
    if (userId === undefined || (names && !ids.has(userId))) continue
    const isGone = isEnd || type === 'user.deleted' || (type === 'user.updated' && data.banned === true)
    const payload = JSON.stringify(isEnd ? { session_id: subject } : {})
    hub
      .send({
        instanceId,
        channel: authChannel(userId),
        type: { history: 'none', retentionDays: 0 },
        name: isGone ? 'revoked' : 'changed',
        payload,
        from: { user: null, conn: null },
        isLocal: true,
      })
      .catch((error) => log.error({ err: error }, 'a change of rights could not be announced'))
  }
}

/** What the names of the channels begin with that are gone with this event, or the name of the one. */
function ownedBy(type: string, subject: string): string | undefined {
  if (type === 'user.deleted') return `user:${subject}:`
  if (type === 'organization.deleted') return `org:${subject}:`
  // The name of one: an id may end with a colon, and is no beginning of others then.
  return type === 'document.deleted' ? documentChannel(subject) : undefined
}
