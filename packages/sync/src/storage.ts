/** Where a document lies on this device. All bytes are opaque to it; for encrypted documents they are sealed. */
export type DocumentStorage = {
  load(): Promise<StoredDocument>
  /** Adds updates, and replaces `meta` if given: both or neither. */
  append(updates: Uint8Array[], meta?: Uint8Array): Promise<void>
  /** Puts one state in the place of every update that this storage has loaded or added itself. */
  replace(state: Uint8Array, meta?: Uint8Array): Promise<void>
  /** Remembers what has been sealed and is not acknowledged. */
  keep(id: string, bytes: Uint8Array): Promise<void>
  forget(ids: string[]): Promise<void>
  /** Removes the document from this device. */
  clear(): Promise<void>
  close(): void
}

export type StoredDocument = {
  /** Oldest first. */
  updates: Uint8Array[]
  meta: Uint8Array | undefined
  /** Oldest first. */
  outbox: { id: string; bytes: Uint8Array }[]
}

/** Opens the place of one document; `name` is unique for server and document. */
export type OpenStorage = (name: string) => Promise<DocumentStorage>
