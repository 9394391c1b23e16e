import * as Y from 'yjs'
import { splitUpdate } from './split-update.ts'
import { walkUpdate } from './walk-update.ts'

/**
 * What a document is made of, for this package: updates that can be applied in any order and more than once.
 *
 * Yjs has an adapter here; `docs/sync-client.md` shows one for Loro.
 */
export type Crdt = {
  /** First byte of everything that is sealed: 1 Yjs, 2 Loro, 3 Automerge, 255 anything else (E-7). */
  readonly contentType: number
  /**
   * Looks at what another member sealed, before it is applied: a server that cannot read it cannot refuse it either. @throws
   * for what would hurt; it is skipped then
   */
  check?(update: Uint8Array): void
  /** Takes an update of somebody else, or a whole state. Must not come back through `onUpdate`. */
  apply(update: Uint8Array): void
  /** Everything, in a form that `apply` takes. */
  encodeState(): Uint8Array
  /** Calls back with every change made here. @returns ends it */
  onUpdate(listener: (update: Uint8Array) => void): () => void
  /** Several updates as one. Without it each is sent by itself. */
  merge?(updates: Uint8Array[]): Uint8Array
  /** An update as several of at most so many bytes, as far as it can be cut. Without it a large one is not sent. */
  split?(update: Uint8Array, maxBytes: number): Uint8Array[]
  /** Whether there is nothing in the document; without it what was there before the connection is not sent. */
  isEmpty?(): boolean
  /** Whether a state holds everything that this document holds: how somebody else's snapshot is checked. */
  isCoveredBy?(state: Uint8Array): boolean
}

/** A Yjs document as a `Crdt`. */
export function yjsCrdt(doc: Y.Doc): Crdt {
  const origin = { name: '@usher/sync' }
  return {
    contentType: 1,
    check: (update) => void walkUpdate(update),
    apply: (update) => Y.applyUpdate(doc, update, origin),
    encodeState: () => Y.encodeStateAsUpdate(doc),
    onUpdate(listener) {
      const listen = (update: Uint8Array, by: unknown) => {
        if (by !== origin) listener(update)
      }
      doc.on('update', listen)
      return () => doc.off('update', listen)
    },
    merge: (updates) => (updates.length === 1 ? (updates[0] as Uint8Array) : Y.mergeUpdates(updates)),
    split: splitUpdate,
    isEmpty: () => Y.encodeStateAsUpdate(doc).length === 2,
    isCoveredBy(state) {
      const theirs = Y.decodeStateVector(Y.encodeStateVectorFromUpdate(state))
      return [...Y.decodeStateVector(Y.encodeStateVector(doc))].every(([id, clock]) => (theirs.get(id) ?? 0) >= clock)
    },
  }
}
