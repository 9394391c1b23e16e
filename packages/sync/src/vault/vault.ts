import { fromBase64url, toBase64url } from '../crypto/bytes.ts'
import {
  deriveKey,
  type KeyCost,
  type KeyParameters,
  keyParametersFromText,
  keyParametersToText,
  newKeyParameters,
  stretch,
} from '../crypto/derive.ts'
import { CryptoError } from '../crypto/errors.ts'
import { type KeyPair, openFrom, sealTo } from '../crypto/hpke.ts'
import { formatRecoveryCode, newRecoverySecret, parseRecoveryCode } from '../crypto/recovery-code.ts'
import { openBytes, sealBytes } from '../crypto/wrap.ts'
import { type VaultJson, vaultApi, type WrapJson, type WrapKind } from './api.ts'
import { type DocumentKeysOptions, type VaultDocumentKeys, vaultDocumentKeys } from './document-keys.ts'
import { VaultError } from './errors.ts'
import { context, createIdentity, type Identity, openIdentity, type PublicKeys, readPublicKeys } from './identity.ts'
import { approveDevice, type DeviceApproval, type DeviceRequest, requestApproval } from './pairing.ts'
import { fingerprintOf, memoryPins, type PinStore, safetyNumberOf, storedPins } from './pins.ts'

export type VaultOptions = {
  /** The server's origin, e.g. `https://usher.example.com`. */
  url: string
  /** Of the signed-in person, e.g. `() => clerk.session.getToken()`. */
  getSessionToken: () => Promise<string>
  /** What making a key of a password costs; `standard` unless memory is short. */
  cost?: KeyCost
  /** Whose keys are known. Undefined: in `localStorage`, or in memory where there is none. */
  pins?: PinStore
  /** `verified`: nobody gets a key whose safety number was not compared. */
  trust?: 'first_use' | 'verified'
  fetch?: typeof globalThis.fetch
}

/** What opens a vault. */
export type VaultSecret =
  | { password: string }
  | { recoveryCode: string }
  /** The output of the passkey's PRF extension, 32 bytes, for a salt of the application's. */
  | { passkey: { name: string; secret: Uint8Array } }
  /** A key pair that this device keeps, such as in IndexedDB. */
  | { device: { name: string; keys: KeyPair } }

export type VaultStatus = {
  userId: string
  created: boolean
  unlocked: boolean
  ways: { kind: WrapKind; name: string }[]
}

export type Vault = {
  status(): Promise<VaultStatus>
  /** Makes a vault and opens it. The code is shown once: it opens the vault when the password is forgotten. */
  create(
    input: { password: string } | { passkey: { name: string; secret: Uint8Array } },
  ): Promise<{ recoveryCode: string }>
  /** @throws {CryptoError} `wrong_secret` or `wrong_code`; {VaultError} `too_many_requests` after ten wrong ones */
  unlock(secret: VaultSecret): Promise<void>
  lock(): void
  /** Another password for the same keys. */
  changePassword(password: string): Promise<void>
  /** Another code; the one before opens nothing any more. */
  newRecoveryCode(): Promise<string>
  addPasskey(passkey: { name: string; secret: Uint8Array }): Promise<void>
  /** Lets this device open the vault with a key pair of its own. */
  addDevice(device: { name: string; keys: KeyPair }): Promise<void>
  remove(way: { kind: WrapKind; name?: string }): Promise<void>
  /**
   * Gives the vault up, when nothing opens it any more. What only this person could open is lost. The server may ask for a
   * factor first (`session_reverification_required`).
   */
  reset(): Promise<void>
  documentKeys(docId: string, options?: DocumentKeysOptions): VaultDocumentKeys
  /** Sixty digits to compare with a reader of a document. */
  safetyNumber(docId: string, userId: string): Promise<string>
  /**
   * Takes somebody's keys for theirs, new ones as well: both have compared this safety number.
   *
   * @throws {VaultError} `key_changed` if it is not that of the keys that the server tells now
   */
  verify(docId: string, userId: string, safetyNumber: string): Promise<void>
  /** On a new device: asks to be let in by one that has the vault open. */
  requestApproval(): Promise<DeviceRequest>
  /** On a device that has the vault open: lets a new one in. @param link the text of its QR code */
  approveDevice(link: string): Promise<DeviceApproval>
}

/** A person's keys for encrypted documents. Only what is sealed leaves this device. */
export function createVault(options: VaultOptions): Vault {
  const { cost = 'standard', trust = 'first_use' } = options
  const api = vaultApi(options)
  let open: { identity: Identity; userKey: Uint8Array; instanceId: string } | undefined
  let pins = options.pins

  const load = () => api<VaultJson>('GET', '')

  function opened() {
    if (!open) throw new VaultError('locked', 'Unlock the vault first.')
    return open
  }

  function pinsOf(userId: string): PinStore {
    pins ??= typeof localStorage === 'undefined' ? memoryPins() : storedPins(localStorage, userId)
    return pins
  }

  /** The user key, sealed for one way into the vault. */
  async function seal(ids: { instanceId: string; userId: string }, userKey: Uint8Array, way: Way) {
    const bound = context('user_key', ids.instanceId, ids.userId, way.kind, way.name)
    const sealed =
      way.kind === 'device'
        ? await sealTo(way.publicKey, userKey, bound)
        : await sealBytes(await wrappingKey(way), userKey, bound)
    const parameters = way.kind === 'password' ? keyParametersToText(way.parameters) : undefined
    return { kind: way.kind, name: way.name, parameters, sealed: toBase64url(sealed) }
  }

  async function add(way: Way): Promise<void> {
    const { identity, userKey, instanceId } = opened()
    const { userId } = identity
    const wrap = await seal({ instanceId, userId }, userKey, way)
    const { version } = await load()
    const parts = ['wrap', userId, version ?? 0, wrap.kind, wrap.name, wrap.parameters ?? '', wrap.sealed]
    await api('PUT', '/wraps', { version, wrap, signature: await identity.sign(...parts) })
  }

  async function unlockWith(userKey: Uint8Array, vault: VaultJson): Promise<Identity> {
    const { instance_id: instanceId, user_id: userId } = vault
    const identity = await openIdentity({ instanceId, userId }, userKey, fromBase64url(vault.private_keys ?? ''))
    const told = [vault.public_key, vault.sign_public_key]
    const own = [toBase64url(identity.publicKey), toBase64url(identity.signPublicKey)]
    if (told.join() !== own.join()) throw new VaultError('forged', 'The server tells other keys of ours.')
    open = { identity, userKey, instanceId }
    pinsOf(userId)
    return identity
  }

  async function reader(docId: string, userId: string): Promise<PublicKeys> {
    const path = `/document_keys?doc_id=${encodeURIComponent(docId)}`
    const { readers } = await api<{ readers: Parameters<typeof readPublicKeys>[0][] }>('GET', path)
    const found = readers.find((one) => one.user_id === userId)
    if (!found) throw new VaultError('resource_not_found', 'This person may not read the document, or has no vault.')
    return readPublicKeys(found)
  }

  const newPassword = (password: string): Way => ({
    ...{ kind: 'password', name: '', password, parameters: newKeyParameters(cost) },
  })

  return {
    async status() {
      const { user_id: userId, created, wraps = [] } = await load()
      const ways = wraps.map(({ kind, name }) => ({ kind, name }))
      return { userId, created, unlocked: open !== undefined, ways }
    },
    async create(input) {
      const { instance_id: instanceId, user_id: userId } = await load()
      const ids = { instanceId, userId }
      const userKey = crypto.getRandomValues(new Uint8Array(32))
      const secret = newRecoverySecret()
      const first: Way = 'password' in input ? newPassword(input.password) : { kind: 'passkey', ...input.passkey }
      const wraps = [await seal(ids, userKey, first), await seal(ids, userKey, { kind: 'recovery', name: '', secret })]
      const { keys } = await createIdentity(ids, userKey)
      await unlockWith(userKey, await api<VaultJson>('POST', '', { keys, wraps }))
      return { recoveryCode: formatRecoveryCode(secret) }
    },
    async unlock(secret) {
      // Told before the server is asked: a mistyped code is no attempt.
      const way = wayOf(secret)
      const vault = await load()
      if (!vault.created) throw new VaultError('resource_not_found', 'There is no vault yet.')
      const { instance_id: instanceId, user_id: userId } = vault
      const wrap = await api<WrapJson>('POST', '/unlock', { kind: way.kind, name: way.name })
      const bound = context('user_key', instanceId, userId, way.kind, way.name)
      const sealed = fromBase64url(wrap.sealed)
      let parameters: KeyParameters | undefined
      let userKey: Uint8Array
      try {
        if (way.kind === 'device') userKey = await openFrom(way.keys, sealed, bound)
        else {
          if (way.kind === 'password') parameters = keyParametersFromText(wrap.parameters ?? '')
          userKey = await openBytes(
            await wrappingKey(way.kind === 'password' ? { ...way, parameters: parameters as KeyParameters } : way),
            sealed,
            bound,
          )
        }
      } catch (error) {
        if (error instanceof CryptoError && error.code === 'authentication')
          throw new CryptoError('wrong_secret', 'This does not open the vault.')
        throw error
      }
      const identity = await unlockWith(userKey, vault)
      await api('POST', '/unlocked', { signature: await identity.sign('unlocked', userId, wrap.challenge) })
      // What was enough years ago, or on a small device, is raised as soon as the password is there to do it.
      if (way.kind === 'password' && parameters && isWeaker(parameters, newKeyParameters(cost)))
        await add(newPassword(way.password))
    },
    lock() {
      open?.userKey.fill(0)
      open = undefined
    },
    changePassword: (password) => add(newPassword(password)),
    async newRecoveryCode() {
      const secret = newRecoverySecret()
      await add({ kind: 'recovery', name: '', secret })
      return formatRecoveryCode(secret)
    },
    addPasskey: (passkey) => add({ kind: 'passkey', ...passkey }),
    addDevice: ({ name, keys }) => add({ kind: 'device', name, publicKey: keys.publicKey }),
    async remove({ kind, name = '' }) {
      const { identity } = opened()
      const { version = 0 } = await load()
      const signature = await identity.sign('unwrap', identity.userId, version, kind, name)
      await api('POST', '/wraps/delete', { version, kind, name, signature })
    },
    async reset() {
      await api('DELETE', '')
      open = undefined
    },
    documentKeys(docId, more) {
      const { identity, instanceId } = opened()
      const vault = { api, instanceId, pins: pinsOf(identity.userId), trust, identity: () => opened().identity }
      return vaultDocumentKeys(vault, docId, more)
    },
    async safetyNumber(docId, userId) {
      return safetyNumberOf(opened().identity, await reader(docId, userId))
    },
    async verify(docId, userId, safetyNumber) {
      const { identity } = opened()
      const person = await reader(docId, userId)
      const isTheSame = safetyNumberOf(identity, person) === safetyNumber
      if (!isTheSame)
        throw new VaultError('key_changed', 'These are other keys than were compared.', { userIds: [userId] })
      await pinsOf(identity.userId).set(userId, { fingerprint: fingerprintOf(person), verified: true })
    },
    async requestApproval() {
      const vault = await load()
      return requestApproval({ api, url: options.url, vault, unlock: (userKey) => unlockWith(userKey, vault) })
    },
    async approveDevice(link) {
      const { identity, userKey, instanceId } = opened()
      return approveDevice({ api, link, instanceId, userId: identity.userId, userKey })
    },
  }
}

/** A way into the vault, with what it takes to seal the user key for it. */
type Way =
  | { kind: 'password'; name: string; password: string; parameters: KeyParameters }
  | { kind: 'recovery'; name: string; secret: Uint8Array }
  | { kind: 'passkey'; name: string; secret: Uint8Array }
  | { kind: 'device'; name: string; publicKey: Uint8Array }

/** Codes and passkeys are as random as keys: only passwords are stretched. */
async function wrappingKey(way: Exclude<Way, { kind: 'device' }>): Promise<Uint8Array> {
  if (way.kind === 'password') return deriveKey(await stretch(way.password, way.parameters), 'usher/kek/v1')
  if (way.secret.length < 20) throw new RangeError('this secret is too short')
  return deriveKey(way.secret, `usher/kek/v1/${way.kind}`)
}

function wayOf(secret: VaultSecret) {
  if ('password' in secret) return { kind: 'password', name: '', password: secret.password } as const
  if ('recoveryCode' in secret)
    return { kind: 'recovery', name: '', secret: parseRecoveryCode(secret.recoveryCode) } as const
  if ('passkey' in secret) return { kind: 'passkey', ...secret.passkey } as const
  return { kind: 'device', ...secret.device } as const
}

function isWeaker(stored: KeyParameters, wanted: KeyParameters): boolean {
  if (wanted.kdf === 'pbkdf2') return false
  return stored.kdf === 'pbkdf2' || stored.memoryKiB < wanted.memoryKiB || stored.passes < wanted.passes
}
