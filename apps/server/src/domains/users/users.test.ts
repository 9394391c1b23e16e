import { expect, test } from 'bun:test'
import { testInstance } from '../../testing/server.ts'
import {
  addEmailAddress,
  createUser,
  deleteEmailAddress,
  findUserByEmail,
  findUsers,
  getUser,
  mergeUserMetadata,
  unverifyEmailAddress,
  verifyEmailAddress,
} from './index.ts'

test('merges at the same time all arrive', async () => {
  const ctx = (await testInstance()).ctx()
  const { id } = await createUser(ctx, {})
  const keys = Array.from({ length: 10 }, (_, i) => `k${i}`)
  await Promise.all(keys.map((key) => mergeUserMetadata(ctx, { id, publicMetadata: { [key]: true } })))
  expect(Object.keys((await getUser(ctx, id)).publicMetadata).sort()).toEqual(keys)
})

test('of two who claim an address, the first to prove it owns it', async () => {
  const ctx = (await testInstance()).ctx()
  const claim = async () => {
    const { id } = await createUser(ctx, {})
    return addEmailAddress(ctx, { userId: id, emailAddress: 'Shared@Example.com', verifiedBy: null })
  }
  const claims = [await claim(), await claim()]
  expect(await findUserByEmail(ctx, 'shared@example.com')).toBeUndefined()
  const proofs = await Promise.allSettled(
    claims.map(({ id }) => verifyEmailAddress(ctx, { id, verifiedBy: 'email_code' })),
  )
  expect(proofs.map((p) => p.status).sort()).toEqual(['fulfilled', 'rejected'])
  const lost = proofs.find((p) => p.status === 'rejected')
  expect(lost?.reason).toMatchObject({ code: 'form_identifier_exists' })
  const winner = claims[proofs.findIndex((p) => p.status === 'fulfilled')]
  expect((await findUserByEmail(ctx, 'SHARED@example.com'))?.id).toBe(winner?.userId as string)
  expect((await getUser(ctx, winner?.userId as string)).primaryEmailAddressId).toBe(winner?.id as string)
  await expect(deleteEmailAddress(ctx, winner?.id as string)).rejects.toMatchObject({
    code: 'identification_deletion_failed',
  })
})

test('an address of which the proof was taken back signs nobody in, and belongs to whoever proves it next', async () => {
  const ctx = (await testInstance()).ctx()
  const addresses = ['first@example.com', 'second@example.com']
  const ada = await createUser(ctx, {
    emailAddresses: addresses.map((emailAddress) => ({ emailAddress, verifiedBy: 'email_code' as const })),
  })
  const idOf = (address: string) => ada.emailAddresses.find((e) => e.emailAddress === address)?.id as string
  const [first, second] = addresses.map(idOf) as [string, string]
  expect(ada.primaryEmailAddressId).toBe(first)
  expect(await unverifyEmailAddress(ctx, first)).toMatchObject({ verifiedAt: null, verificationStrategy: null })
  expect(await findUserByEmail(ctx, 'first@example.com')).toBeUndefined()
  expect((await getUser(ctx, ada.id)).primaryEmailAddressId).toBe(second)
  const bob = await createUser(ctx, {
    emailAddresses: [{ emailAddress: 'first@example.com', verifiedBy: 'email_code' }],
  })
  expect((await findUserByEmail(ctx, 'first@example.com'))?.id).toBe(bob.id)
  await expect(verifyEmailAddress(ctx, { id: first, verifiedBy: 'admin' })).rejects.toMatchObject({
    code: 'form_identifier_exists',
  })
  await unverifyEmailAddress(ctx, second)
  expect((await getUser(ctx, ada.id)).primaryEmailAddressId).toBeNull()
  const foreign = (await testInstance()).ctx()
  await expect(unverifyEmailAddress(foreign, second)).rejects.toMatchObject({ code: 'resource_not_found' })
})

test('a user whose address is taken is not created at all', async () => {
  const ctx = (await testInstance()).ctx()
  const taken = { emailAddress: 'ada@example.com', verifiedBy: 'admin' as const }
  const ada = await createUser(ctx, { emailAddresses: [taken] })
  const second = createUser(ctx, { username: 'second', emailAddresses: [taken] })
  await expect(second).rejects.toMatchObject({ code: 'form_identifier_exists' })
  expect((await createUser(ctx, { username: 'second' })).username).toBe('second')
  expect((await findUsers(ctx, ['user_nobody', ada.id])).map((u) => u.id)).toEqual([ada.id])
})
