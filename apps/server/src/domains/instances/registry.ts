import { asc, eq, isNull, sql } from 'drizzle-orm'
import type { Database, Db } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { hashToken, type Keyring, unseal } from '../../kernel/secrets.ts'
import { type ConnectionInput, openConnection, removeConnection, setConnection } from '../connections/connections.ts'
import { socialConnections } from '../connections/tables.ts'
import { busOf, type UsherEvent } from '../events/index.ts'
import { events } from '../events/tables.ts'
import { createInstance, type NewInstance } from './create-instance.ts'
import type { Instance, SigningKey } from './instance.ts'
import { cookieSuffixFor, publishableKeyFor } from './publishable-key.ts'
import { deleteRetiredKeys, type RotateInput, type Rotation, rotateSigningKey } from './rotate-signing-key.ts'
import { completeSettings, InstanceSettings } from './settings.ts'
import { instances, secretKeys, signingKeys } from './tables.ts'

export type InstanceSummary = {
  id: string
  name: string
  environment: 'development' | 'production'
  host: string
  publishableKey: string
  secretKey: string
}

/**
 * The instances of this server. Requests find theirs here without a query: all are held in memory and read again
 * when an event says that one changed.
 */
export class InstanceRegistry {
  private byId = new Map<string, Instance>()
  private byHost = new Map<string, Instance>()
  private bySecretKeyHash = new Map<string, Instance>()
  private defaultInstance: Instance | undefined
  private next: Promise<void> | undefined
  private readings = 0
  private lastReading = 0

  private readonly database: Database
  private readonly keyring: Keyring
  /** Host of the default instance's publishable key. It must hold a dot, so `localhost` will not do. */
  readonly defaultHost: string

  constructor(database: Database, keyring: Keyring, defaultHost: string) {
    this.database = database
    this.keyring = keyring
    this.defaultHost = defaultHost
  }

  /** Loads every instance; makes the first application with its development instance when there is none. */
  async start(): Promise<void> {
    await this.database.system.transaction(async (db) => {
      // Two nodes that start at once on an empty database must not both make one.
      await db.execute(sql`select pg_advisory_xact_lock(39130002)`)
      const [existing] = await db.select({ id: instances.id }).from(instances).where(isNull(instances.host)).limit(1)
      if (existing) return
      await createInstance(
        db,
        this.keyring,
        { name: 'development', environment: 'development', host: null },
        new Date(),
      )
    })
    await this.reload()
  }

  /** Reads the instances again; for all who ask in the same moment, once. */
  readAgain(): Promise<void> {
    this.next ??= Promise.resolve().then(() => {
      this.next = undefined
      return this.reload()
    })
    return this.next
  }

  async reload(): Promise<void> {
    this.readings += 1
    const reading = this.readings
    const [rows, keys, secrets, connections] = await Promise.all([
      this.database.system.select().from(instances).orderBy(asc(instances.createdAt)),
      this.database.system.select().from(signingKeys),
      this.database.system.select().from(secretKeys).where(isNull(secretKeys.revokedAt)),
      this.database.system.select().from(socialConnections).orderBy(asc(socialConnections.provider)),
    ])
    const known = this.byId
    const byId = new Map<string, Instance>()
    const byHost = new Map<string, Instance>()
    let defaultInstance: Instance | undefined
    for (const row of rows) {
      const host = row.host ?? this.defaultHost
      const publishableKey = publishableKeyFor(row.environment, host)
      const held = known.get(row.id)?.signingKeys ?? []
      const instance: Instance = {
        ...row,
        host,
        publishableKey,
        cookieSuffix: cookieSuffixFor(publishableKey),
        settings: completeSettings(row.name, row.settings),
        connections: connections
          .filter((c) => c.instanceId === row.id)
          .flatMap((c) => openConnection(this.keyring, c) ?? []),
        signingKeys: await Promise.all(
          keys
            .filter((k) => k.instanceId === row.id)
            .map((k) => held.find((h) => h.kid === k.id && h.state === k.state) ?? this.open(k)),
        ),
      }
      byId.set(row.id, instance)
      byHost.set(host, instance)
      if (row.host === null) defaultInstance = instance
    }
    // Of overlapping reloads the one that read last counts, and requests meanwhile find what was there.
    if (reading < this.lastReading) return
    this.lastReading = reading
    this.byId = byId
    this.byHost = byHost
    this.defaultInstance = defaultInstance
    this.bySecretKeyHash = new Map(
      secrets.flatMap((s) => {
        const instance = byId.get(s.instanceId)
        return instance ? [[s.keyHash, instance] as const] : []
      }),
    )
  }

  private async open(row: typeof signingKeys.$inferSelect): Promise<SigningKey> {
    const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
    const privateJwk = JSON.parse(unseal(this.keyring, `signing_key:${row.instanceId}`, row.sealedPrivateKey))
    return {
      kid: row.id,
      algorithm: row.algorithm,
      state: row.state,
      publicJwk: row.publicJwk,
      privateKey: await crypto.subtle.importKey('jwk', privateJwk, algorithm, false, ['sign']),
      publicKey: await crypto.subtle.importKey('jwk', row.publicJwk, algorithm, false, ['verify']),
    }
  }

  find(id: string): Instance | undefined {
    return this.byId.get(id)
  }

  findByHost(host: string): Instance | undefined {
    return this.byHost.get(host)
  }

  /** By hash, so that the comparison's time says nothing about the key. */
  findBySecretKey(secretKey: string): Instance | undefined {
    return this.bySecretKeyHash.get(hashToken(secretKey))
  }

  getDefault(): Instance {
    if (!this.defaultInstance) throw new UsherError('unavailable', 'The server has no instance yet.')
    return this.defaultInstance
  }

  list(): Instance[] {
    return [...this.byId.values()]
  }

  /** Changes something, tells this node and the others, and has read it when it returns. Nothing told: nothing changed. */
  private async change<T>(work: (db: Db, told: UsherEvent[]) => Promise<T>): Promise<T> {
    const told: UsherEvent[] = []
    const made = await this.database.system.transaction((db) => work(db, told))
    for (const event of told) busOf(this.database)?.announce(event)
    if (told.length > 0) await this.readAgain()
    return made
  }

  async create(input: NewInstance): Promise<InstanceSummary> {
    const { id } = await this.change(async (db, told) => {
      const made = await createInstance(db, this.keyring, input, new Date())
      told.push(await announce(db, made.id, 'instance.created'))
      return made
    })
    return this.summarize(id)
  }

  /**
   * Changes the named settings; within a section, those that are not named stay as they are.
   *
   * @throws {UsherError} `form_param_value_invalid` naming every problem
   */
  async changeSettings(id: string, change: unknown): Promise<InstanceSettings> {
    if (!isObject(change)) throw new UsherError('form_param_value_invalid', 'Settings are an object.')
    await this.change(async (db, told) => {
      // The row is locked, so that two changes at once both arrive.
      const [row] = await db.select().from(instances).where(eq(instances.id, id)).for('update')
      if (!row) throw new UsherError('resource_not_found', 'There is no such instance.')
      const settings: Record<string, unknown> = { ...row.settings }
      for (const [name, value] of Object.entries(change)) {
        const held = settings[name]
        settings[name] = isObject(value) && isObject(held) ? { ...held, ...value } : value
      }
      const parsed = InstanceSettings.partial().safeParse(settings)
      if (!parsed.success) {
        const problems = parsed.error.issues.map((i) => `${i.path.join('.') || 'settings'}: ${i.message}`).join('; ')
        throw new UsherError('form_param_value_invalid', problems)
      }
      await db
        .update(instances)
        .set({ settings: settings as Partial<InstanceSettings>, updatedAt: new Date() })
        .where(eq(instances.id, id))
      const changes = Object.keys(change).map((name) => `change settings.${name}`)
      told.push(await announce(db, id, 'instance.updated', changes))
    })
    const changed = this.byId.get(id)
    if (!changed) throw new UsherError('resource_not_found', 'There is no such instance.')
    return changed.settings
  }

  /** Offers a social provider, or changes what is said about one. @throws {UsherError} as `setConnection` */
  async setConnection(id: string, input: ConnectionInput): Promise<void> {
    const instance = this.byId.get(id)
    if (!instance) throw new UsherError('resource_not_found', 'There is no such instance.')
    await this.change(async (db, told) => {
      await setConnection(db, this.keyring, instance, input, new Date())
      told.push(await announce(db, id, 'instance.updated', [`change connections.${input.provider}`]))
    })
  }

  /** Takes a social provider away. @throws {UsherError} `resource_not_found` */
  async removeConnection(id: string, provider: string): Promise<void> {
    await this.change(async (db, told) => {
      await removeConnection(db, id, provider)
      told.push(await announce(db, id, 'instance.updated', [`remove connections.${provider}`]))
    })
  }

  /** Gives an instance a new signing key; running servers sign with it within a second. @see rotateSigningKey */
  async rotateSigningKey(input: RotateInput): Promise<Rotation> {
    return this.change(async (db, told) => {
      const made = await rotateSigningKey(db, this.keyring, input, new Date())
      told.push(await announce(db, input.instanceId, 'instance.updated', ['change signing key']))
      return made
    })
  }

  /** Deletes keys that have retired. @returns how many instances lost one */
  async deleteRetiredKeys(now = new Date()): Promise<number> {
    const changed = await this.change(async (db, told) => {
      const ids = await deleteRetiredKeys(db, now)
      for (const id of ids) told.push(await announce(db, id, 'instance.updated', ['remove retired signing keys']))
      return ids
    })
    return changed.length
  }

  async summarize(id: string): Promise<InstanceSummary> {
    const instance = this.byId.get(id)
    if (!instance) throw new UsherError('resource_not_found', 'There is no such instance.')
    const db: Db = this.database.system
    const [key] = await db
      .select()
      .from(secretKeys)
      .where(eq(secretKeys.instanceId, id))
      .orderBy(asc(secretKeys.createdAt))
      .limit(1)
    const { name, environment, host, publishableKey } = instance
    return {
      id,
      name,
      environment,
      host,
      publishableKey,
      secretKey: key ? unseal(this.keyring, `secret_key:${id}`, key.sealedKey) : '',
    }
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Tells running servers, this one included, to read the instances again. */
async function announce(
  db: Db,
  instanceId: string,
  type: 'instance.created' | 'instance.updated',
  changes: string[] = [],
): Promise<UsherEvent> {
  const actor = { type: 'system', job: 'operator' }
  const data = changes.length > 0 ? { changes } : {}
  const event = { instanceId, type, subject: instanceId, data }
  const [made] = await db
    .insert(events)
    .values({ ...event, actor, pending: true })
    .returning({ id: events.id })
  return { ...event, id: made?.id as number }
}
