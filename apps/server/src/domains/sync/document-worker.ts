import * as Y from 'yjs'

declare const self: Worker

export type DocumentJob =
  /** `packed` holds updates of these lengths, one behind the other. */
  | { id: number; kind: 'compact'; packed: Uint8Array; lengths: Uint32Array }
  | { id: number; kind: 'diff'; update: Uint8Array; vector: Uint8Array }

export type DocumentResult = { id: number; bytes?: Uint8Array; error?: string }

/**
 * Opens the whole document, which drops what was deleted and joins what was typed. A merge of the updates would do
 * neither, and costs more.
 */
function compact(packed: Uint8Array, lengths: Uint32Array): Uint8Array {
  const doc = new Y.Doc({ gc: true })
  doc.transact(() => {
    let at = 0
    for (const length of lengths) {
      Y.applyUpdate(doc, packed.subarray(at, at + length))
      at += length
    }
  })
  const bytes = Y.encodeStateAsUpdate(doc)
  doc.destroy()
  const again = new Y.Doc({ gc: true })
  Y.applyUpdate(again, bytes)
  again.destroy()
  return bytes
}

self.onmessage = ({ data: job }: MessageEvent<DocumentJob>) => {
  try {
    const bytes = job.kind === 'compact' ? compact(job.packed, job.lengths) : Y.diffUpdate(job.update, job.vector)
    self.postMessage({ id: job.id, bytes } satisfies DocumentResult)
  } catch (error) {
    self.postMessage({ id: job.id, error: error instanceof Error ? error.message : 'unknown' } satisfies DocumentResult)
  }
}
