/**
 * Why something could not be opened, sealed or read. `code` is for programs:
 * - `malformed` the bytes are not what they should be
 * - `unknown_key` no key of this epoch is held
 * - `commitment` the envelope was made under another key than ours, room and epoch included
 * - `authentication` altered, or of another room, epoch, session or position
 * - `signature` not signed by whom it should be
 * - `repeated` this position of the session was opened before
 * - `exhausted` the session may seal no more: begin another one
 * - `weak_parameters` parameters of a key derivation outside of what this client accepts
 * - `expired`, `wrong_secret`, `wrong_code` of links, passphrases and recovery codes
 */
export type CryptoErrorCode =
  | 'malformed'
  | 'unknown_key'
  | 'commitment'
  | 'authentication'
  | 'signature'
  | 'repeated'
  | 'exhausted'
  | 'weak_parameters'
  | 'expired'
  | 'wrong_secret'
  | 'wrong_code'

export class CryptoError extends Error {
  readonly code: CryptoErrorCode

  constructor(code: CryptoErrorCode, message: string) {
    super(message)
    this.name = 'CryptoError'
    this.code = code
  }
}
