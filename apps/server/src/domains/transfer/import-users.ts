import { and, eq } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { type ParsedRecord, parseRecord } from './parse-record.ts'
import { Places } from './places.ts'
import { type PreparedUser, prepareUser } from './prepare-user.ts'
import { readRecords, type SourceRecord } from './read-records.ts'
import { imports } from './tables.ts'
import { type Numbered, type Reject, writeBatch } from './write-batch.ts'
import { writePlace } from './write-place.ts'

export type ImportInput = {
  /** CSV with a header, JSON Lines or one JSON array. It is read twice: once for its hash. */
  source: Blob
  /** Keeps the ids of the file that have the shape of ours. Others become external ids. */
  keepIds?: boolean
  /** Begins anew with a file that an earlier run was done with, or had begun. Who is there already is rejected. */
  again?: boolean
  /** Checks everything and writes nothing. */
  dryRun?: boolean
  /** Announces each user and membership, as when they are made one by one. On unless told otherwise. */
  events?: boolean
  /** Users of one transaction. */
  batchSize?: number
  /** Told first, when an earlier run of the file had come to there. */
  onResume?: (progress: ImportProgress) => void
  /** Told before the batch that they belong to is committed, so that none is forgotten. */
  onRejects?: (rejects: Reject[]) => void | Promise<void>
  onProgress?: (progress: ImportProgress) => void
}

export type ImportProgress = {
  /** Records that are done, those of earlier runs included. */
  position: number
  imported: number
  rejected: number
  /** How much of the file is read, from 0 to 1. */
  share?: number
}

export type ImportReport = ImportProgress & {
  /** Records that an earlier run had done. */
  resumedAt: number
  fileHash: string
}

type State = ImportProgress & { finished: boolean }

/**
 * Imports users with their passwords, factors, accounts and memberships, in transactions of many. Each transaction
 * records how far it came: whatever ends the import, a second run of the same file goes on behind the last commit, and
 * neither repeats nor skips a record. Memory does not grow with the file.
 *
 * @throws {UsherError} `request_body_invalid` when the file as a whole cannot be read, `conflict` when another process
 *   imports the same file at this moment
 */
export async function importUsers(ctx: Ctx, input: ImportInput): Promise<ImportReport> {
  const { source, keepIds = false, again = false, dryRun = false, events = true, batchSize = 1000 } = input
  const fileHash = await hashOf(source)
  const state: State = dryRun
    ? { position: 0, imported: 0, rejected: 0, finished: false }
    : await beginImport(ctx, fileHash, again)
  const resumedAt = state.position
  if (resumedAt > 0 && !state.finished) input.onResume?.(state)
  if (state.finished) return { ...state, resumedAt, fileHash }

  const run: Run = {
    ctx,
    input,
    fileHash,
    state,
    places: new Places(),
    options: { keepIds, events },
    share: 0,
    seen: new Set(),
  }
  let writing: Promise<void> = Promise.resolve()
  let batch: SourceRecord[] = []
  let skip = state.position
  const flush = async () => {
    const records = batch
    batch = []
    // While the database writes a batch, the next one is read and checked here.
    const prepared = await prepareBatch(run, records)
    await writing
    writing = dryRun ? tryBatch(run, prepared) : commitBatch(run, prepared)
    // Somebody waits for it in a moment; until then a failure is nobody's surprise.
    writing.catch(() => {})
  }
  try {
    for await (const { records, bytes } of readRecords(source)) {
      run.share = bytes / source.size
      for (const record of records) {
        if (skip > 0) {
          skip--
          continue
        }
        batch.push(record)
        if (batch.length >= batchSize) await flush()
      }
    }
    await flush()
  } finally {
    // A file that breaks off in its middle leaves a batch that is being written.
    await writing
  }
  if (!dryRun)
    await transaction(ctx, (tx) =>
      tx.db.update(imports).set({ finishedAt: tx.now(), updatedAt: tx.now() }).where(eq(imports.fileHash, fileHash)),
    )
  const { position, imported, rejected } = state
  return { position, imported, rejected, resumedAt, fileHash }
}

type Run = {
  ctx: Ctx
  input: ImportInput
  fileHash: string
  state: State
  places: Places
  options: { keepIds: boolean; events: boolean }
  share: number
  /** Of a dry run: hashes of what earlier batches would have taken. */
  seen: Set<number | bigint>
}

type Prepared =
  | { kind: 'user'; entry: Numbered<PreparedUser> }
  | { kind: 'place'; line: number; parsed: Exclude<ParsedRecord, { kind: 'user' } | { kind: 'export' }> }
  | { kind: 'nothing' }
  | { kind: 'reject'; reject: Reject }

async function hashOf(source: Blob): Promise<string> {
  const hash = new Bun.CryptoHasher('sha256')
  for await (const chunk of source.stream()) hash.update(chunk)
  return hash.digest('hex')
}

async function beginImport(ctx: Ctx, fileHash: string, again: boolean): Promise<State> {
  return transaction(ctx, async (tx) => {
    const now = tx.now()
    if (again) await tx.db.delete(imports).where(eq(imports.fileHash, fileHash))
    await tx.db
      .insert(imports)
      .values({
        instanceId: tx.instance.id,
        fileHash,
        position: 0,
        imported: 0,
        rejected: 0,
        startedAt: now,
        updatedAt: now,
      })
      .onConflictDoNothing()
    const [row] = await tx.db.select().from(imports).where(eq(imports.fileHash, fileHash))
    return {
      position: row?.position ?? 0,
      imported: row?.imported ?? 0,
      rejected: row?.rejected ?? 0,
      finished: Boolean(row?.finishedAt),
    }
  })
}

const preparedAtOnce = 100

/** Some at a time: those with a password in plain text wait for a thread to hash it, and only so many may. */
async function prepareBatch(run: Run, records: readonly SourceRecord[]): Promise<Prepared[]> {
  const prepared: Prepared[] = []
  for (let i = 0; i < records.length; i += preparedAtOnce)
    prepared.push(
      ...(await Promise.all(records.slice(i, i + preparedAtOnce).map((record) => prepareRecord(run, record)))),
    )
  return prepared
}

async function prepareRecord({ ctx, options }: Run, { line, value, problem }: SourceRecord): Promise<Prepared> {
  if (value === undefined) return { kind: 'reject', reject: { line, id: undefined, reason: problem } }
  const given = value.id ?? value.userId ?? value.user_id
  const id = typeof given === 'string' ? given.slice(0, 256) : undefined
  try {
    const parsed = parseRecord(value)
    if (parsed.kind === 'export') return { kind: 'nothing' }
    if (parsed.kind !== 'user') return { kind: 'place', line, parsed }
    const user = await prepareUser(parsed.record, { instance: ctx.instance, now: ctx.now(), keepIds: options.keepIds })
    return { kind: 'user', entry: { line, id, user } }
  } catch (error) {
    // What cannot be done at the moment is no fault of the record.
    if (error instanceof UsherError && error.code !== 'unavailable')
      return { kind: 'reject', reject: { line, id, reason: reasonOf(error) } }
    throw error
  }
}

function reasonOf({ message, details }: UsherError): string {
  const text = message.replace(/\.$/, '')
  return details.param && !text.includes(details.param) ? `${details.param}: ${text}` : text
}

/** Writes what was prepared and how far the file is done, in one transaction. */
async function commitBatch(run: Run, prepared: readonly Prepared[]): Promise<void> {
  const { ctx, fileHash, state, input } = run
  if (prepared.length === 0) return
  try {
    const next = await transaction(ctx, async (tx) => {
      const { written, rejects } = await write(run, tx, prepared)
      const after = {
        position: state.position + prepared.length,
        imported: state.imported + written,
        rejected: state.rejected + rejects.length,
      }
      const [moved] = await tx.db
        .update(imports)
        .set({ ...after, updatedAt: tx.now() })
        // Two processes with the same file: the second finds that the first has moved on, and takes its batch back.
        .where(and(eq(imports.fileHash, fileHash), eq(imports.position, state.position)))
        .returning({ position: imports.position })
      if (!moved)
        throw new UsherError('conflict', 'Another process is importing this file. Wait for it, or stop it first.')
      if (rejects.length > 0) await input.onRejects?.(rejects)
      return after
    })
    Object.assign(state, next)
    input.onProgress?.({ ...next, share: run.share })
  } catch (error) {
    run.places.clear()
    await splitOrReject(run, prepared, error)
  }
}

/**
 * A batch that the database refuses, because somebody took a name in the same moment or for a reason that no check of
 * ours knows, is halved until the one record that is refused stands alone.
 */
async function splitOrReject(run: Run, prepared: readonly Prepared[], error: unknown): Promise<void> {
  const code = String(((error as { cause?: unknown })?.cause as { errno?: unknown } | undefined)?.errno ?? '')
  // Classes 22 and 23: it is about the data. All else (a lost connection, a full disk) ends the import.
  if (!/^2[23]/.test(code)) throw error
  const [only] = prepared
  if (only && prepared.length === 1) {
    if (only.kind !== 'user' && only.kind !== 'place') throw error
    const line = only.kind === 'user' ? only.entry.line : only.line
    const id = only.kind === 'user' ? only.entry.id : undefined
    const reason = code === '23505' ? 'an id, name or address of it is taken' : 'the database refuses it'
    return commitBatch(run, [{ kind: 'reject', reject: { line, id, reason } }])
  }
  const middle = Math.ceil(prepared.length / 2)
  await commitBatch(run, prepared.slice(0, middle))
  await commitBatch(run, prepared.slice(middle))
}

async function write(run: Run, tx: Tx, prepared: readonly Prepared[]) {
  const rejects: Reject[] = []
  let written = 0
  let users: Numbered<PreparedUser>[] = []
  const writeUsers = async () => {
    if (users.length === 0) return
    const done = await writeBatch(tx, users, run.places, run.options)
    users = []
    written += done.written
    rejects.push(...done.rejects)
  }
  for (const item of prepared) {
    if (item.kind === 'reject') rejects.push(item.reject)
    else if (item.kind === 'user') users.push(item.entry)
    else if (item.kind === 'place') {
      await writeUsers()
      const reason = await writePlace(tx, item.parsed, run.options)
      if (reason) rejects.push({ line: item.line, id: undefined, reason })
      run.places.clear()
    }
  }
  await writeUsers()
  return { written, rejects: rejects.sort((a, b) => a.line - b.line) }
}

/** Thrown to take back what a dry run wrote. */
class Undo extends Error {}

/** Writes a batch and takes it back: what a dry run says is what the database would have said. */
async function tryBatch(run: Run, prepared: readonly Prepared[]): Promise<void> {
  const { ctx, state, input } = run
  const outcome = { written: 0, rejects: [] as Reject[] }
  const { fresh, repeated } = splitRepeated(run, prepared)
  try {
    await transaction(ctx, async (tx) => {
      Object.assign(outcome, await write(run, tx, fresh))
      throw new Undo()
    })
  } catch (error) {
    if (!(error instanceof Undo)) throw error
  }
  run.places.clear()
  const rejects = [...outcome.rejects, ...repeated].sort((a, b) => a.line - b.line)
  state.position += prepared.length
  state.imported += outcome.written
  state.rejected += rejects.length
  if (rejects.length > 0) await input.onRejects?.(rejects)
  const { position, imported, rejected } = state
  input.onProgress?.({ position, imported, rejected, share: run.share })
}

/** What an earlier batch of a dry run would have taken is not in the database: a hash of each is remembered instead. */
function splitRepeated(run: Run, prepared: readonly Prepared[]) {
  const fresh: Prepared[] = []
  const repeated: Reject[] = []
  const mine: (number | bigint)[] = []
  for (const item of prepared) {
    if (item.kind === 'user') {
      const { line, id, user } = item.entry
      const names = [
        ...user.emailAddresses.filter((e) => e.verifiedAt).map((e) => ['the email address', e.emailAddress]),
        ...user.phoneNumbers.filter((p) => p.verifiedAt).map((p) => ['the phone number', p.phoneNumber]),
        ...(user.row.username ? [['the username', `u:${user.row.username.toLowerCase()}`]] : []),
        ...(user.row.externalId ? [['the external id', `x:${user.row.externalId}`]] : []),
      ]
      const clash = names.find(([, value]) => run.seen.has(Bun.hash(value ?? '')))
      if (clash) {
        repeated.push({ line, id, reason: `${clash[0]} is taken` })
        continue
      }
      mine.push(...names.map(([, value]) => Bun.hash(value ?? '')))
    }
    fresh.push(item)
  }
  for (const hash of mine) run.seen.add(hash)
  return { fresh, repeated }
}
