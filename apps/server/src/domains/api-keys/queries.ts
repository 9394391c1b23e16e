import { eq, getTableColumns, inArray, sql } from 'drizzle-orm'
import { type Db, prepared, type Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { featureStatesOf } from '../features/index.ts'
import { type AccessColumns, accessColumns, readAccess } from '../organizations/index.ts'
import { memberships } from '../organizations/tables.ts'
import { apiKeys } from './tables.ts'

type Row = Omit<typeof apiKeys.$inferSelect, 'secretHash' | 'sealedSecret'>

/** A key without what it is proved by, as it stands at this moment. */
export type ApiKey = Row & {
  expired: boolean
  revoked: boolean
  /** Not good at this moment, and may be again: its subject or its maker is banned, or the maker lacks the permission. */
  suspended: boolean
  /** Those of `scopes` that can be used: a permission that its maker or its organization does not have is left out. */
  effectiveScopes: string[]
}

const { secretHash: _hash, sealedSecret: _sealed, ...shown } = getTableColumns(apiKeys)

/** A key with all that decides whether it is good, in one statement however many there are. */
export const selectKeys = (db: Pick<Db, 'select'>) =>
  db
    .select({
      key: shown,
      isBanned: sql<boolean>`exists (select 1 from users u
        where u.banned and u.id in (api_keys.user_id, memberships.user_id))`,
      isMember: sql<boolean>`memberships.id is not null`,
      roleGrants: accessColumns.roleGrants,
      directGrants: accessColumns.directGrants,
      featureStates: featureStatesOf('organization', sql`api_keys.organization_id`),
    })
    .from(apiKeys)
    .leftJoin(memberships, eq(memberships.id, apiKeys.creatorMembershipId))

type Found = AccessColumns & { key: Row; isBanned: boolean; isMember: boolean }

/** In SQL: whoever made it is a member no more. */
export const isOrphaned = sql`(api_keys.creator_membership_id is not null
  and not exists (select 1 from memberships m where m.id = api_keys.creator_membership_id))`

/** JSON comes as text or as what it says, by the driver's mood. */
const statesOf = ({ featureStates }: AccessColumns) =>
  typeof featureStates === 'string' ? (JSON.parse(featureStates) as [string, boolean][]) : (featureStates ?? [])

export const isPermission = (scope: string) => /^org:[^:]+:[^:]+$/.test(scope)

export function toApiKey(found: Found, now: Date): ApiKey {
  const { key, isBanned, isMember } = found
  const bound = key.creatorMembershipId !== null
  const orphaned = bound && !isMember
  const { permissions } = readAccess(found)
  const features = new Map(statesOf(found))
  const effectiveScopes = key.scopes.filter((scope) => {
    if (!isPermission(scope)) return true
    if (bound) return permissions.includes(scope)
    return features.get(scope.split(':')[1] ?? '') !== false
  })
  // Nothing left is less than nothing asked for: an empty list would read as everything.
  const isEmptied = key.scopes.length > 0 && effectiveScopes.length === 0
  const lacksPermission = key.madeByMember && !permissions.includes('org:sys_api_keys:manage')
  return {
    ...key,
    expired: key.expiresAt !== null && key.expiresAt <= now,
    revoked: key.revokedAt !== null || orphaned,
    revocationReason: key.revokedAt === null && orphaned ? 'Its maker left the organization' : key.revocationReason,
    suspended: isBanned || lacksPermission || isEmptied,
    effectiveScopes,
  }
}

const byHash = prepared((db) => selectKeys(db as never).where(sql`${apiKeys.secretHash} = ${sql.placeholder('hash')}`))

/** By the hash of its secret: what every verification asks. */
export async function findByHash(tx: Tx, hash: string): Promise<ApiKey | undefined> {
  const [found] = await byHash(tx, { hash })
  return found && toApiKey(found as Found, tx.now())
}

/** By their ids, in one query. */
export async function findApiKeys(tx: Tx, ids: readonly string[]): Promise<ApiKey[]> {
  if (ids.length === 0) return []
  const found = await selectKeys(tx.db).where(inArray(apiKeys.id, [...ids]))
  return found.map((row) => toApiKey(row as Found, tx.now()))
}

/** @throws {UsherError} `resource_not_found` */
export async function getRow(tx: Tx, id: string): Promise<ApiKey> {
  const [found] = await findApiKeys(tx, [id])
  if (!found) throw notFound()
  return found
}

export const notFound = () => new UsherError('resource_not_found', 'There is no such API key.')
