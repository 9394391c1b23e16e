import { expect, test } from 'bun:test'
import { eq } from 'drizzle-orm'
import { emit } from '../domains/events/index.ts'
import { clients, clientTokens } from '../domains/sessions/tables.ts'
import { newId } from '../kernel/ids.ts'
import { testInstance } from '../testing/server.ts'
import { takeLater, transaction, writeLater, writeTogether } from './index.ts'

type Test = Awaited<ReturnType<typeof testInstance>>

const rowsOf = (t: Test, instanceId = t.ctx().instance.id) => {
  const now = new Date()
  const client = { id: newId('client'), instanceId, createdAt: now, updatedAt: now }
  const token = {
    tokenHash: `hash of ${client.id}`,
    instanceId,
    clientId: client.id,
    carrier: 'cookie' as const,
    createdAt: now,
    expiresAt: now,
  }
  return { client, token }
}

const found = (t: Test, id: string) =>
  transaction(t.ctx(), async (tx) => ({
    clients: await tx.db.select().from(clients).where(eq(clients.id, id)),
    tokens: await tx.db.select().from(clientTokens).where(eq(clientTokens.clientId, id)),
  }))

test('rows that wait for the commit are written together, whichever refers to which, with facts and without', async () => {
  const t = await testInstance()
  for (const facts of [0, 1, 9]) {
    const { client, token } = rowsOf(t)
    await transaction(t.ctx(), async (tx) => {
      writeLater(tx, clientTokens, token)
      for (let i = 0; i < facts; i += 1)
        emit(tx, { type: 'thing.updated', subject: `thing_${i}`, data: { id: `thing_${i}` } })
      writeLater(tx, clients, client)
      expect(await tx.db.select().from(clients).where(eq(clients.id, client.id))).toEqual([])
    })
    const written = await found(t, client.id)
    expect(written.clients).toMatchObject([{ ...client, signInId: null, lastActiveSessionId: null }])
    expect(written.tokens).toEqual([token])
  }
})

test('they are all written or none is', async () => {
  const t = await testInstance()
  const { client, token } = rowsOf(t)
  const failed = transaction(t.ctx(), async (tx) => {
    writeLater(tx, clients, client)
    writeLater(tx, clientTokens, { ...token, clientId: 'client_of_nobody' })
    emit(tx, { type: 'thing.updated', subject: 'thing_never', data: { id: 'thing_never' } })
  })
  await expect(failed).rejects.toThrow('client_tokens')
  const thrown = transaction(t.ctx(), async (tx) => {
    writeLater(tx, clients, client)
    throw new Error('something else went wrong')
  })
  await expect(thrown).rejects.toThrow('something else went wrong')
  expect(await found(t, client.id)).toEqual({ clients: [], tokens: [] })
})

test('none of them may be of another instance', async () => {
  const [t, other] = [await testInstance(), await testInstance()]
  const { client } = rowsOf(t)
  const { client: foreign } = rowsOf(t, other.ctx().instance.id)
  const written = transaction(t.ctx(), async (tx) => {
    writeLater(tx, clients, foreign)
    writeLater(tx, clients, client)
  })
  await expect(written).rejects.toThrow('row-level security')
  expect(await found(t, client.id)).toEqual({ clients: [], tokens: [] })
})

test('several rows of a table, and a column of each in their order', async () => {
  const t = await testInstance()
  const made = Array.from({ length: 3 }, () => rowsOf(t))
  const ids = await transaction(t.ctx(), (tx) =>
    writeTogether(
      tx,
      [
        { table: clientTokens, rows: made.map(({ token }) => token) },
        { table: clients, rows: made.map(({ client }) => client) },
      ],
      clients.id,
    ),
  )
  expect(ids).toEqual(made.map(({ client }) => client.id))
})

test('what was taken to be written is not written twice', async () => {
  const t = await testInstance()
  const { client } = rowsOf(t)
  await transaction(t.ctx(), async (tx) => {
    writeLater(tx, clients, client)
    await writeTogether(tx, takeLater(tx))
    expect(takeLater(tx)).toEqual([])
  })
  expect((await found(t, client.id)).clients).toHaveLength(1)
})
