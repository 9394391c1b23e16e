import { eq } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { InstanceSettings } from './settings.ts'
import { instances } from './tables.ts'

/** What is stored of the instance's settings, and holds them: whoever else changes them waits for this transaction. */
export async function lockStoredSettings(tx: Tx): Promise<Partial<InstanceSettings>> {
  const [row] = await tx.db.select().from(instances).where(eq(instances.id, tx.instance.id)).for('update')
  if (!row) throw new UsherError('resource_not_found', 'There is no such instance.')
  return row.settings
}

/** Stores settings in the place of all that were stored. Whoever calls it tells of `instance.updated`. */
export async function replaceStoredSettings(tx: Tx, settings: Partial<InstanceSettings>): Promise<void> {
  await tx.db.update(instances).set({ settings, updatedAt: tx.now() }).where(eq(instances.id, tx.instance.id))
}
