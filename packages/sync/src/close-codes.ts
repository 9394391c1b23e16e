/** Why a socket is closed, for programs. */
export type CloseReason =
  | 'restart'
  | 'token_needed'
  | 'signed_out'
  | 'forbidden'
  | 'deleted'
  | 'wrong_protocol'
  | 'too_large'
  | 'malformed'
  | 'unavailable'
  | 'idle'
  | 'slow'
  | 'overloaded'
  | 'rate_limited'
  | 'network'

/** Each code that a server closes with. What is not in here is the network's doing. */
const reasons: Record<number, CloseReason> = {
  1012: 'restart',
  4001: 'token_needed',
  4401: 'signed_out',
  4403: 'forbidden',
  4404: 'deleted',
  4409: 'wrong_protocol',
  4413: 'too_large',
  4422: 'malformed',
  4503: 'unavailable',
  4508: 'idle',
  4509: 'slow',
  4513: 'overloaded',
  4529: 'rate_limited',
}

export const closeReason = (code: number): CloseReason => reasons[code] ?? 'network'

/** 4400 to 4499 say that coming back changes nothing; every other end is followed by another attempt. */
export const isFinal = (code: number): boolean => code >= 4400 && code < 4500
