/**
 * Facts that only this system's own caches need. They have no place in the stream: nobody outside has use for them, and
 * they are many.
 */
const unstreamed: readonly string[] = ['session.touched', 'client.updated', 'client.deleted']

/** Whether an event gets a position, and so comes to webhooks, the audit log and `GET /v1/events`. */
export function isStreamed(type: string): boolean {
  return !unstreamed.includes(type)
}
