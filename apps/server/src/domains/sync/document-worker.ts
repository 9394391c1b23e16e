import * as Y from 'yjs'

declare const self: Worker

export type DocumentJob =
  | { id: number; kind: 'compact'; updates: Uint8Array[] }
  | { id: number; kind: 'diff'; update: Uint8Array; vector: Uint8Array }

export type DocumentResult = { id: number; bytes?: Uint8Array; error?: string }

/**
 * Opens the whole document, which drops what was deleted and joins what was typed. A merge of the updates would do
 * neither, and costs more.
 */
function compact(updates: Uint8Array[]): Uint8Array {
  const doc = new Y.Doc({ gc: true })
  doc.transact(() => {
    for (const update of updates) Y.applyUpdate(doc, update)
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
    const bytes = job.kind === 'compact' ? compact(job.updates) : Y.diffUpdate(job.update, job.vector)
    self.postMessage({ id: job.id, bytes } satisfies DocumentResult)
  } catch (error) {
    self.postMessage({ id: job.id, error: error instanceof Error ? error.message : 'unknown' } satisfies DocumentResult)
  }
}
