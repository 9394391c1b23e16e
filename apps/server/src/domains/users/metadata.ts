import type { Metadata } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'

/** Bytes of JSON that one kind of metadata may have. */
const maxBytes = 8 * 1024

/**
 * Merges a patch into metadata: objects deeply, everything else replaced, `null` deletes (RFC 7396).
 *
 * @throws {UsherError} `form_param_value_invalid` when the result has more than 8 kB
 */
export function mergeMetadata(target: Metadata, patch: Metadata): Metadata {
  const merged = merge(target, patch) as Metadata
  checkMetadataSize({ metadata: merged })
  return merged
}

/** @throws {UsherError} `form_param_value_invalid` when one of them has more than 8 kB */
export function checkMetadataSize(kinds: Record<string, Metadata | undefined>): void {
  for (const metadata of Object.values(kinds))
    if (metadata && Buffer.byteLength(JSON.stringify(metadata)) > maxBytes)
      throw new UsherError('form_param_value_invalid', 'Metadata may have 8 kB at most.')
}

function merge(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch
  const merged = new Map(Object.entries(isObject(target) ? target : {}))
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key)
    else merged.set(key, merge(merged.get(key), value))
  }
  // From entries, so that a key `__proto__` is data like any other.
  return Object.fromEntries(merged)
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
