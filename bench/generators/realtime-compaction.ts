/** The server's own compaction of a long tail, in its worker, beside a flat merge; and how long the event loop stood. */

import { DocumentWorker } from '../../apps/server/src/domains/sync/document-worker-client.ts'
import { Y } from '../support/yjs.ts'

export type CompactionInput = { updates: number; contentBytes: number }
export type CompactionResult = { compactMs: number; stallMs: number; mergeMs: number; bytes: number; compacted: number }

const input: CompactionInput = await Bun.stdin.json()
const doc = new Y.Doc()
const updates: Uint8Array[] = []
doc.on('update', (update: Uint8Array) => updates.push(update))
const map = doc.getMap('m')
// Records that are changed again and again, as in a table or a drawing.
for (let i = 0; i < input.updates; i++) map.set(`record-${i % 1000}`, `${i}`.padEnd(input.contentBytes, 'x'))
doc.destroy()

const worker = new DocumentWorker()
await worker.compact(updates.slice(0, 10))
let stallMs = 0
let last = performance.now()
const watch = setInterval(() => {
  const now = performance.now()
  stallMs = Math.max(stallMs, now - last - 1)
  last = now
}, 1)
const startedAt = performance.now()
const compacted = await worker.compact(updates)
const compactMs = performance.now() - startedAt
clearInterval(watch)
if (!compacted) throw new Error('the compaction failed')
const mergedAt = performance.now()
Y.mergeUpdates(updates)
const result: CompactionResult = {
  compactMs,
  stallMs,
  mergeMs: performance.now() - mergedAt,
  bytes: updates.reduce((sum, update) => sum + update.length, 0),
  compacted: compacted.packed.bytes,
}
console.log(JSON.stringify(result))
process.exit(0)
