import { expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { createOrganization } from '../domains/organizations/index.ts'
import { addEmailAddress, createUser, deleteEmailAddress, deleteUser, updateUser } from '../domains/users/index.ts'
import { type TestInstance, testInstance } from '../testing/server.ts'
import { type Tx, transaction } from './transaction.ts'

const documentsOf = (instance: TestInstance, view = 'searchable_users') =>
  transaction(instance.ctx(), async (tx) => {
    const rows = await tx.db.execute<{ document: string }>(sql.raw(`select document from ${view} order by document`))
    return rows.map((row) => row.document)
  })

test('what people are searched by follows their names, addresses and numbers', async () => {
  const t = await testInstance()
  const ctx = t.ctx()
  const ada = await createUser(ctx, {
    firstName: 'Ada',
    lastName: 'ÉCLAIR',
    username: 'AdaL',
    emailAddresses: [{ emailAddress: 'ada@example.com', verifiedBy: 'admin' }],
    phoneNumbers: [{ phoneNumber: '+491511234567', verifiedBy: 'admin' }],
  })
  expect(await documentsOf(t)).toEqual(['ada éclair\nadal\nada@example.com\n+491511234567'])

  const second = await addEmailAddress(ctx, {
    userId: ada.id,
    emailAddress: 'countess@example.com',
    verifiedBy: 'admin',
  })
  expect(await documentsOf(t)).toEqual(['ada éclair\nadal\nada@example.com\ncountess@example.com\n+491511234567'])

  await deleteEmailAddress(ctx, second.id)
  await updateUser(ctx, { id: ada.id, lastName: null, username: null })
  expect(await documentsOf(t)).toEqual(['ada\n\nada@example.com\n+491511234567'])

  await deleteUser(ctx, ada.id)
  expect(await documentsOf(t)).toEqual([])
})

test('addresses that are added at the same time can all be searched', async () => {
  const t = await testInstance()
  const { id: userId } = await createUser(t.ctx(), {})
  const add = (on: Parameters<typeof addEmailAddress>[0], name: string) =>
    addEmailAddress(on, { userId, emailAddress: `${name}@example.com`, verifiedBy: 'admin' })
  const found = async () => (await documentsOf(t))[0]?.match(/\w+(?=@)/g)?.sort()
  /** Does something while a transaction that did something else is still open. */
  const within = async (first: (tx: Tx) => Promise<unknown>, second: () => Promise<unknown>) => {
    const { promise: done, resolve } = Promise.withResolvers<void>()
    const slow = transaction(t.ctx(), async (tx) => {
      await first(tx)
      resolve()
      await Bun.sleep(150)
    })
    await done
    await Promise.all([slow, second()])
  }
  await within(
    (tx) => add(tx, 'one'),
    () => add(t.ctx(), 'two'),
  )
  expect(await found()).toEqual(['one', 'two'])
  const three = await add(t.ctx(), 'three')
  await within(
    (tx) => add(tx, 'four'),
    () => deleteEmailAddress(t.ctx(), three.id),
  )
  expect(await found()).toEqual(['four', 'one', 'two'])
})

test('the views of the search show nothing of another instance, and nothing without one', async () => {
  const a = await testInstance()
  const b = await testInstance()
  await createUser(b.ctx(), { firstName: 'Secret' })
  await createOrganization(b.ctx(), { name: 'Secret plans' })
  for (const view of ['searchable_users', 'searchable_organizations']) {
    expect(await documentsOf(a, view)).toEqual([])
    expect(await documentsOf(b, view)).toHaveLength(1)
    const { tenant } = a.server.runtime.database
    expect(await tenant.unsafe(`select document from ${view} where document like '%secret%'`)).toHaveLength(0)
    const change = tenant.unsafe(`delete from ${view}`).then(() => 'allowed')
    await expect(change).rejects.toMatchObject({ errno: '42501' })
  }
})
