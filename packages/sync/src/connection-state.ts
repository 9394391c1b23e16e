import type { CloseReason } from './close-codes.ts'

export type Access = 'read' | 'write'

export type StopReason = CloseReason | 'history_changed' | 'wrong_key'

/**
 * How it stands between a client and its server.
 *
 * - `connecting` a token is asked for, or a socket is being opened
 * - `connected` `synced` says whether everything that the server had is here
 * - `waiting-for-key` connected, but what comes in is sealed under a key that is not here yet
 * - `waiting` the connection ended; another attempt follows at `retryAt` (milliseconds since 1970)
 * - `stopped` no further attempt: signed out, no right, deleted, … `connect()` tries once more
 * - `offline` `disconnect()` was called
 */
export type ConnectionState =
  | { status: 'offline' }
  | { status: 'connecting'; attempt: number }
  | { status: 'connected'; access: Access; synced: boolean }
  | { status: 'waiting-for-key'; access: Access; epoch: number }
  | { status: 'waiting'; reason: CloseReason; code: number; message: string; attempt: number; retryAt: number }
  | { status: 'stopped'; reason: StopReason; code: number; message: string }
