import { type Algorithm, hashRaw } from '@node-rs/argon2'
import { and, eq, isNull, sql } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { newId } from '../../kernel/ids.ts'
import { hashToken, purposeKey } from '../../kernel/secrets.ts'
import { emit } from '../events/index.ts'
import { backupCodes } from './tables.ts'

const count = 10
/** Letters and digits that nobody mistakes for each other on paper: five bits each (Crockford's Base32). */
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'
/** Eighty bits: not to be guessed even by somebody who has the table and the key. */
const length = 16

/**
 * Slow, because codes that come from elsewhere may be short, but less so than a password's: ten are made at once. A code is
 * found by its hash, so that this cannot change for those that are stored.
 */
const parameters = { algorithm: 2 as Algorithm.Argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 }

export type BackupCodes = {
  id: string
  /** Shown this once. */
  codes: string[]
  createdAt: Date
}

/**
 * Makes ten backup codes; the ones before stop working.
 *
 * @param ctx best not inside a transaction: ten hashes take a moment
 * @param input.onlyIfNone does nothing when unused codes are left
 * @returns undefined when codes were left
 */
export async function createBackupCodes(
  ctx: Ctx | Tx,
  input: { userId: string; onlyIfNone?: false },
): Promise<BackupCodes>
export async function createBackupCodes(
  ctx: Ctx | Tx,
  input: { userId: string; onlyIfNone: true },
): Promise<BackupCodes | undefined>
export async function createBackupCodes(
  ctx: Ctx | Tx,
  input: { userId: string; onlyIfNone?: boolean },
): Promise<BackupCodes | undefined> {
  const { userId, onlyIfNone } = input
  if (onlyIfNone && (await transaction(ctx, (tx) => unusedCodes(tx, userId))).length > 0) return undefined
  const codes = Array.from({ length: count }, newCode)
  const hashes = await Promise.all(codes.map((code) => hashCode(ctx, userId, code)))
  const id = await transaction(ctx, async (tx) => {
    // Of two that make codes at once the later one's stay, and none of the other's.
    await tx.db.execute(sql`select 1 from users where id = ${userId} for update`)
    if (onlyIfNone && (await unusedCodes(tx, userId)).length > 0) return undefined
    return replaceCodes(tx, userId, hashes)
  })
  return id === undefined ? undefined : { id, codes, createdAt: ctx.now() }
}

/** Takes over the codes that somebody was given elsewhere, as they are or as their bcrypt digests. */
export async function importBackupCodes(tx: Tx, input: { userId: string; codes: readonly string[] }): Promise<void> {
  const hashes = await Promise.all(
    input.codes.map((code) => (isBcrypt(code) ? `${bcryptKeyId}$${code}` : hashCode(tx, input.userId, code))),
  )
  await replaceCodes(tx, input.userId, hashes)
}

/** Whether this is an unused backup code of the person, and uses it. The caller counts guesses. */
export async function useBackupCode(tx: Tx, input: { userId: string; code: unknown }): Promise<boolean> {
  if (typeof input.code !== 'string' || input.code.length > 100) return false
  const match = await findMatch(tx, input.userId, input.code)
  if (!match) return false
  const used = await tx.db
    .update(backupCodes)
    .set({ usedAt: tx.now() })
    .where(and(eq(backupCodes.id, match.id), isNull(backupCodes.usedAt)))
    .returning({ id: backupCodes.id })
  if (used.length === 0) return false
  emit(tx, { type: 'user.updated', subject: input.userId, data: { user_id: input.userId } })
  return true
}

async function findMatch(tx: Tx, userId: string, code: string) {
  const left = await unusedCodes(tx, userId)
  for (const keyId of new Set(left.map((c) => keyIdOf(c.codeHash)))) {
    if (keyId === bcryptKeyId) continue
    const codeHash = await hashCode(tx, userId, code, keyId)
    const match = left.find((c) => c.codeHash === codeHash)
    if (match) return match
  }
  for (const imported of left.filter((c) => keyIdOf(c.codeHash) === bcryptKeyId))
    if (await Bun.password.verify(code, imported.codeHash.slice(bcryptKeyId.length + 1))) return imported
  return undefined
}

/** Takes somebody's backup codes away. */
export async function removeBackupCodes(ctx: Ctx | Tx, input: { userId: string }): Promise<void> {
  await transaction(ctx, async (tx) => {
    await tx.db.delete(backupCodes).where(eq(backupCodes.userId, input.userId))
    emit(tx, { type: 'user.updated', subject: input.userId, data: { user_id: input.userId } })
  })
}

function unusedCodes(tx: Tx, userId: string) {
  return tx.db
    .select({ id: backupCodes.id, codeHash: backupCodes.codeHash })
    .from(backupCodes)
    .where(and(eq(backupCodes.userId, userId), isNull(backupCodes.usedAt)))
}

async function replaceCodes(tx: Tx, userId: string, hashes: readonly string[]): Promise<string> {
  const createdAt = tx.now()
  await tx.db.delete(backupCodes).where(eq(backupCodes.userId, userId))
  const rows = hashes.map((codeHash) => ({
    id: newId('backupCode'),
    instanceId: tx.instance.id,
    userId,
    codeHash,
    createdAt,
  }))
  if (rows.length > 0) await tx.db.insert(backupCodes).values(rows)
  emit(tx, { type: 'user.updated', subject: userId, data: { user_id: userId } })
  return rows[0]?.id ?? newId('backupCode')
}

function newCode(): string {
  const characters = [...crypto.getRandomValues(new Uint8Array(length))].map((byte) => alphabet[byte % 32]).join('')
  // In groups, because people copy them by hand; the hyphens are no part of the code.
  return characters.match(/.{4}/g)?.join('-') ?? characters
}

/**
 * Argon2id, salted by the person and keyed by the server's secret: one hash a guess finds the code among all of theirs,
 * and the table alone says nothing about codes, not even about short ones from elsewhere.
 */
async function hashCode(ctx: Ctx, userId: string, code: string, keyId = ctx.database.keyring.keys[0].id) {
  const secret = purposeKey(ctx.database.keyring, 'backup_codes', keyId)
  const salt = Buffer.from(hashToken(`backup_codes:${userId}`), 'hex').subarray(0, 16)
  const spelled = code.normalize('NFC').replace(/[\s-]/g, '').toLowerCase()
  return `${keyId}$${secret ? (await hashRaw(spelled, { ...parameters, salt, secret })).toString('base64url') : ''}`
}

/** No id of a key: those have lower-case letters and digits only. */
const bcryptKeyId = 'B'
const isBcrypt = (code: string) => /^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/.test(code)

const keyIdOf = (codeHash: string) => codeHash.slice(0, codeHash.indexOf('$'))
