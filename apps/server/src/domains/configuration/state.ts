import type { Tx } from '../../database/index.ts'
import { completeSettings, lockStoredSettings } from '../instances/index.ts'
import { parts } from './parts.ts'
import type { State } from './plan.ts'

/**
 * Reads an instance as a file would say it, and holds it until the transaction ends: whoever else applies a file or
 * changes the settings meanwhile waits.
 */
export async function lockState(tx: Tx): Promise<State> {
  const settings = completeSettings(tx.instance.name, await lockStoredSettings(tx))
  const read: Record<string, unknown> = { settings }
  for (const part of parts) read[part.name] = await part.read(tx)
  return read as State
}
