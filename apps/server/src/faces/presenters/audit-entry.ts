import type { AuditEntry } from '../../domains/audit/index.ts'

/** An entry of an audit log. Times are milliseconds, as everywhere on this API. */
export function presentAuditEntry(entry: AuditEntry) {
  return {
    object: 'audit_log_entry' as const,
    id: entry.id,
    place: entry.place,
    action: entry.action,
    actor: entry.actor,
    targets: entry.targets,
    context: entry.context,
    data: entry.data,
    occurred_at: entry.occurredAt.getTime(),
    hash: entry.hash,
    previous_hash: entry.previousHash,
  }
}
