import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import { emit, listEvents } from '../events/index.ts'
import { deleteWhatIsOver } from '../upkeep/index.ts'
import { createWebhookEndpoint, deleteWebhookEndpoint, listDeliveries } from './index.ts'
import { startReceiver, until, webhookInstance } from './testing.ts'

const day = 86_400_000

test('events and the log go when their time is over; what waits stays, and what endpoints leave behind goes', async () => {
  await using w = await webhookInstance({
    present: async (_, events) => events.map((e) => ({ id: e.subject })),
    patience: { retrySeconds: [3600] },
  })
  const receiver = startReceiver(({ event }) => new Response(null, { status: event.data.id === 'bad' ? 500 : 200 }))
  const { endpoint } = await createWebhookEndpoint(w.ctx(), { url: receiver.origin })
  const tell = (subject: string, type = 'user.updated') =>
    transaction(w.t.ctx(), async (tx) => emit(tx, { type, subject, data: {} }))
  for (const subject of ['a', 'b', 'bad']) await tell(subject)
  await tell('noise', 'session.touched')
  const log = async () => (await listDeliveries(w.ctx(), { endpointId: endpoint.id, run: 0, limit: 10 })).data
  await until(async () => (await log()).length === 3, 'the deliveries')
  await w.dispatcher.stop()
  receiver.stop()
  const { systemSql } = w.runtime.database
  const { id } = w.t.ctx().instance
  const noise = async () =>
    (await systemSql`select 1 from events where instance_id = ${id} and position is null`).length
  const told = async () => (await listEvents(w.ctx(), { limit: 100 })).data.length
  const before = await told()
  const states = async () => (await log()).map((d) => d.state).sort()
  expect([await noise(), await states()]).toEqual([1, ['delivered', 'delivered', 'waiting']])

  w.t.advance(2 * day)
  await deleteWhatIsOver(w.t.ctx())
  expect([await noise(), await told(), (await log()).length]).toEqual([0, before, 3])
  w.t.advance(13 * day)
  await deleteWhatIsOver(w.t.ctx())
  expect([await states(), await told()]).toEqual([['waiting'], before])
  w.t.advance(16 * day)
  await deleteWhatIsOver(w.t.ctx(), { limit: 2 })
  expect(await told()).toBe(0)
  await deleteWebhookEndpoint(w.ctx(), endpoint.id)
  await deleteWhatIsOver(w.t.ctx())
  expect(await systemSql`select 1 from webhook_deliveries where endpoint_id = ${endpoint.id}`).toHaveLength(0)
  expect(await systemSql`select 1 from webhook_lanes where endpoint_id = ${endpoint.id}`).toHaveLength(0)
})
