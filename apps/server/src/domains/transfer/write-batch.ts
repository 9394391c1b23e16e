import { sql } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { newId } from '../../kernel/ids.ts'
import { importBackupCodes } from '../credentials/index.ts'
import { backupCodes, passkeys, passwords, totps } from '../credentials/tables.ts'
import { memberships } from '../organizations/tables.ts'
import { emailAddresses, externalAccounts, phoneNumbers, users } from '../users/tables.ts'
import { claimsOf, explainClashes, findTaken } from './claims.ts'
import { backupCodeRow, externalAccountRow, passkeyRow, totpRow, usableCodes } from './factor-rows.ts'
import { insertRows } from './insert-rows.ts'
import { type Places, type Seat, seatsOf } from './places.ts'
import type { PreparedUser } from './prepare-user.ts'
import { writeFeatureGrants, writeMemberAccess } from './write-access.ts'

/** `id`: as it stands in the file, to find the record by. */
export type Numbered<T> = { line: number; id: string | undefined; user: T }
export type Reject = { line: number; id: string | undefined; reason: string }

export type BatchOptions = { keepIds: boolean; events: boolean }

type Member = Seat & { id: string; userId: string }

/**
 * Writes users with everything that is theirs, and says which could not be: those whose address, number, username,
 * external id or account somebody has, and those of organizations or roles that are not there.
 *
 * Here tables of other domains are written: a statement for each table and batch, instead of some twenty for each user.
 * What those domains check one by one, `prepareUser` and this function check for the batch.
 */
export async function writeBatch(
  tx: Tx,
  batch: readonly Numbered<PreparedUser>[],
  places: Places,
  options: BatchOptions,
): Promise<{ written: number; rejects: Reject[] }> {
  const rejects: Reject[] = []
  const candidates = await admit(tx, batch, places, rejects)
  const inserted = await insertRows(
    tx,
    users,
    candidates.map(({ entry }) => entry.user.row),
    // Of two users with one name the first is written. Asking before would not use the index under row-level security.
    'on conflict do nothing returning id',
  )
  const ids = new Set(inserted.map((row) => row.id))
  const kept = candidates.filter(({ entry }) => ids.has(entry.user.id))
  if (kept.length < candidates.length) {
    const lost = candidates.filter(({ entry }) => !ids.has(entry.user.id))
    const users = lost.map(({ entry }) => entry.user)
    const reasons = await explainClashes(tx, users)
    for (const [i, { entry, seats }] of lost.entries()) {
      rejects.push({ line: entry.line, id: entry.id, reason: reasons[i] ?? 'the id is taken' })
      places.giveBack(seats)
    }
  }

  const all = kept.map(({ entry }) => entry.user)
  await writeOwned(tx, all, options)
  const members: Member[] = []
  for (const { entry, seats } of kept)
    for (const seat of seats) members.push({ id: newId('membership'), userId: entry.user.id, ...seat })
  await writeMemberships(tx, members)
  const unknown = await writeFeatureGrants(
    tx,
    all.map(({ id: userId, features }) => ({ userId, features })),
  )
  const [first] = kept
  if (unknown && first)
    rejects.push({ line: first.entry.line, id: undefined, reason: `in the lines from here: ${unknown}` })
  // After the organizations that were made for them, which are announced right before the commit.
  if (options.events) tx.beforeCommit(() => writeEvents(tx, all, members))
  return { written: kept.length, rejects }
}

/** Those of a batch whose names are free and who find their seats. Adds the others to `rejects`. */
async function admit(tx: Tx, batch: readonly Numbered<PreparedUser>[], places: Places, rejects: Reject[]) {
  const claimed = batch.map((entry) => ({ entry, claims: claimsOf(entry.user) }))
  const allClaims = claimed.flatMap(({ claims }) => claims)
  const taken = await findTaken(tx, allClaims)
  const organizations = batch.flatMap(({ user }) => user.memberships.map((m) => m.organization))
  await places.load(tx, organizations)
  const admitted: { entry: Numbered<PreparedUser>; seats: Seat[] }[] = []
  for (const { entry, claims } of claimed) {
    const clash = claims.find((claim) => taken.has(claim.key))
    const seats = clash ? `${clash.what} is taken` : seatsOf(places, entry.user.memberships)
    if (typeof seats === 'string') rejects.push({ line: entry.line, id: entry.id, reason: seats })
    else {
      for (const claim of claims) taken.add(claim.key)
      admitted.push({ entry, seats })
    }
  }
  return admitted
}

async function writeOwned(tx: Tx, all: readonly PreparedUser[], options: BatchOptions) {
  const instanceId = tx.instance.id
  const rowsOf = <T extends object>(of: (user: PreparedUser) => readonly T[]) => {
    const rows: T[] = []
    for (const user of all) for (const row of of(user)) rows.push(row)
    return rows
  }
  // Most people have none of these: nothing is made for those who do not.
  const made = <T>(of: (user: PreparedUser) => readonly T[], toRow: (one: T, user: PreparedUser) => object) => {
    const rows: Record<string, unknown>[] = []
    for (const user of all) for (const one of of(user)) rows.push({ instanceId, userId: user.id, ...toRow(one, user) })
    return rows
  }
  const emails = rowsOf((user) => user.emailAddresses)
  const phones = rowsOf((user) => user.phoneNumbers)
  const hashes = rowsOf((user) => user.passwords)
  const secrets = made(totpSecretOf, (secret, user) => totpRow(tx, user, secret))
  const codes = made(usableCodes(tx, options), (code) => backupCodeRow(tx, code))
  const accounts = made(accountsOf, (account) => externalAccountRow(tx, account, options))
  const keys = made(passkeysOf, (key) => passkeyRow(tx, key, options))
  await insertRows(tx, emailAddresses, emails)
  await insertRows(tx, phoneNumbers, phones)
  await insertRows(tx, passwords, hashes)
  await insertRows(tx, totps, secrets)
  await insertRows(tx, backupCodes, codes)
  await insertRows(tx, externalAccounts, accounts)
  await insertRows(tx, passkeys, keys)
  await importPlainCodes(tx, all)
}

const totpSecretOf = (user: PreparedUser) => (user.totpSecret === undefined ? [] : [user.totpSecret])
const accountsOf = (user: PreparedUser) => user.externalAccounts
const passkeysOf = (user: PreparedUser) => user.passkeys

async function writeMemberships(tx: Tx, members: readonly Member[]) {
  const now = tx.now()
  const rows = members.map((seat) => ({
    id: seat.id,
    instanceId: tx.instance.id,
    organizationId: seat.organization.id,
    userId: seat.userId,
    roleId: seat.role.id,
    roleSource: seat.roleSource,
    publicMetadata: seat.publicMetadata,
    privateMetadata: seat.privateMetadata,
    createdAt: seat.createdAt ?? now,
    updatedAt: seat.updatedAt ?? seat.createdAt ?? now,
  }))
  await insertRows(tx, memberships, rows)
  await writeMemberAccess(tx, members)
}

/** Codes as people have them, or their bcrypt digests. */
async function importPlainCodes(tx: Tx, all: readonly PreparedUser[]) {
  for (const user of all) {
    if (user.backupCodes.length === 0) continue
    const codes = user.backupCodes.filter((code) => typeof code === 'string')
    if (codes.length > 0) await importBackupCodes(tx, { userId: user.id, codes })
  }
}

/** The same facts that are announced when users are created one by one. */
async function writeEvents(tx: Tx, all: PreparedUser[], members: Member[]) {
  const users = JSON.stringify(all.map(({ id }) => id))
  const seats = JSON.stringify(members.map((m) => ({ o: m.organization.id, u: m.userId, r: m.role.key, m: m.id })))
  const actor = sql`${JSON.stringify(tx.actor)}::text::jsonb`
  await tx.db.execute(sql`
    insert into events (instance_id, type, subject, actor, data, pending)
    select ${tx.instance.id}, 'user.created', id, ${actor}, jsonb_build_object('user_id', id), true
    from json_array_elements_text(${users}::text::json) id
    union all
    select ${tx.instance.id}, 'organizationMembership.created', m, ${actor},
      jsonb_build_object('organization_id', o, 'user_id', u, 'role', r), true
    from json_to_recordset(${seats}::text::json) as seat (m text, o text, u text, r text)`)
}
