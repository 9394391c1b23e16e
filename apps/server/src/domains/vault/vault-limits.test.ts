import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import { testInstance } from '../../testing/server.ts'
import { createUser } from '../users/index.ts'
import { maxRotationsAnHour } from './document-keys.ts'
import {
  createVault,
  getDocumentKeys,
  getVault,
  giveDocumentKeys,
  maxWraps,
  rotateDocumentKey,
  setWrap,
} from './index.ts'
import { vaultEpochs } from './tables.ts'
import { person } from './testing.ts'

test('L5 K10 a vault has a bounded number of ways in, each of its own name', async () => {
  const t = await testInstance()
  const [{ id: userId }, { id: other }] = [await createUser(t.ctx(), {}), await createUser(t.ctx(), {})]
  const [ada, bob] = [await person(userId), await person(other)]
  const twice = createVault(t.ctx(), { userId: other, keys: bob.keys, wraps: [bob.wrap(), bob.wrap()] })
  await expect(twice).rejects.toMatchObject({ code: 'form_param_value_invalid' })

  const devices = Array.from({ length: maxWraps - 1 }, (_, i) => ada.wrap('device', `laptop ${i}`))
  await createVault(t.ctx(), { userId, keys: ada.keys, wraps: [ada.wrap(), ...devices] })
  const set = async (name: string) => {
    const { version } = await getVault(t.ctx(), userId)
    const wrap = ada.wrap('device', name)
    const signature = await ada.signed('wrap', userId, String(version), 'device', name, '', wrap.sealed)
    return setWrap(t.ctx(), { userId, version, wrap, signature })
  }
  await expect(set('one too many')).rejects.toMatchObject({ code: 'conflict' })
  // Nothing was written, and one that is there is still replaced.
  const { version, wraps } = await getVault(t.ctx(), userId)
  expect([version, wraps.length]).toEqual([1, maxWraps])
  expect((await set('laptop 0')).wraps).toHaveLength(maxWraps)
})

test('K10 one person replaces the key of a document a bounded number of times in an hour', async () => {
  const t = await testInstance()
  const { id: userId } = await createUser(t.ctx(), {})
  const docId = `${userId}/notes`
  const ada = await person(userId)
  await createVault(t.ctx(), { userId, keys: ada.keys, wraps: [ada.wrap()] })
  await giveDocumentKeys(t.ctx(), {
    userId,
    docId,
    grants: await ada.grants(docId, 0, [userId]),
    keyHash: ada.random(32),
  })
  const rotate = async (from: number) => {
    const keyRecord = crypto.getRandomValues(new Uint8Array(200))
    keyRecord.set([0x55, 0x31, 4, 0, 0, 0, 0, from])
    keyRecord.fill(0, 24, 32)
    const grants = await ada.grants(docId, from + 1, [userId])
    const keyHash = ada.random(32)
    return rotateDocumentKey(t.ctx(), { userId, docId, from, grants, keyHash, keyRecord, reason: 'age' })
  }
  await rotate(0)
  // As if they had gone on.
  const earlier = Array.from({ length: maxRotationsAnHour - 2 }, (_, i) => i + 1000)
  const instanceId = t.ctx().instance.id
  await transaction(t.ctx(), (tx) =>
    tx.db
      .insert(vaultEpochs)
      .values(
        earlier.map((epoch) => ({ instanceId, docId, epoch, keyHash: '', createdBy: userId, createdAt: tx.now() })),
      ),
  )
  await expect(rotate(1)).rejects.toMatchObject({ code: 'too_many_requests' })
  expect((await getDocumentKeys(t.ctx(), { userId, docId })).document?.epoch).toBe(1)
  t.advance(61 * 60_000)
  expect((await rotate(1)).epoch).toBe(2)
})
