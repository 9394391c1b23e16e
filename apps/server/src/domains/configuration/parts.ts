import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { Pagination } from '../../kernel/pagination.ts'
import {
  addRolesToRoleSet,
  createPermission,
  createRole,
  createRoleSet,
  deletePermission,
  deleteRole,
  deleteRoleSet,
  listPermissions,
  listRoleSets,
  listRoles,
  type RoleSetRecord,
  removeRoleFromRoleSet,
  updatePermission,
  updateRole,
  updateRoleSet,
} from '../access/index.ts'
import { knownProviders, readConnections, removeConnection, setConnection } from '../connections/index.ts'
import { createFeature, deleteFeature, listFeatures, updateFeature } from '../features/index.ts'
import {
  createJwtTemplate,
  deleteJwtTemplate,
  listJwtTemplates,
  openSigningKey,
  updateJwtTemplate,
} from '../sessions/index.ts'
import {
  createWebhookEndpoint,
  deleteWebhookEndpoint,
  getWebhookSecret,
  listWebhookEndpoints,
  rotateWebhookSecret,
  updateWebhookEndpoint,
} from '../webhooks/index.ts'
import { Secret } from './references.ts'
import type { Configuration } from './schema.ts'

/** The parts of a file that hold things by key, in the order in which they are made; they go in the opposite order. */
export type PartName = 'permissions' | 'features' | 'roles' | 'roleSets' | 'jwtTemplates' | 'connections' | 'webhooks'
type Item<P extends PartName> = NonNullable<Configuration[P]>[string]

/** How a part is read and changed: by the verbs that every face calls, so their rules hold here too. */
export type Part<P extends PartName> = {
  name: P
  read: (tx: Tx) => Promise<Record<string, Item<P>>>
  /** Makes a thing, or changes the one that is there. */
  write: (tx: Tx, key: string, item: Item<P>, whole: Configuration) => Promise<void>
  remove: (tx: Tx, key: string) => Promise<void>
  /** Things that stay where a file does not name them. */
  stays?: (key: string) => boolean
  /** What a file says about a thing, with what it leaves open as it is held. */
  complete?: (item: Item<P>, held: Item<P> | undefined) => Item<P>
}

const everything: Pagination = { limit: 100_000, offset: 0 }

const permissions: Part<'permissions'> = {
  name: 'permissions',
  read: async (tx) => {
    const { data } = await listPermissions(tx, everything)
    const own = data.filter((p) => p.type === 'user')
    return Object.fromEntries(own.map(({ key, name, description }) => [key, { name, description }]))
  },
  write: async (tx, key, item) => {
    const id = await permissionIdOf(tx, key)
    await (id === undefined ? createPermission(tx, { key, ...item }) : updatePermission(tx, { id, ...item }))
  },
  remove: async (tx, key) => {
    const id = await permissionIdOf(tx, key)
    if (id !== undefined) await deletePermission(tx, id)
  },
}

async function permissionIdOf(tx: Tx, key: string): Promise<string | undefined> {
  const { data } = await listPermissions(tx, everything)
  return data.find((p) => p.key === key)?.id
}

const features: Part<'features'> = {
  name: 'features',
  read: async (tx) => {
    const { data } = await listFeatures(tx, everything)
    return Object.fromEntries(
      data.map(({ slug, name, description, enabled, defaultFor, avatarUrl }) => [
        slug,
        { name, description, enabled, defaultFor, avatarUrl: avatarUrl ?? undefined },
      ]),
    )
  },
  write: async (tx, slug, { avatarUrl = null, ...item }) => {
    const { data } = await listFeatures(tx, everything)
    const known = data.find((feature) => feature.slug === slug)
    await (known
      ? updateFeature(tx, { id: known.id, avatarUrl, ...item })
      : createFeature(tx, { slug, avatarUrl, ...item }))
  },
  remove: async (tx, slug) => {
    await deleteFeature(tx, slug)
  },
}

const roles: Part<'roles'> = {
  name: 'roles',
  read: async (tx) => {
    const { data } = await listRoles(tx, everything)
    return Object.fromEntries(
      data.map(({ key, name, description, permissions: granted }) => [
        key,
        { name, description, permissions: granted.map((p) => p.key).sort() },
      ]),
    )
  },
  write: async (tx, key, { name, description, permissions: wanted }, { roleSets: sets }) => {
    const { data } = await listPermissions(tx, everything)
    const permissionIds = wanted.map((permission) => {
      const known = data.find((p) => p.key === permission)
      if (!known)
        throw new UsherError('form_param_value_invalid', `roles.${key}: there is no permission "${permission}".`)
      return known.id
    })
    const id = await roleIdOf(tx, key)
    await (id === undefined
      ? // A file that says what the sets hold says it of this role too.
        createRole(tx, { key, name, description, permissionIds, inInitialRoleSet: sets === undefined })
      : updateRole(tx, { id, name, description, permissionIds }))
  },
  remove: async (tx, key) => {
    const id = await roleIdOf(tx, key)
    if (id !== undefined) await deleteRole(tx, id)
  },
  stays: (key) => key === 'org:admin' || key === 'org:member',
  complete: (item) => ({ ...item, permissions: inOrder(item.permissions) }),
}

/** Lists whose order says nothing: the same things in another order are no change. */
const inOrder = (keys: readonly string[]) => [...new Set(keys)].sort()

async function roleIdOf(tx: Tx, key: string): Promise<string | undefined> {
  const { data } = await listRoles(tx, everything)
  return data.find((role) => role.key === key)?.id
}

const roleSets: Part<'roleSets'> = {
  name: 'roleSets',
  read: async (tx) => {
    const { data } = await listRoleSets(tx, everything)
    return Object.fromEntries(
      data.map(({ key, name, description, type, roles: held, defaultRole, creatorRole }) => [
        key,
        {
          name,
          description,
          roles: held.map((role) => role.key).sort(),
          // Those of the initial set stand in the settings.
          defaultRole: type === 'initial' ? undefined : defaultRole.key,
          creatorRole: type === 'initial' ? undefined : creatorRole.key,
        },
      ]),
    )
  },
  write: async (tx, key, item) => {
    const known = await roleSetOf(tx, key)
    await (known ? changeRoleSet(tx, known, item) : createRoleSet(tx, { key, ...item, ...rolesForNew(item) }))
  },
  remove: async (tx, key) => {
    const known = await roleSetOf(tx, key)
    if (known) await deleteRoleSet(tx, known)
  },
  complete: (item) => ({ ...item, roles: inOrder(item.roles) }),
}

async function roleSetOf(tx: Tx, key: string): Promise<RoleSetRecord | undefined> {
  const { data } = await listRoleSets(tx, everything)
  return data.find((set) => set.key === key)
}

async function changeRoleSet(tx: Tx, known: RoleSetRecord, item: Item<'roleSets'>): Promise<void> {
  const isInitial = known.type === 'initial'
  if (isInitial && (item.defaultRole ?? item.creatorRole) !== undefined)
    throw new UsherError('form_param_value_invalid', 'settings.organizations names the roles of the initial set.')
  const { id } = known
  const missing = item.roles.filter((key) => !known.roles.some((role) => role.key === key))
  const forNew = isInitial ? {} : rolesForNew(item)
  if (missing.length > 0) await addRolesToRoleSet(tx, { id, roles: missing, ...forNew })
  const { roleSet } = await updateRoleSet(tx, { id, name: item.name, description: item.description, ...forNew })
  for (const role of roleSet.roles.filter(({ key }) => !item.roles.includes(key))) {
    if (role.membersCount > 0)
      throw new UsherError('role_in_use', `${role.key} cannot leave the set: ${role.membersCount} members have it.`)
    await removeRoleFromRoleSet(tx, { roleSet, role, to: roleSet.defaultRole })
  }
}

function rolesForNew({ defaultRole, creatorRole }: Item<'roleSets'>) {
  if (defaultRole !== undefined && creatorRole !== undefined) return { defaultRole, creatorRole }
  throw new UsherError('form_param_value_invalid', 'defaultRole and creatorRole are needed.')
}

const jwtTemplates: Part<'jwtTemplates'> = {
  name: 'jwtTemplates',
  read: async (tx) => {
    const { data } = await listJwtTemplates(tx, everything)
    const items = []
    for (const { id, name, claims, lifetime, allowedClockSkew, signingAlgorithm, customSigningKey } of data) {
      const signingKey = customSigningKey ? new Secret(await openSigningKey(tx, id)) : undefined
      items.push([name, { claims, lifetime, allowedClockSkew, signingAlgorithm, signingKey }] as const)
    }
    return Object.fromEntries(items)
  },
  write: async (tx, name, { signingKey, ...item }) => {
    const id = await templateIdOf(tx, name)
    const input = { name, ...item, customSigningKey: signingKey !== undefined, signingKey: signingKey?.reveal() }
    await (id === undefined ? createJwtTemplate(tx, input) : updateJwtTemplate(tx, { id, ...input }))
  },
  remove: async (tx, name) => {
    const id = await templateIdOf(tx, name)
    if (id !== undefined) await deleteJwtTemplate(tx, id)
  },
}

async function templateIdOf(tx: Tx, name: string): Promise<string | undefined> {
  const { data } = await listJwtTemplates(tx, everything)
  return data.find((template) => template.name === name)?.id
}

const nameOfProvider = (key: string) => knownProviders.find((provider) => provider.key === key)?.name ?? key

const connections: Part<'connections'> = {
  name: 'connections',
  read: async (tx) => {
    const rows = await readConnections(tx.db, tx.database.keyring, tx.instance.id)
    return Object.fromEntries(
      rows.map((row) => [
        row.provider,
        {
          name: row.name === nameOfProvider(row.provider) ? undefined : row.name,
          enabled: row.enabled,
          authenticatable: row.authenticatable,
          blockEmailSubaddresses: row.blockEmailSubaddresses,
          clientId: row.clientId ?? undefined,
          clientSecret: row.clientSecret === undefined ? undefined : new Secret(row.clientSecret),
          scopes: row.scopes,
          logoUrl: row.logoUrl ?? undefined,
          custom: row.custom ?? undefined,
        },
      ]),
    )
  },
  write: async (tx, provider, item) => {
    const { name = nameOfProvider(provider), clientId = null, clientSecret, logoUrl = null, custom, ...rest } = item
    await setConnection(
      tx.db,
      tx.database.keyring,
      tx.instance,
      {
        provider,
        ...rest,
        name,
        clientId,
        logoUrl,
        ...(custom && { custom }),
        // A variable that is not set leaves the stored secret alone; no secret at all takes it away.
        ...(clientSecret ? clientSecret.reveal() && { clientSecret: clientSecret.reveal() } : { clientSecret: null }),
      },
      tx.now(),
    )
  },
  remove: (tx, provider) => removeConnection(tx.db, tx.instance.id, provider),
}

const webhooks: Part<'webhooks'> = {
  name: 'webhooks',
  read: async (tx) => {
    const items = []
    for (const [key, { id, description, eventTypes, disabledAt }] of await endpointsByKey(tx)) {
      const secret = new Secret(await getWebhookSecret(tx, id))
      const enabled = disabledAt === null
      items.push([key, { description, eventTypes: eventTypes?.toSorted(), enabled, secret }] as const)
    }
    return Object.fromEntries(items)
  },
  write: async (tx, key, { description, eventTypes = null, enabled, secret }) => {
    const known = (await endpointsByKey(tx)).get(key)
    const given = secret?.reveal()
    const { id } =
      known ??
      (await createWebhookEndpoint(tx, { url: key.replace(/#\d+$/, ''), description, eventTypes, secret: given }))
        .endpoint
    await updateWebhookEndpoint(tx, { id, description, eventTypes, disabled: !enabled })
    // The one before signs beside it for a day.
    if (known && given !== undefined && given !== (await getWebhookSecret(tx, id)))
      await rotateWebhookSecret(tx, { id, secret: given })
  },
  remove: async (tx, key) => {
    const known = (await endpointsByKey(tx)).get(key)
    if (known) await deleteWebhookEndpoint(tx, known.id)
  },
  // Usher makes a secret where a file names none, and keeps it.
  complete: (item, held) => ({
    ...item,
    eventTypes: item.eventTypes?.length ? inOrder(item.eventTypes) : undefined,
    secret: item.secret ?? held?.secret,
  }),
}

/** An endpoint goes by its URL; of several with one URL the second has `#2` behind it. */
async function endpointsByKey(tx: Tx) {
  const { data } = await listWebhookEndpoints(tx, everything)
  const byKey = new Map<string, (typeof data)[number]>()
  for (const endpoint of data) {
    let key = endpoint.url
    for (let i = 2; byKey.has(key); i += 1) key = `${endpoint.url}#${i}`
    byKey.set(key, endpoint)
  }
  return byKey
}

// biome-ignore lint/suspicious/noExplicitAny: each part is asked with items of its own alone.
export const parts: readonly Part<any>[] = [permissions, features, roles, roleSets, jwtTemplates, connections, webhooks]
