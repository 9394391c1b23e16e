import type { Config } from './config.ts'
import { type Database, openDatabase } from './database/index.ts'
import { type Challenge, openChallenge } from './domains/bot-check/index.ts'
import { useBreachedPasswords } from './domains/credentials/index.ts'
import { announceOn, EventBus } from './domains/events/index.ts'
import { type Instance, InstanceRegistry } from './domains/instances/index.ts'
import type { Actor, Ctx } from './kernel/ctx.ts'
import { createDns, type Dns } from './kernel/dns.ts'
import { createEgress, type Egress } from './kernel/egress.ts'
import { createLog, type Log } from './kernel/log.ts'

/** Host in the publishable key of the default instance, when no public URL says better. The SDKs demand a dot. */
const localHost = 'usher.localhost'

/** What one running server has: made once at start, handed to every face. */
export type Runtime = {
  config: Config
  database: Database
  instances: InstanceRegistry
  bus: EventBus
  log: Log
  now: () => Date
  /** The one way to fetch what somebody else named. */
  egress: Egress
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
    ...(options.visitor && { tenantConnections: 1, systemConnections: 1 }),
  })
  const publicHost = config.publicUrl && new URL(config.publicUrl).host
  const instances = new InstanceRegistry(database, config.keyring, publicHost?.includes('.') ? publicHost : localHost)
  await instances.start()
  const bus = new EventBus(database, log)
  announceOn(database, bus)
  bus.subscribe((event) => {
    if (!event.type.startsWith('instance.')) return
    instances.reload().catch((error) => log.error({ err: error }, 'the instances could not be read again'))
  })
  useBreachedPasswords(config.breachedPasswords)
  const egress = createEgress({ allow: config.egressAllow })
  const dns = createDns(config.dnsServers)
  const challenge = config.challengeProvider && openChallenge(config.challengeProvider)
  const publicUrl = config.publicUrl ?? ''
  return { config, database, instances, bus, log, egress, dns, challenge, now: () => new Date(), publicUrl }
}

/** The context of one caller. */
export function createCtx(runtime: Runtime, instance: Instance, actor: Actor, log: Log = runtime.log): Ctx {
  const { database, now, egress, dns } = runtime
  return { instance, actor, database, now, log, publicUrl: publicUrlOf(runtime, instance), egress, dns }
}

/** Where browsers reach an instance, from configuration alone. No trailing slash. */
export function publicUrlOf(runtime: Runtime, instance: Instance): string {
  if (instance.id === runtime.instances.getDefault().id) return runtime.publicUrl
  return `${runtime.publicUrl.split('//')[0] || 'https:'}//${instance.host}`
}
