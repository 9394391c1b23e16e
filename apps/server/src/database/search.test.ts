import { expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { createOrganization } from '../domains/organizations/index.ts'
import { addEmailAddress, createUser, deleteEmailAddress, deleteUser, updateUser } from '../domains/users/index.ts'
import { type TestInstance, testInstance } from '../testing/server.ts'
import { transaction } from './transaction.ts'

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
