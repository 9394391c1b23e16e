import { expect, test } from 'bun:test'
import { createUser, deleteUser, updateUser } from '../users/index.ts'
import { createWebhookEndpoint, listDeliveries } from './index.ts'
import { startReceiver, until, webhookInstance } from './testing.ts'

test('what happens is delivered in order, signed, and stands in the log', async () => {
  await using w = await webhookInstance()
  const receiver = startReceiver()
  const { endpoint, secret } = await createWebhookEndpoint(w.ctx(), { url: `${receiver.origin}/hooks` })
  const user = await createUser(w.ctx(), { emailAddresses: [{ emailAddress: 'ada@example.com', verifiedBy: 'admin' }] })
  await until(() => receiver.received.length === 1, 'user.created')
  await updateUser(w.ctx(), { id: user.id, firstName: 'Ada' })
  await until(() => receiver.received.length === 2, 'user.updated')
  await deleteUser(w.ctx(), user.id)
  await until(() => receiver.received.length === 3, 'user.deleted')
  receiver.stop()

  const [created, updated, deleted] = receiver.received.map((r) => r.event)
  expect(created).toMatchObject({ type: 'user.created', data: { object: 'user', id: user.id } })
  expect(updated).toMatchObject({ type: 'user.updated', data: { first_name: 'Ada' } })
  expect(deleted).toMatchObject({ type: 'user.deleted', data: { object: 'user', id: user.id, deleted: true } })
  expect(secret).toStartWith('whsec_')
  await until(
    async () => (await listDeliveries(w.ctx(), { endpointId: endpoint.id, run: 0, limit: 10 })).data.length === 3,
  )
})
