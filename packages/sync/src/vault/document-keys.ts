import { fromBase64url, toBase64url } from '../crypto/bytes.ts'
import type { DocumentKeys } from '../crypto/document-keys.ts'
import { envelopeFlag, envelopeKind } from '../crypto/envelope.ts'
import { openFrom, sealTo } from '../crypto/hpke.ts'
import { createSender } from '../crypto/sender.ts'
import type { DocumentKeysJson, GrantJson, VaultApi } from './api.ts'
import { VaultError } from './errors.ts'
import { context, type Identity, isSamePerson, isSignedBy, type PublicKeys, readPublicKeys } from './identity.ts'
import {
  encodeKeyRecord,
  hashOfKey,
  hashOfMembers,
  isKeyOf,
  type KeyRecord,
  type RotationReason,
  readKeyRecord,
} from './key-record.ts'
import { checkPins, type PinStore } from './pins.ts'

/** Keys of a document that lie in the vault. */
export type VaultDocumentKeys = DocumentKeys & {
  refresh(): Promise<void>
  /** Gives every key that is held to those who may read and have none. @returns their user ids */
  share(userIds?: readonly string[]): Promise<string[]>
  /** Begins another epoch, for exactly those who may read now. */
  rotate(reason: RotationReason): Promise<void>
  /** People who may read, and whether they hold the current key. */
  readers(): Promise<{ userId: string; hasKey: boolean }[]>
  /** Ends the looking for removed people. */
  close(): void
}

export type DocumentKeysOptions = {
  /** True: nothing is sealed while a key has to be replaced. */
  strict?: boolean
  /** False: a key that has to be replaced waits for `rotate()`. Otherwise whoever writes replaces it. */
  rotate?: boolean
  /** How often to look whether a key has to be replaced, besides when the server says so; 0: only then, and when asked. */
  checkEveryMs?: number
}

type Vault = {
  api: VaultApi
  instanceId: string
  identity: () => Identity
  pins: PinStore
  trust: 'first_use' | 'verified'
}

const attempts = 4
const grantsPerRequest = 500

export function vaultDocumentKeys(vault: Vault, docId: string, options: DocumentKeysOptions = {}): VaultDocumentKeys {
  const { api, pins, trust, instanceId } = vault
  const { strict = false, rotate: rotates = true, checkEveryMs = 30_000 } = options
  const held = new Map<number, Uint8Array>()
  /** What the log says about keys: only who had the one before could say so. */
  const records = new Map<number, KeyRecord>()
  let ring: DocumentKeysJson | undefined
  let loading: Promise<DocumentKeysJson> | undefined
  let timer: ReturnType<typeof setInterval> | undefined

  function load(): Promise<DocumentKeysJson> {
    loading ??= api<DocumentKeysJson>('GET', `/document_keys?doc_id=${encodeURIComponent(docId)}`)
      .then(take)
      .finally(() => {
        loading = undefined
      })
    return loading
  }

  /** Believes nothing of it that is not signed by somebody known. */
  async function take(answer: DocumentKeysJson): Promise<DocumentKeysJson> {
    const me = vault.identity()
    const unknown = answer.keys.filter(({ epoch }) => !held.has(epoch))
    const givers = new Map<string, PublicKeys>()
    for (const json of answer.givers) givers.set(json.user_id, await readPublicKeys(json))
    const refused: number[] = []
    for (const { epoch, sealed, signature, created_by: createdBy, key_hash: keyHash } of unknown) {
      const giver = createdBy === me.userId ? me : givers.get(createdBy)
      const parts = ['document_key', docId, epoch, me.userId, sealed] as const
      if (!giver || !(await isSignedBy(giver, signature, ...parts)))
        throw new VaultError('forged', 'A key was not given by whom the server says.')
      if (giver !== me) await checkPins(pins, [giver], trust)
      const key = await openFrom(me, fromBase64url(sealed), contextOf(epoch, me.userId)).catch(() => undefined)
      // What the log says counts for more than what the server says, and that for more than what somebody gives.
      const isTold = key !== undefined && toBase64url(hashOfKey(key)) === keyHash
      if (isTold) checkRecord(epoch, key)
      const record = records.get(epoch)
      if (key && (record ? isKeyOf(record, epoch, key) : isTold)) held.set(epoch, key)
      else refused.push(epoch)
    }
    ring = answer
    for (const epoch of refused) await refuse(epoch)
    return ring
  }

  /** Somebody gave another key: others are to give theirs. */
  async function refuse(epoch: number): Promise<void> {
    try {
      ring = await api<DocumentKeysJson>('POST', '/document_keys/refuse', { doc_id: docId, epoch })
    } catch (error) {
      // Another device of ours was faster.
      if (!(error instanceof VaultError && error.code === 'resource_not_found')) throw error
    }
  }

  function checkRecord(epoch: number, key: Uint8Array | undefined): void {
    const record = records.get(epoch)
    if (record && key && !isKeyOf(record, epoch, key))
      throw new VaultError('forged', 'The log announces another key than the server hands out.')
  }

  const contextOf = (epoch: number, recipient: string) => context('document_key', instanceId, docId, epoch, recipient)

  /** Everybody's keys of a list, each as it is known. */
  async function peopleOf(readers: DocumentKeysJson['readers']): Promise<PublicKeys[]> {
    const me = vault.identity()
    const people = await Promise.all(readers.map(readPublicKeys))
    const others = people.filter(({ userId }) => userId !== me.userId)
    const own = people.find(({ userId }) => userId === me.userId)
    if (own && !isSamePerson(own, me)) throw new VaultError('forged', 'The server tells other keys of ours.')
    await checkPins(pins, others, trust)
    return people
  }

  async function grant(people: readonly PublicKeys[], epoch: number, key: Uint8Array): Promise<GrantJson[]> {
    const me = vault.identity()
    return Promise.all(
      people.map(async ({ userId, publicKey }) => {
        const sealed = toBase64url(await sealTo(publicKey, key, contextOf(epoch, userId)))
        const signature = await me.sign('document_key', docId, epoch, userId, sealed)
        return { user_id: userId, epoch, sealed, signature }
      }),
    )
  }

  /** The first key of a document. Somebody else may be faster. */
  async function create(answer: DocumentKeysJson): Promise<DocumentKeysJson> {
    const key = crypto.getRandomValues(new Uint8Array(32))
    const grants = await grant(await peopleOf(answer.readers), 0, key)
    const keyHash = toBase64url(hashOfKey(key))
    try {
      return await take(await api('POST', '/document_keys', { doc_id: docId, grants, key_hash: keyHash }))
    } catch (error) {
      if (error instanceof VaultError && error.code === 'conflict') return load()
      throw error
    }
  }

  /** @param from the epoch that has to end: should it have ended by now, there is nothing to do */
  async function rotate(reason: RotationReason, from: number): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const answer = attempt === 1 && ring ? ring : await load()
      // Somebody else was faster: what was asked for has happened.
      if (answer.epoch !== from) return
      const old = held.get(from)
      if (!old) throw new VaultError('no_key', 'The key that is to be replaced was not shared with you.')
      const me = vault.identity()
      const people = await peopleOf(answer.readers)
      const key = crypto.getRandomValues(new Uint8Array(32))
      const epoch = from + 1
      const members = hashOfMembers(people.map(({ userId }) => userId))
      const record = await createSender({ key: old, epoch: from, room: docId, sign: me.signBytes }).seal(
        envelopeKind.keyRecord,
        encodeKeyRecord({ epoch, reason, members, keyHash: hashOfKey(key) }),
        { flags: envelopeFlag.signature },
      )
      const body = {
        ...{ doc_id: docId, from, reason, key_record: toBase64url(record), key_hash: toBase64url(hashOfKey(key)) },
        grants: await grant(people, epoch, key),
      }
      try {
        await take(await api('POST', '/document_keys/rotate', body))
        return
      } catch (error) {
        // People came or went meanwhile.
        if (!(error instanceof VaultError && error.code === 'conflict') || attempt >= attempts) throw error
      }
    }
  }

  async function ready(answer: DocumentKeysJson): Promise<DocumentKeysJson> {
    if (!answer.created && answer.access === 'write') return create(answer)
    const { rotation_due: due } = answer
    if (due === null) return answer
    if (rotates && answer.access === 'write' && held.has(answer.epoch)) {
      await rotate(due, answer.epoch).catch((error) => {
        if (strict && due === 'removal') throw error
      })
      return ring ?? answer
    }
    if (strict && due === 'removal')
      throw new VaultError('rotation_pending', 'Somebody lost access, and there is no new key yet.')
    return answer
  }

  function watch(): void {
    if (timer !== undefined || checkEveryMs <= 0) return
    timer = setInterval(
      () =>
        void load()
          .then(ready, () => {})
          .catch(() => {}),
      checkEveryMs,
    )
    // Where timers hold a program: this one is no reason to stay.
    ;(timer as { unref?: () => void }).unref?.()
  }

  return {
    async current() {
      watch()
      const answer = await ready(ring ?? (await load()))
      const key = held.get(answer.epoch)
      if (!key) throw new VaultError('no_key', 'The key of this document was not shared with you yet.')
      checkRecord(answer.epoch, key)
      return { epoch: answer.epoch, key }
    },
    async get(epoch) {
      if (!held.has(epoch) && !ring) await load()
      return held.get(epoch)
    },
    record(plaintext) {
      const record = readKeyRecord(plaintext)
      // The first one counts: a member could put another behind it.
      if (!records.has(record.epoch)) records.set(record.epoch, record)
    },
    async refresh() {
      await ready(await load())
    },
    async share(userIds) {
      const answer = await load()
      const readers = answer.readers.filter(
        (reader) => !reader.has_key && (userIds === undefined || userIds.includes(reader.user_id)),
      )
      if (readers.length === 0) return []
      const people = await peopleOf(readers)
      const grants = await Promise.all([...held].map(([epoch, key]) => grant(people, epoch, key)))
      const all = grants.flat()
      for (let at = 0; at < all.length; at += grantsPerRequest)
        await take(await api('POST', '/document_keys', { doc_id: docId, grants: all.slice(at, at + grantsPerRequest) }))
      return people.map(({ userId }) => userId)
    },
    rotate: async (reason) => rotate(reason, (await load()).epoch),
    async readers() {
      const { readers } = await load()
      return readers.map((reader) => ({ userId: reader.user_id, hasKey: reader.has_key }))
    },
    close() {
      clearInterval(timer)
      timer = undefined
    },
  }
}
