/** The keys of one document: 32 bytes for each epoch that its readers may open. */
export type DocumentKeys = {
  /** What new frames are sealed under. */
  current(): Promise<{ epoch: number; key: Uint8Array }>
  get(epoch: number): Promise<Uint8Array | undefined>
  /** Looks for keys that came since, such as after a rotation. */
  refresh?(): Promise<void>
  /** Told what an envelope of kind 4 in the log says about the next key. */
  record?(plaintext: Uint8Array): void
}

/** Keys of a room with one secret for ever, such as one behind a link or a passphrase. */
export function fixedDocumentKey(key: Uint8Array, epoch = 0): DocumentKeys {
  return {
    current: async () => ({ epoch, key }),
    get: async (asked) => (asked === epoch ? key : undefined),
  }
}
