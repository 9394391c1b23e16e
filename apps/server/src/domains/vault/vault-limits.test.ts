import { expect, test } from 'bun:test'
import { testInstance } from '../../testing/server.ts'
import { createUser } from '../users/index.ts'
import { createVault, getVault, maxWraps, setWrap } from './index.ts'
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
