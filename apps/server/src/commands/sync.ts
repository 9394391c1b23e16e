import { writeFileSync } from 'node:fs'
import type { Config } from '../config.ts'
import { type Database, openDatabase } from '../database/index.ts'
import { contentOf, mergeDocument, textOf } from '../domains/sync/document-content.ts'
import {
  inspectRoom,
  listRooms,
  type RoomDetails,
  type RoomSummary,
  readSealed,
  readUpdates,
} from '../domains/sync/inspect-rooms.ts'
import { ConfigError } from '../kernel/config-error.ts'
import { usageOf } from './usage.ts'

type Flags = {
  instance?: string | undefined
  format?: string | undefined
  out?: string | undefined
  json?: boolean | undefined
}

const listedAtMost = 100_000

/** `usher sync rooms | inspect | export`: beside a running server, or without one. */
export async function sync(config: Config, [verb, docId]: string[], flags: Flags): Promise<void> {
  const work = { rooms, inspect, export: exportRoom }[verb ?? '']
  if (!work || (verb !== 'rooms' && docId === undefined)) throw new ConfigError(usageOf('sync'))
  // Not the whole runtime: the database may be that of a stand-alone server, which knows no instances.
  const database = await openDatabase(config, { visitor: true, tenantConnections: 1, systemConnections: 1 })
  try {
    await work(database, flags, docId ?? '')
  } finally {
    await database.close()
  }
}

async function rooms({ systemSql }: Database, { instance, json }: Flags): Promise<void> {
  const found = await listRooms(systemSql, { instance, limit: listedAtMost })
  if (json) return console.log(JSON.stringify(found.map(wire)))
  if (found.length === 0) return console.log('There are no documents.')
  for (const room of found)
    console.log(
      [
        room.instance ?? room.instanceId,
        room.docId,
        room.deletedAt ? 'deleted' : kindNames[room.kind],
        `${room.head} ${room.head === 1 ? 'update' : 'updates'}`,
        sizeOf(room.storedBytes),
        room.writtenAt?.toISOString() ?? '',
      ].join('  '),
    )
}

async function inspect({ systemSql }: Database, { instance, json }: Flags, docId: string): Promise<void> {
  const details = await inspectRoom(systemSql, await findRoom(systemSql, instance, docId))
  console.log(json ? JSON.stringify({ ...wire(details), ...wireDetails(details) }) : describe(details))
  if (!details.isWhole) process.exitCode = 1
}

async function exportRoom({ systemSql }: Database, flags: Flags, docId: string): Promise<void> {
  const { instance, format = 'update', out } = flags
  const room = await findRoom(systemSql, instance, docId)
  if (room.deletedAt) throw new ConfigError(`${docId} is deleted: there is nothing left of it.`)
  if (room.kind === 'e2ee') {
    if (flags.format !== undefined)
      throw new ConfigError(
        `${docId} is encrypted: it can be exported as it is, without --format, and read by nobody here.`,
      )
    const lines = [JSON.stringify({ object: 'document', ...wire(room) })]
    for await (const part of readSealed(systemSql, room)) lines.push(JSON.stringify(part))
    return give(out, `${lines.join('\n')}\n`)
  }
  const { updates, damaged } = await readUpdates(systemSql, room)
  if (damaged) {
    console.error('Not all of it is as it was written: this is what precedes the damage.')
    process.exitCode = 1
  }
  switch (format) {
    case 'update':
      return give(out, mergeDocument(updates))
    case 'json':
      return give(out, `${JSON.stringify(contentOf(updates), null, 2)}\n`)
    case 'text':
      return give(out, `${textOf(updates)}\n`)
    default:
      throw new ConfigError(usageOf('sync'))
  }
}

function give(out: string | undefined, content: string | Uint8Array): void {
  // What may be confidential is for its owner's eyes alone.
  if (out !== undefined) writeFileSync(out, content, { mode: 0o600 })
  else if (typeof content !== 'string' && process.stdout.isTTY)
    throw new ConfigError('An update is no text: give --out FILE, or --format json.')
  else process.stdout.write(content)
}

async function findRoom(sql: Database['systemSql'], instance: string | undefined, docId: string): Promise<RoomSummary> {
  const [room, other] = await listRooms(sql, { instance, docId, limit: 2 })
  if (!room) throw new ConfigError(`There is no document ${docId}${instance ? ` in ${instance}` : ''}.`)
  if (other) throw new ConfigError(`Several instances have a document ${docId}: say which by --instance.`)
  return room
}

const kindNames = { yjs: 'plain', e2ee: 'encrypted' } as const

const wire = (room: RoomSummary) => ({
  instance_id: room.instanceId,
  instance: room.instance ?? null,
  doc_id: room.docId,
  kind: kindNames[room.kind],
  head: room.head,
  snapshot_seq: room.snapshotSeq,
  key_epoch: room.keyEpoch,
  organization_id: room.organizationId ?? null,
  stored_bytes: room.storedBytes,
  created_at: room.createdAt.getTime(),
  written_at: room.writtenAt?.getTime() ?? null,
  deleted_at: room.deletedAt?.getTime() ?? null,
})

const wireDetails = ({ isWhole, tail, snapshots }: RoomDetails) => ({
  is_whole: isWhole,
  tail,
  snapshots: snapshots.map(({ seq, state, bytes, at }) => ({ seq, state, bytes, at: at.getTime() })),
})

function describe(room: RoomDetails): string {
  const { tail, snapshots } = room
  return [
    `Document      ${room.docId}`,
    `Instance      ${room.instance ?? room.instanceId}`,
    `Kind          ${kindNames[room.kind]}${room.kind === 'e2ee' ? `, keys of epoch ${room.keyEpoch}` : ''}`,
    `State         ${room.deletedAt ? `deleted ${room.deletedAt.toISOString()}` : room.isWhole ? 'whole' : 'DAMAGED'}`,
    `Updates       ${room.head}, ${tail.updates} of them behind the snapshot (${sizeOf(tail.bytes)})`,
    `Written       ${room.writtenAt?.toISOString() ?? 'before its log begins'}`,
    `Stored        ${sizeOf(room.storedBytes)}`,
    ...snapshots.map(
      ({ seq, state, bytes, at }) => `Snapshot      up to ${seq}, ${state}, ${sizeOf(bytes)}, ${at.toISOString()}`,
    ),
  ].join('\n')
}

function sizeOf(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  return bytes < 1024 * 1024 ? `${(bytes / 1024).toFixed(1)} KB` : `${(bytes / 1024 / 1024).toFixed(1)} MB`
}
