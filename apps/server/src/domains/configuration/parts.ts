import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { Pagination } from '../../kernel/pagination.ts'
import {
  createPermission,
  createRole,
  deletePermission,
  deleteRole,
  listPermissions,
  listRoles,
  updatePermission,
  updateRole,
} from '../access/index.ts'
import { knownProviders, readConnections, removeConnection, setConnection } from '../connections/index.ts'
import {
  createJwtTemplate,
  deleteJwtTemplate,
  listJwtTemplates,
  openSigningKey,
  updateJwtTemplate,
} from '../sessions/index.ts'
import { Secret } from './references.ts'
import type { Configuration } from './schema.ts'

/** The parts of a file that hold things by key, in the order in which they are made; they go in the opposite order. */
export type PartName = 'permissions' | 'roles' | 'jwtTemplates' | 'connections'
type Item<P extends PartName> = NonNullable<Configuration[P]>[string]

/** How a part is read and changed: by the verbs that every face calls, so their rules hold here too. */
export type Part<P extends PartName> = {
  name: P
  read: (tx: Tx) => Promise<Record<string, Item<P>>>
  /** Makes a thing, or changes the one that is there. */
  write: (tx: Tx, key: string, item: Item<P>) => Promise<void>
  remove: (tx: Tx, key: string) => Promise<void>
  /** Things that stay where a file does not name them. */
  stays?: (key: string) => boolean
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
  write: async (tx, key, { name, description, permissions: wanted }) => {
    const { data } = await listPermissions(tx, everything)
    const permissionIds = wanted.map((permission) => {
      const known = data.find((p) => p.key === permission)
      if (!known)
        throw new UsherError('form_param_value_invalid', `roles.${key}: there is no permission "${permission}".`)
      return known.id
    })
    const id = await roleIdOf(tx, key)
    await (id === undefined
      ? createRole(tx, { key, name, description, permissionIds })
      : updateRole(tx, { id, name, description, permissionIds }))
  },
  remove: async (tx, key) => {
    const id = await roleIdOf(tx, key)
    if (id !== undefined) await deleteRole(tx, id)
  },
  stays: (key) => key === 'org:admin' || key === 'org:member',
}

async function roleIdOf(tx: Tx, key: string): Promise<string | undefined> {
  const { data } = await listRoles(tx, everything)
  return data.find((role) => role.key === key)?.id
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

// biome-ignore lint/suspicious/noExplicitAny: each part is asked with items of its own alone.
export const parts: readonly Part<any>[] = [permissions, roles, jwtTemplates, connections]
