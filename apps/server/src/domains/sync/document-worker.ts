import * as Y from 'yjs'
import { emptyUpdateFrame } from './protocol.ts'
import { type PackedSnapshot, packSnapshot } from './stored-snapshot.ts'
import { walkUpdate } from './walk-update.ts'

declare const self: Worker

export type DocumentJob =
  /** Updates of these lengths, one behind the other, for a compaction that is to come. */
  | { id: number; kind: 'part'; packed: Uint8Array; lengths: Uint32Array }
  /** Of all the parts with its id. */
  | { id: number; kind: 'compact' }
  | { id: number; kind: 'diff'; update: Uint8Array; vector: Uint8Array }

/** A document that was made of its updates. */
export type Compacted = {
  /** The update as it is sent, and where in it the document begins. */
  frame: Uint8Array
  start: number
  /** As it is stored. */
  packed: PackedSnapshot
}

export type DocumentResult = { id: number; bytes?: Uint8Array; compacted?: Compacted; error?: string }

type Part = { packed: Uint8Array; lengths: Uint32Array }
const parts = new Map<number, Part[]>()

/**
 * Opens the whole document, which drops what was deleted and joins what was typed. A merge of the updates would do
 * neither, and costs more.
 */
function compact(updates: readonly Part[]): Compacted {
  const doc = new Y.Doc({ gc: true })
  doc.transact(() => {
    for (const { packed, lengths } of updates) {
      let at = 0
      for (const length of lengths) {
        Y.applyUpdate(doc, packed.subarray(at, at + length))
        at += length
      }
    }
  })
  const bytes = Y.encodeStateAsUpdate(doc)
  doc.destroy()
  const again = new Y.Doc({ gc: true })
  Y.applyUpdate(again, bytes)
  again.destroy()
  const { frame, update } = emptyUpdateFrame(bytes.length)
  update.set(bytes)
  return { frame, start: frame.length - bytes.length, packed: packSnapshot(bytes, walkUpdate(bytes).ranges) }
}

function work(job: DocumentJob): DocumentResult | undefined {
  const { id } = job
  switch (job.kind) {
    case 'part':
      parts.set(id, [...(parts.get(id) ?? []), { packed: job.packed, lengths: job.lengths }])
      return undefined
    case 'compact': {
      const updates = parts.get(id) ?? []
      parts.delete(id)
      return { id, compacted: compact(updates) }
    }
    case 'diff':
      return { id, bytes: Y.diffUpdate(job.update, job.vector) }
  }
}

self.onmessage = ({ data: job }: MessageEvent<DocumentJob>) => {
  try {
    const result = work(job)
    // Handed over, not copied: a copy of a large document would stall the event loop that gets it.
    if (result) self.postMessage(result, result.compacted ? [result.compacted.frame.buffer as ArrayBuffer] : [])
  } catch (error) {
    self.postMessage({ id: job.id, error: error instanceof Error ? error.message : 'unknown' } satisfies DocumentResult)
  }
}
