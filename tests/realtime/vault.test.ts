import { describe, expect, test } from 'bun:test'
import {
  formatRecoveryCode,
  generateKeyPair,
  keyParametersFromText,
  linkText,
  newRecoverySecret,
  newRoomSecret,
  parseLink,
  parseRecoveryCode,
} from '@usher/sync/crypto'
import { memoryPins, type Vault } from '@usher/sync/vault'
import { sql } from 'drizzle-orm'
import { transaction } from '../../apps/server/src/database/index.ts'
import { removeMember } from '../../apps/server/src/domains/organizations/index.ts'
import type { TestInstance } from '../../apps/server/src/testing/server.ts'
import { type Member, team } from './vault-support.ts'

const password = 'a long vault password'

async function opened(person: Member, more = {}): Promise<Vault> {
  const vault = person.device(more)
  await vault.create({ password })
  return vault
}

/** Everything that the server keeps of the vault and of encrypted rooms, as text. */
async function everythingStored(t: TestInstance): Promise<string> {
  const tables = ['vaults', 'vault_wraps', 'vault_documents', 'vault_document_keys', 'vault_pairings', 'events']
  return transaction(t.ctx(), async (tx) => {
    const rows = []
    for (const table of tables) rows.push(...(await tx.db.execute(sql.raw(`select * from ${table}`))))
    return JSON.stringify(rows)
  })
}

/** The ways in which bytes could stand in text. */
const spellings = (bytes: Uint8Array) =>
  (['base64url', 'base64', 'hex'] as const).map((encoding) => Buffer.from(bytes).toString(encoding).replace(/=+$/, ''))

describe('a vault opens', () => {
  test('on another device, with its password, and with nothing else', async () => {
    const { people } = await team(['ada'])
    const [ada] = people as [Member]
    const first = await opened(ada)
    const docId = `${ada.userId}/notes`
    const key = await first.documentKeys(docId).current()
    const second = ada.device()
    expect(await second.status()).toMatchObject({ created: true, unlocked: false })
    expect(() => second.documentKeys(docId)).toThrow(expect.objectContaining({ code: 'locked' }))
    await expect(second.unlock({ password: 'another password' })).rejects.toMatchObject({ code: 'wrong_secret' })
    await second.unlock({ password })
    expect(await second.documentKeys(docId).current()).toEqual(key)
    second.lock()
    expect(() => second.documentKeys(docId)).toThrow(expect.objectContaining({ code: 'locked' }))
  })

  test('L5 with the recovery code alone, when the password is forgotten', async () => {
    const { people } = await team(['ada'])
    const [ada] = people as [Member]
    const vault = ada.device()
    const { recoveryCode } = await vault.create({ password })
    const docId = `${ada.userId}/notes`
    const key = await vault.documentKeys(docId).current()
    const clean = ada.device()
    await clean.unlock({ recoveryCode: recoveryCode.toLowerCase().replaceAll('-', ' ') })
    await clean.changePassword('one that is remembered')
    expect(await clean.documentKeys(docId).current()).toEqual(key)
    const later = ada.device()
    await expect(later.unlock({ password })).rejects.toMatchObject({ code: 'wrong_secret' })
    await later.unlock({ password: 'one that is remembered' })
    expect(await later.documentKeys(docId).current()).toEqual(key)
    const next = await later.newRecoveryCode()
    await expect(ada.device().unlock({ recoveryCode })).rejects.toMatchObject({ code: 'wrong_secret' })
    await ada.device().unlock({ recoveryCode: next })
  })

  test('L5 a new password wraps the user key anew and leaves everything else as it is', async () => {
    const { t, people } = await team(['ada'])
    const [ada] = people as [Member]
    const vault = await opened(ada)
    await vault.documentKeys(`${ada.userId}/notes`).current()
    const stored = () =>
      transaction(t.ctx(), async (tx) =>
        JSON.stringify([
          ...(await tx.db.execute(sql`select public_key, sign_public_key, private_keys from vaults`)),
          ...(await tx.db.execute(sql`select doc_id, epoch, user_id, sealed from vault_document_keys`)),
          ...(await tx.db.execute(sql`select kind, sealed from vault_wraps where kind <> 'password'`)),
        ]),
      )
    const before = await stored()
    await vault.changePassword('the next password')
    expect(await stored()).toBe(before)
    await expect(ada.device().unlock({ password })).rejects.toMatchObject({ code: 'wrong_secret' })
    await ada.device().unlock({ password: 'the next password' })
  })

  test('with a passkey’s secret or a device’s own key, as long as they are there', async () => {
    const { people } = await team(['ada'])
    const [ada] = people as [Member]
    const vault = await opened(ada)
    const passkey = { name: 'yubikey', secret: newRoomSecret() }
    await vault.addPasskey(passkey)
    await ada.device().unlock({ passkey })
    await expect(ada.device().unlock({ passkey: { ...passkey, secret: newRoomSecret() } })).rejects.toMatchObject({
      code: 'wrong_secret',
    })
    const keys = await generateKeyPair()
    await vault.addDevice({ name: 'laptop', keys })
    await ada.device().unlock({ device: { name: 'laptop', keys } })
    await vault.remove({ kind: 'device', name: 'laptop' })
    await expect(ada.device().unlock({ device: { name: 'laptop', keys } })).rejects.toMatchObject({
      code: 'resource_not_found',
    })
  })

  test('L5 wrong passwords are counted by the server, mistyped codes never leave the device', async () => {
    const { people } = await team(['ada'])
    const [ada] = people as [Member]
    await opened(ada)
    const vault = ada.device()
    const asked = ada.wire.length
    await expect(vault.unlock({ recoveryCode: 'ABCD-EFGH' })).rejects.toMatchObject({ code: 'wrong_code' })
    expect(ada.wire).toHaveLength(asked)
    // Wrong codes of the right form, which cost no time here.
    for (let i = 0; i < 10; i++)
      await expect(
        ada.device().unlock({ recoveryCode: formatRecoveryCode(newRecoverySecret()) }),
      ).rejects.toMatchObject({ code: 'wrong_secret' })
    await expect(ada.device().unlock({ password })).rejects.toMatchObject({ code: 'too_many_requests' })
  })

  test('L5 parameters that were enough once are raised with the next unlocking, and never lowered', async () => {
    const { t, people } = await team(['ada'])
    const [ada] = people as [Member]
    await opened(ada)
    const kdf = () =>
      transaction(t.ctx(), async (tx) => {
        const [row] = await tx.db.execute<{ parameters: string }>(
          sql`select parameters from vault_wraps where kind = 'password'`,
        )
        return keyParametersFromText(row?.parameters ?? '').kdf
      })
    expect(await kdf()).toBe('pbkdf2')
    await ada.device({ cost: 'light' }).unlock({ password })
    expect(await kdf()).toBe('argon2id')
    await ada.device({ cost: 'pbkdf2' }).unlock({ password })
    expect(await kdf()).toBe('argon2id')
  })

  test('L5 a server that weakens the parameters is told apart, and its answer is not computed', async () => {
    const { people } = await team(['ada'])
    const [ada] = people as [Member]
    await opened(ada)
    const fetch = (async (...args: Parameters<typeof globalThis.fetch>) => {
      const response = await ada.fetch(...args)
      if (!String(args[0]).endsWith('/unlock')) return response
      const answer = (await response.json()) as { parameters: string }
      const bytes = Buffer.from(answer.parameters, 'base64url')
      bytes.writeUInt32BE(8, 2)
      return Response.json({ ...answer, parameters: bytes.toString('base64url') })
    }) as typeof globalThis.fetch
    await expect(ada.device({ fetch }).unlock({ password })).rejects.toMatchObject({ code: 'weak_parameters' })
  })

  test('without plaintext or an unwrapped key at the server', async () => {
    const { t, people, docId } = await team(['ada', 'bob'])
    const [ada, bob] = people as [Member, Member]
    const vault = ada.device()
    await opened(bob)
    const { recoveryCode } = await vault.create({ password })
    const keys = vault.documentKeys(docId)
    const { key } = await keys.current()
    await keys.rotate('age')
    const next = await keys.current()
    expect(next.epoch).toBe(1)
    await vault.changePassword('the next password')
    const known = (await everythingStored(t)) + ada.wire.join('\n')
    const secrets = [key, next.key, parseRecoveryCode(recoveryCode)]
    for (const text of [...secrets.flatMap(spellings), password, 'the next password', recoveryCode])
      expect(known).not.toContain(text)
  })
})

describe('people of an organization', () => {
  test('share a document’s key, and those who come later get it from one of them', async () => {
    const { people, docId } = await team(['ada', 'bob', 'carol'])
    const [ada, bob, carol] = people as [Member, Member, Member]
    const [adas, bobs] = [await opened(ada), await opened(bob)]
    // Two who make the first key at once: one of them is the document's.
    const [one, other] = await Promise.all([adas.documentKeys(docId).current(), bobs.documentKeys(docId).current()])
    expect(one).toEqual(other)
    const carols = await opened(carol)
    await expect(carols.documentKeys(docId).current()).rejects.toMatchObject({ code: 'no_key' })
    expect(await bobs.documentKeys(docId).share()).toEqual([carol.userId])
    expect(await carols.documentKeys(docId).current()).toEqual(one)
  })

  test('L4 whoever was removed gets no newer key, by the server or by the people', async () => {
    const { t, people, docId, organizationId } = await team(['ada', 'bob', 'carol'])
    const [ada, bob, carol] = people as [Member, Member, Member]
    const [adas, bobs, carols] = [await opened(ada), await opened(bob), await opened(carol)]
    const keys = adas.documentKeys(docId, { rotate: false, checkEveryMs: 0 })
    const old = await keys.current()
    const theirs = carols.documentKeys(docId)
    expect(await theirs.current()).toEqual(old)
    await removeMember(t.ctx(), { organizationId, userId: carol.userId })
    await Bun.sleep(100)
    const strict = adas.documentKeys(docId, { rotate: false, strict: true, checkEveryMs: 0 })
    await expect(strict.current()).rejects.toMatchObject({ code: 'rotation_pending' })
    // Two at once, both of whom see that it is needed.
    const both = [adas, bobs].map((vault) => vault.documentKeys(docId, { checkEveryMs: 0 }))
    const [first, second] = await Promise.all(both.map((one) => one.current()))
    await Promise.all(both.map((one) => one.refresh()))
    const [now, same] = await Promise.all(both.map((one) => one.current()))
    expect(now).toEqual(same as never)
    expect(now?.epoch).toBe(1)
    expect([first?.epoch, second?.epoch]).toContain(1)
    expect(now?.key).not.toEqual(old.key)
    await expect(theirs.refresh()).rejects.toMatchObject({ code: 'sync_access_denied' })
    expect(await theirs.get(1)).toBeUndefined()
    await expect(theirs.rotate('removal')).rejects.toMatchObject({ code: 'sync_access_denied' })
  })

  test('L1 who is given a wrong key notices, and takes the right one from somebody else', async () => {
    const { people, docId } = await team(['ada', 'bob', 'mallory'])
    const [ada, bob, mallory] = people as [Member, Member, Member]
    const [adas, mallorys] = [await opened(ada), await opened(mallory)]
    const keys = adas.documentKeys(docId)
    const right = await keys.current()
    const bobs = (await opened(bob)).documentKeys(docId)
    // Everything about it is in order: sealed to Bob, signed by Mallory, who holds the key. Only that it is another one.
    const lying = mallorys.documentKeys(docId)
    ;(await lying.current()).key[0] = ~(right.key[0] as number)
    expect(await lying.share()).toEqual([bob.userId])
    await expect(bobs.current()).rejects.toMatchObject({ code: 'no_key' })
    await lying.share([bob.userId])
    await bobs.refresh()
    await expect(bobs.current()).rejects.toMatchObject({ code: 'no_key' })
    expect(await keys.share()).toEqual([bob.userId])
    await bobs.refresh()
    expect(await bobs.current()).toEqual(right)
  })

  test('L4 do not lose their documents by a mistake in the rules', async () => {
    const { t, people, docId } = await team(['ada', 'bob'])
    const [ada, bob] = people as [Member, Member]
    const adas = await opened(ada)
    await opened(bob)
    const right = await adas.documentKeys(docId).current()
    const { instances } = t.server.runtime
    const change = (rules: { pattern: string; read: string }[]) =>
      instances.changeSettings(t.ctx().instance.id, { sync: { rules } })
    await change([{ pattern: '*', read: 'org:plans:raed' }])
    await Bun.sleep(300)
    const device = bob.device()
    await device.unlock({ password })
    const keys = device.documentKeys(docId, { checkEveryMs: 0 })
    await expect(keys.current()).rejects.toMatchObject({ code: 'sync_access_denied' })
    await change([])
    await keys.refresh()
    expect(await keys.get(0)).toEqual(right.key)
  })

  test('L1 a server that swaps somebody’s public key is found out, at the latest by the safety number', async () => {
    const { people, docId } = await team(['ada', 'bob', 'mallory'])
    const [ada, bob, mallory] = people as [Member, Member, Member]
    const [adas, bobs] = [await opened(ada), await opened(bob)]
    await opened(mallory)
    let lies = false
    /** Bob's keys are Mallory's, whole and well signed, which is the best that a server can do. */
    const fetch = (async (...args: Parameters<typeof globalThis.fetch>) => {
      const response = await ada.fetch(...args)
      if (!lies || !String(args[0]).includes('/document_keys')) return response
      const answer = (await response.json()) as { readers: { user_id: string }[] }
      const [hers, his] = [mallory, bob].map((one) => answer.readers.find((reader) => reader.user_id === one.userId))
      if (hers && his) Object.assign(his, { ...hers, user_id: his.user_id })
      return Response.json(answer, { status: response.status })
    }) as typeof globalThis.fetch
    const pins = memoryPins()
    const lied = async (more = {}) => {
      const vault = ada.device({ fetch, pins, ...more })
      await vault.unlock({ password })
      return vault
    }
    const vault = await lied()
    await vault.documentKeys(docId).current()
    const real = await vault.safetyNumber(docId, bob.userId)
    expect(real).toMatch(/^(\d{5} ){11}\d{5}$/)
    expect(await bobs.safetyNumber(docId, ada.userId)).toBe(real)
    lies = true
    // The signature that binds keys to their owner is Mallory's, for Mallory.
    await expect(vault.documentKeys(docId).rotate('age')).rejects.toMatchObject({
      code: 'forged',
      userIds: [bob.userId],
    })
    expect(adas).toBeDefined()
  })

  test('L1 whose keys changed gets no key before somebody compared them, and who must be compared, none at all', async () => {
    const { people, docId } = await team(['ada', 'bob'])
    const [ada, bob] = people as [Member, Member]
    const bobs = await opened(bob)
    const pins = memoryPins()
    await pins.set(bob.userId, { fingerprint: 'that of his keys of before', verified: true })
    const adas = await opened(ada, { pins })
    await expect(adas.documentKeys(docId).current()).rejects.toMatchObject({
      code: 'key_changed',
      userIds: [bob.userId],
    })
    const number = await bobs.safetyNumber(docId, ada.userId)
    await expect(
      adas.verify(
        docId,
        bob.userId,
        number.replace(/\d/, (d) => `${(Number(d) + 1) % 10}`),
      ),
    ).rejects.toMatchObject({
      code: 'key_changed',
    })
    await adas.verify(docId, bob.userId, number)
    await adas.documentKeys(docId).current()
    const careful = ada.device({ pins: memoryPins(), trust: 'verified' })
    await careful.unlock({ password })
    await expect(careful.documentKeys(docId).rotate('age')).rejects.toMatchObject({ code: 'unverified' })
  })
})

test('L1 E-9 a key that is not the one that the log announces is not used', async () => {
  const { people } = await team(['ada'])
  const [ada] = people as [Member]
  const vault = await opened(ada)
  const keys = vault.documentKeys(`${ada.userId}/notes`)
  await keys.current()
  keys.record?.(new Uint8Array([1, 0, 0, 0, 1, 0, ...new Uint8Array(64)]))
  expect((await keys.current()).epoch).toBe(0)
  await expect(keys.rotate('age')).rejects.toMatchObject({ code: 'forged' })
})

describe('a new device', () => {
  test('L8 is let in by an old one, after both showed the same digits', async () => {
    const { t, people } = await team(['ada'])
    const [ada] = people as [Member]
    const old = await opened(ada)
    const docId = `${ada.userId}/notes`
    const key = await old.documentKeys(docId).current()
    const fresh = ada.device()
    const request = await fresh.requestApproval()
    expect(request.svg).toStartWith('<svg')
    const approval = await old.approveDevice(request.link)
    expect(await request.digits).toBe(approval.digits)
    expect(approval.digits).toMatch(/^\d{6}$/)
    expect((await fresh.status()).unlocked).toBe(false)
    await approval.confirm()
    await request.done
    expect(await fresh.documentKeys(docId).current()).toEqual(key)
    // What was sealed is gone, and the code is worth nothing any more.
    await expect(old.approveDevice(request.link)).rejects.toMatchObject({ code: 'resource_not_found' })
    expect(await everythingStored(t)).not.toContain(approval.digits)
  })

  test('L8 of somebody else is not let in, and neither is one whose code was relayed', async () => {
    const { people } = await team(['ada', 'eve'])
    const [ada, eve] = people as [Member, Member]
    const old = await opened(ada)
    // Eve shows Ada a code of her own session: for Ada's devices there is no such pairing.
    const eves = await eve.device().requestApproval()
    await expect(old.approveDevice(eves.link)).rejects.toMatchObject({ code: 'resource_not_found' })
    eves.cancel()
    // Somebody with Ada's session puts another key into the code of her new device.
    const fresh = ada.device()
    const request = await fresh.requestApproval()
    const payload = parseLink(request.link)
    if (payload.kind !== 'device') throw new Error('no code of a device')
    const swapped = linkText({ ...payload, publicKey: (await generateKeyPair()).publicKey })
    const approval = await old.approveDevice(swapped)
    expect(await request.digits).not.toBe(approval.digits)
    request.cancel()
    await expect(request.done).rejects.toMatchObject({ code: 'pairing_refused' })
  })
})
