/**
 * Why the vault could not do something. Beside the server's own codes (`conflict`, `sync_access_denied`,
 * `too_many_requests`, `resource_not_found`, …):
 * - `locked` it has to be unlocked first
 * - `no_key` nobody has shared the document's key yet
 * - `key_changed` somebody's public keys are not those known of them (`userIds`)
 * - `unverified` somebody's safety number was not compared, and it has to be (`userIds`)
 * - `forged` what the server sent does not fit together
 * - `pairing_refused` the other device, or time, said no
 * - `passkey_unsupported` the passkey has no PRF extension, or this is no browser
 * - `rotation_pending` somebody lost access, and there is no new key yet
 */
export class VaultError extends Error {
  readonly code: string
  readonly userIds: readonly string[]
  readonly meta: Record<string, unknown>

  constructor(
    code: string,
    message: string,
    more: { userIds?: readonly string[]; meta?: Record<string, unknown> } = {},
  ) {
    super(message)
    this.name = 'VaultError'
    this.code = code
    this.userIds = more.userIds ?? []
    this.meta = more.meta ?? {}
  }
}
