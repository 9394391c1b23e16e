import type { Config } from './config.ts'
import { type Database, openDatabase } from './database/index.ts'
import { type Challenge, openChallenge } from './domains/bot-check/index.ts'
import { useBreachedPasswords, useHashCost } from './domains/credentials/index.ts'
import { announceOn, EventBus, EventSequencer, type UsherEvent } from './domains/events/index.ts'
import { type Instance, InstanceRegistry } from './domains/instances/index.ts'
import { clusterOptions, joinNodes, type Node } from './domains/nodes/index.ts'
import { VaultKeeper } from './domains/vault/index.ts'
import { createPost, type Post } from './domains/webhooks/index.ts'
import { type Cluster, LocalCluster, openCluster } from './kernel/cluster/index.ts'
import type { Actor, Ctx } from './kernel/ctx.ts'
import { createDns, type Dns } from './kernel/dns.ts'
import { createEgress, createEgressGuard, type Egress, type EgressGuard } from './kernel/egress.ts'
import { createLog, type Log } from './kernel/log.ts'
import { countTogether } from './kernel/rate-limit.ts'

/** Host in the publishable key of the default instance, when no public URL says better. The SDKs demand a dot. */
const localHost = 'usher.localhost'

/** What one running server has: made once at start, handed to every face. */
export type Runtime = {
  config: Config
  database: Database
  /** This server among those on its database. Absent: a command, which is none of them. */
  node: Node | undefined
  /** What the nodes say to each other. */
  cluster: Cluster
  instances: InstanceRegistry
  bus: EventBus
  /** Puts events in order; from then on webhooks and other readers have them. */
  sequencer: EventSequencer
  log: Log
  now: () => Date
  /** The one way to fetch what somebody else named. */
  egress: Egress
  /** What decides for it where it may go. */
  egressGuard: EgressGuard
  /** Delivers a webhook. */
  webhookPost: Post
  dns: Dns
  /** Absent: no provider of challenges is configured. */
  challenge: Challenge | undefined
  /** The only source of URLs. Known once the port is. */
  publicUrl: string
}

/** Opens everything below the faces. */
export async function openRuntime(config: Config, options: { visitor?: boolean } = {}): Promise<Runtime> {
  const log = createLog(config.logLevel)
  const database = await openDatabase(config, {
    visitor: options.visitor,
    log,
    ...(options.visitor && { tenantConnections: 1, systemConnections: 1 }),
  })
  const node = options.visitor
    ? undefined
    : await joinNodes(database, { kind: 'server', redis: !!config.redisUrl, log })
  const cluster = node ? openCluster(clusterOptions(config, node, log)) : new LocalCluster('')
  countTogether(database, cluster)
  const publicHost = config.publicUrl && new URL(config.publicUrl).host
  const instances = new InstanceRegistry(database, config.keyring, publicHost?.includes('.') ? publicHost : localHost)
  await instances.start()
  // Keys and sockets are judged by settings when an event says that they changed: they are read before anybody hears of it.
  const prepare = ({ type }: UsherEvent) => (type.startsWith('instance.') ? instances.readAgain() : undefined)
  const bus = new EventBus(database, log, { cluster, prepare })
  announceOn(database, bus)
  useBreachedPasswords(config.breachedPasswords)
  useHashCost(config.passwordCost)
  const egressGuard = createEgressGuard({ allow: config.egressAllow })
  const egress = createEgress({ guard: egressGuard })
  const webhookPost = createPost({ guard: egressGuard })
  const dns = createDns(config.dnsServers)
  const challenge = config.challengeProvider && openChallenge(config.challengeProvider)
  const publicUrl = config.publicUrl ?? ''
  const sequencer = new EventSequencer(database, log)
  const now = () => new Date()
  const runtime: Runtime = {
    config,
    database,
    node,
    cluster,
    instances,
    bus,
    sequencer,
    log,
    egress,
    egressGuard,
    webhookPost,
    dns,
    challenge,
    now,
    publicUrl,
  }
  // What a command changes, running servers hear of.
  if (node) new VaultKeeper({ bus, ctxOf: (id) => systemCtx(runtime, id, 'vault'), log })
  return runtime
}

function systemCtx(runtime: Runtime, instanceId: string, job: string): Ctx | undefined {
  const instance = runtime.instances.find(instanceId)
  return instance && createCtx(runtime, instance, { type: 'system', job })
}

/** The context of one caller. @param request where the caller asks from, if by a request */
export function createCtx(
  runtime: Runtime,
  instance: Instance,
  actor: Actor,
  log: Log = runtime.log,
  request?: Ctx['request'],
): Ctx {
  const { database, now, egress, egressGuard, dns } = runtime
  const publicUrl = publicUrlOf(runtime, instance)
  return { instance, actor, request, database, now, log, publicUrl, egress, egressGuard, dns }
}

/**
 * Where browsers reach an instance, from configuration alone. No trailing slash. A production instance is behind TLS,
 * also where the server's own development instance is not.
 */
export function publicUrlOf(runtime: Runtime, instance: Instance): string {
  if (instance.id === runtime.instances.getDefault().id) return runtime.publicUrl
  const isLocal = /(^|\.)localhost(:\d+)?$/.test(instance.host)
  if (instance.environment === 'production' && !isLocal) return `https://${instance.host}`
  return `${runtime.publicUrl.split('//')[0] || 'https:'}//${instance.host}`
}
