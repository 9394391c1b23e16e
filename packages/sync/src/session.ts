import type { Awareness } from 'y-protocols/awareness'
import type { Access } from './connection-state.ts'
import type { Crdt } from './crdt.ts'
import type { Link, TextMessage } from './link.ts'
import type { DocumentStorage } from './storage.ts'

/** What a session of either kind is given. */
export type SessionHost = {
  docId: string
  link: Link
  crdt: Crdt
  awareness: Awareness
  /** Undefined: nothing stays on this device. */
  storage: DocumentStorage | undefined
  /** Sizes of what is sealed are rounded up (E-6). */
  padding: boolean
  /** To be looked at anew: synced, access, unsaved or the key waited for. */
  changed: () => void
  problem: (problem: SyncProblem) => void
}

/** What one socket carries: a plaintext or an encrypted document. */
export type Session = {
  readonly synced: boolean
  readonly access: Access
  readonly unsaved: boolean
  /** The epoch whose key is missing. */
  readonly waitingForEpoch: number | undefined
  /** What lies on this device goes into the document. */
  restore(): Promise<void>
  opened(): void
  binary(bytes: Uint8Array<ArrayBuffer>): void
  text(message: TextMessage): void
  lost(): void
  /** The server's history is another one than that which was here, and the application takes it. */
  acceptHistory(): void
  /** Sends what waits to be sent together, e.g. because the page goes away. */
  flush(): Promise<void>
  destroy(): void
}

/** Something that went wrong without ending the connection. */
export type SyncProblem = {
  /**
   * - `unreadable` a frame could not be opened: it is skipped, and the log is not folded while it is there
   * - `history_forked` a member saw another history than this client did
   * - `too_large` a value is larger than the server takes; it stays here, and so does what this client writes after it
   * - `refused` the server did not take a change
   * - `storage` nothing can be kept on this device
   * - `snapshot` a snapshot could not be read; the log before it is asked for
   */
  code: 'unreadable' | 'history_forked' | 'too_large' | 'refused' | 'storage' | 'snapshot'
  message: string
  seq?: number
  cause?: unknown
}
