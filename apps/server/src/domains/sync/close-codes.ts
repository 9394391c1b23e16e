/**
 * Why a socket is closed, in one table (RFC 6455 §7.4.2 leaves 4000 to 4999 to applications).
 *
 * `retry`: should the client come back? Stock clients from 3.1 on never return after 4400 to 4499, so what passes by
 * itself (limits, restarts, slow readers) has codes elsewhere.
 */
export const closeCodes = {
  restart: { code: 1012, retry: true },
  overloaded: { code: 4513, retry: true },
  /** The credential is missing, wrong or expired: get a new one. */
  unauthenticated: { code: 4001, retry: true },
  /** The session ended or the token was revoked. */
  revoked: { code: 4401, retry: false },
  forbidden: { code: 4403, retry: false },
  room_deleted: { code: 4404, retry: false },
  wrong_protocol: { code: 4409, retry: false },
  too_large: { code: 4413, retry: false },
  malformed: { code: 4422, retry: false },
  storage_unavailable: { code: 4503, retry: true },
  idle: { code: 4508, retry: true },
  slow_consumer: { code: 4509, retry: true },
  rate_limited: { code: 4529, retry: true },
} as const

export type CloseReason = keyof typeof closeCodes
