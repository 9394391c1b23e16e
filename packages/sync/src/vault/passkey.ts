import { sha256 } from '@noble/hashes/sha2.js'
import { fromBase64url, owned, toBase64url, utf8 } from '../crypto/bytes.ts'
import type { WrapKind } from './api.ts'
import { VaultError } from './errors.ts'

/** A passkey that opens a vault: its credential's id, and what its PRF extension gives, 32 bytes. */
export type VaultPasskey = { name: string; secret: Uint8Array }

/** As `vault.status()` tells them. */
type Ways = readonly { kind: WrapKind; name: string }[]

/** The same for everybody: each passkey has a secret of its own that goes in beside it. */
const salt = sha256(utf8('usher/passkey/v1'))
const prf = { eval: { first: owned(salt) } }

type PrfOutputs = { prf?: { enabled?: boolean; results?: { first?: BufferSource } } }

const passkeysOf = (ways: Ways) =>
  ways
    .filter(({ kind }) => kind === 'passkey')
    .map(({ name }) => ({ type: 'public-key' as const, id: owned(fromBase64url(name)) }))

/**
 * Makes a passkey for a vault: `vault.addPasskey(await createPasskey(…))`. It is one of its own and not that for signing in,
 * which it leaves alone. On authenticators that tell the secret only when the passkey is used, people are asked twice.
 *
 * @param input.user whose vault it is, and the name by which browsers show it
 * @param input.rpId as in WebAuthn; undefined: the page's host. A vault's passkeys all have to have the same
 * @param input.ways of `vault.status()`: an authenticator that has a passkey of this vault makes no second one
 * @throws {VaultError} `passkey_unsupported` without the PRF extension; whatever the browser throws, such as
 *   `NotAllowedError` when the person said no, or `InvalidStateError` for an authenticator that has one
 */
export async function createPasskey(input: {
  user: { id: string; name: string }
  appName: string
  rpId?: string
  ways?: Ways
}): Promise<VaultPasskey> {
  const { user, appName, rpId, ways = [] } = input
  const made = (await credentials().create({
    publicKey: {
      rp: { name: appName, ...(rpId !== undefined && { id: rpId }) },
      // Not the handle of the passkey for signing in: an authenticator would put this one in its place.
      user: { id: owned(sha256(utf8(`usher/vault/v1\0${user.id}`))), name: user.name, displayName: user.name },
      challenge: crypto.getRandomValues(new Uint8Array(32)),
      pubKeyCredParams: [
        { type: 'public-key', alg: -7 },
        { type: 'public-key', alg: -257 },
      ],
      // Verified or not are two secrets: the same is asked for every time.
      authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
      excludeCredentials: passkeysOf(ways),
      extensions: { prf },
    },
  })) as PublicKeyCredential | null
  if (!made) throw unsupported()
  const outputs = made.getClientExtensionResults() as PrfOutputs
  const name = toBase64url(new Uint8Array(made.rawId))
  const first = outputs.prf?.results?.first
  if (first) return { name, secret: bytesOf(first) }
  if (outputs.prf?.enabled !== true) throw unsupported()
  return readPasskey({ rpId, ways: [{ kind: 'passkey', name }] })
}

/**
 * Asks for a passkey of a vault: `vault.unlock({ passkey: await readPasskey(…) })`.
 *
 * @param input.ways of `vault.status()`
 * @throws {VaultError} `passkey_unsupported`, or `resource_not_found` if no passkey opens this vault; whatever the browser throws
 */
export async function readPasskey(input: { rpId?: string; ways: Ways }): Promise<VaultPasskey> {
  const { rpId, ways } = input
  const allowCredentials = passkeysOf(ways)
  if (allowCredentials.length === 0) throw new VaultError('resource_not_found', 'No passkey opens this vault.')
  const used = (await credentials().get({
    publicKey: {
      ...(rpId !== undefined && { rpId }),
      challenge: crypto.getRandomValues(new Uint8Array(32)),
      allowCredentials,
      userVerification: 'required',
      extensions: { prf },
    },
  })) as PublicKeyCredential | null
  const first = (used?.getClientExtensionResults() as PrfOutputs | undefined)?.prf?.results?.first
  if (!used || !first) throw unsupported()
  return { name: toBase64url(new Uint8Array(used.rawId)), secret: bytesOf(first) }
}

function credentials(): CredentialsContainer {
  if (typeof navigator === 'undefined' || !navigator.credentials) throw unsupported()
  return navigator.credentials
}

const unsupported = () => new VaultError('passkey_unsupported', 'This passkey gives no secret to open a vault with.')

const bytesOf = (source: BufferSource) =>
  ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength).slice()
    : new Uint8Array(source).slice()
