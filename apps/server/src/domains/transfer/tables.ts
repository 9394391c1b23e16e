import { bigint, pgTable, primaryKey, text } from 'drizzle-orm/pg-core'
import { instanceId, instant } from '../../database/columns.ts'

/** How far the import of a file has come, written together with what was imported: a second run goes on from there. */
export const imports = pgTable(
  'imports',
  {
    instanceId: instanceId(),
    /** SHA-256 of the file, in hex. */
    fileHash: text('file_hash').notNull(),
    /** Records of the file that are done, imported or refused. */
    position: bigint('position', { mode: 'number' }).notNull(),
    imported: bigint('imported', { mode: 'number' }).notNull(),
    rejected: bigint('rejected', { mode: 'number' }).notNull(),
    startedAt: instant('started_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
    finishedAt: instant('finished_at'),
  },
  (t) => [primaryKey({ columns: [t.instanceId, t.fileHash] })],
)
