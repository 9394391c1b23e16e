import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import { emit, listEvents } from '../events/index.ts'
import { messages } from '../messaging/tables.ts'
import { createUser } from '../users/index.ts'
import {
  createWebhookEndpoint,
  getWebhookEndpoint,
  listDeliveries,
  replayWebhooks,
  rotateWebhookSecret,
  updateWebhookEndpoint,
} from './index.ts'
import { startReceiver, until, webhookInstance } from './testing.ts'

type Webhooks = Awaited<ReturnType<typeof webhookInstance>>

/** Facts about made-up people, without the cost of making them. */
const presentAny = {
  present: async (_: unknown, events: { subject: string; data: object }[]) =>
    events.map((e) => ({ id: e.subject, ...e.data })),
}

async function tell(w: Webhooks, subjects: string[], each = 1) {
  for (let i = 0; i < each; i += 1)
    await transaction(w.t.ctx(), async (tx) => {
      for (const subject of subjects) emit(tx, { type: 'user.updated', subject, data: { i } })
    })
}
const bySubject = (received: { event: { data: Record<string, unknown> } }[]) => {
  const seen: Record<string, unknown[]> = {}
  for (const { event } of received) {
    const name = String(event.data.id)
    seen[name] = [...(seen[name] ?? []), event.data.i]
  }
  return seen
}
const log = async (w: Webhooks, endpointId: string, run = 0) =>
  (await listDeliveries(w.ctx(), { endpointId, run, limit: 500 })).data

test('what one event meets holds up what comes about the same thing and nothing else', async () => {
  await using w = await webhookInstance(presentAny)
  let refuse = true
  const receiver = startReceiver(
    ({ event }) => new Response(null, { status: refuse && event.data.id === 'bad' ? 500 : 200 }),
  )
  const { endpoint } = await createWebhookEndpoint(w.ctx(), { url: receiver.origin })
  const names = ['bad', 'a', 'b', 'c']
  await tell(w, names, 5)
  const accepted = () => bySubject(receiver.received.filter((r) => r.event.data.id !== 'bad'))
  await until(() => Object.values(accepted()).flat().length === 15, 'the others')
  expect(accepted()).toEqual({ a: [0, 1, 2, 3, 4], b: [0, 1, 2, 3, 4], c: [0, 1, 2, 3, 4] })
  expect(new Set(bySubject(receiver.received).bad)).toEqual(new Set([0]))
  refuse = false
  const inOrder = () => (bySubject(receiver.received).bad ?? []).filter((i, at, all) => all.indexOf(i) === at)
  await until(() => inOrder().length === 5, 'what waited')
  receiver.stop()
  expect(inOrder()).toEqual([0, 1, 2, 3, 4])
  await until(async () => (await log(w, endpoint.id)).every((d) => d.state === 'delivered'), 'the log')
  const logged = await log(w, endpoint.id)
  expect(logged).toHaveLength(20)
  const retried = logged.filter((d) => d.attempts > 1)
  expect(retried).toHaveLength(1)
})

test('an event that is refused to the end is given up, told of in the log, and can be delivered after all', async () => {
  await using w = await webhookInstance(presentAny)
  let refuse = true
  const receiver = startReceiver(
    ({ event }) => new Response(null, { status: refuse && event.data.id === 'bad' && event.data.i === 0 ? 422 : 200 }),
  )
  const { endpoint } = await createWebhookEndpoint(w.ctx(), { url: receiver.origin })
  await tell(w, ['bad'], 2)
  // Others are accepted all the while, so the endpoint is not down.
  const others = (async () => {
    for (let i = 0; i < 30; i += 1) {
      await tell(w, [`other_${i}`])
      await Bun.sleep(30)
    }
  })()
  await until(async () => (await log(w, endpoint.id)).some((d) => d.state === 'failed'), 'giving up')
  await others
  await until(() => bySubject(receiver.received).bad?.includes(1) ?? false, 'what stood behind it')
  await until(async () => (await log(w, endpoint.id)).length === 32, 'the others')
  const [failed] = (await log(w, endpoint.id)).filter((d) => d.state === 'failed')
  expect(failed).toMatchObject({ attempts: 4, responseStatus: 422, error: 'refused', nextAttemptAt: null })
  refuse = false
  receiver.received.length = 0
  await until(async () => {
    const range = await replayWebhooks(w.ctx(), { endpointId: endpoint.id, failedOnly: true }).catch(() => undefined)
    return range?.run === 0
  })
  await until(() => receiver.received.length > 0, 'the replay')
  receiver.stop()
  expect(receiver.received.map((r) => [r.id, r.event.data.i])).toEqual([[failed?.messageId, 0]])
})

test('an endpoint that is down is tried with one delivery at a time, and gets everything once it is back', async () => {
  await using w = await webhookInstance(presentAny)
  const receiver = startReceiver(() => new Response(null, { status: 503 }))
  const { endpoint } = await createWebhookEndpoint(w.ctx(), { url: receiver.origin })
  const names = Array.from({ length: 50 }, (_, i) => `user_${i}`)
  await tell(w, names, 4)
  await until(async () => (await getWebhookEndpoint(w.ctx(), endpoint.id)).pausedUntil !== null, 'the pause')
  const met = receiver.received.length
  expect(met).toBeLessThanOrEqual(20)
  await Bun.sleep(1000)
  // Two or three tries, and not hundreds.
  expect(receiver.received.length - met).toBeLessThanOrEqual(6)
  const accepted: typeof receiver.received = []
  receiver.answer((delivery) => {
    accepted.push(delivery)
    return new Response()
  })
  await until(() => accepted.length >= 200, 'everything')
  await Bun.sleep(300)
  receiver.stop()
  expect(bySubject(accepted)).toEqual(Object.fromEntries(names.map((name) => [name, [0, 1, 2, 3]])))
  expect(await getWebhookEndpoint(w.ctx(), endpoint.id)).toMatchObject({ failingSince: null, pausedUntil: null })
  expect(await log(w, endpoint.id)).toHaveLength(200)
})

test('a dead endpoint and one that never answers delay a live one by nothing', async () => {
  await using w = await webhookInstance(presentAny)
  const live = startReceiver()
  const stuck = startReceiver(() => new Promise(() => {}))
  const dead = startReceiver()
  dead.stop()
  for (const { origin } of [dead, stuck, live]) await createWebhookEndpoint(w.ctx(), { url: origin })
  const at = performance.now()
  for (let i = 0; i < 20; i += 1) await tell(w, [`user_${i}`], 5)
  await until(() => live.received.length === 100, 'the live one')
  expect(performance.now() - at).toBeLessThan(3000)
  expect(Object.keys(bySubject(live.received))).toHaveLength(20)
  for (const seen of Object.values(bySubject(live.received))) expect(seen).toEqual([0, 1, 2, 3, 4])
  live.stop()
  stuck.stop()
})

test('an endpoint that accepts nothing for too long is disabled, and whoever runs the application is told', async () => {
  await using w = await webhookInstance({
    ...presentAny,
    patience: { retrySeconds: [0.05], pauseSeconds: [0.05], tolerated: 3, disableAfterHours: 0.3 / 3600 },
  })
  await w.runtime.instances.changeSettings(w.t.ctx().instance.id, { webhooks: { noticeEmail: 'ops@example.com' } })
  const receiver = startReceiver(() => new Response(null, { status: 500 }))
  const witness = startReceiver()
  const { endpoint } = await createWebhookEndpoint(w.ctx(), { url: `${receiver.origin}/api`, eventTypes: ['user.*'] })
  await createWebhookEndpoint(w.ctx(), { url: witness.origin, eventTypes: ['webhookEndpoint.disabled'] })
  await tell(w, ['a', 'b', 'c', 'd'])
  await until(async () => (await getWebhookEndpoint(w.ctx(), endpoint.id)).disabledAt !== null, 'disabling')
  expect(await getWebhookEndpoint(w.ctx(), endpoint.id)).toMatchObject({ disabledReason: 'failing' })
  await until(() => witness.received.length === 1, 'the event')
  expect(witness.received[0]?.event).toMatchObject({
    type: 'webhookEndpoint.disabled',
    data: { id: endpoint.id, reason: 'failing' },
  })
  const mail = await transaction(w.t.ctx(), (tx) => tx.db.select().from(messages))
  expect(mail).toMatchObject([{ template: 'webhook_endpoint_disabled', toAddress: 'ops@example.com' }])
  expect(mail[0]?.text).toContain(`${receiver.origin}/api`)

  // Enabled again, it gets what it missed.
  await tell(w, ['e'])
  receiver.received.length = 0
  receiver.answer(() => new Response())
  await updateWebhookEndpoint(w.ctx(), { id: endpoint.id, disabled: false })
  await until(() => new Set(receiver.received.map((r) => r.event.data.id)).size === 5, 'what was missed')
  receiver.stop()
  witness.stop()
})

test('an endpoint that says it is gone is asked no more, and one that asks for time gets it', async () => {
  await using w = await webhookInstance(presentAny)
  const gone = startReceiver(() => new Response(null, { status: 410 }))
  const busy = startReceiver(() => new Response(null, { status: 429, headers: { 'retry-after': '1' } }))
  const { endpoint } = await createWebhookEndpoint(w.ctx(), { url: gone.origin })
  const { endpoint: other } = await createWebhookEndpoint(w.ctx(), { url: busy.origin, eventTypes: ['user.*'] })
  await tell(w, ['a'])
  await until(async () => (await getWebhookEndpoint(w.ctx(), endpoint.id)).disabledReason === 'gone', 'disabling')
  await until(async () => (await getWebhookEndpoint(w.ctx(), other.id)).pausedUntil !== null, 'the pause')
  const asked = busy.received.length
  await tell(w, ['b'])
  await Bun.sleep(500)
  expect(busy.received.length).toBe(asked)
  busy.answer(() => new Response())
  await until(() => new Set(busy.received.map((r) => r.event.data.id)).size === 2, 'the rest')
  gone.stop()
  busy.stop()
})

test('endpoints get the types that they want, and a change counts from the next delivery', async () => {
  await using w = await webhookInstance(presentAny)
  const receiver = startReceiver()
  const { endpoint } = await createWebhookEndpoint(w.ctx(), {
    url: receiver.origin,
    eventTypes: ['user.created', 'role.*'],
  })
  await transaction(w.t.ctx(), async (tx) => {
    for (const type of ['user.updated', 'role.updated', 'user.created', 'jwtTemplate.created', 'role.created'])
      emit(tx, { type, subject: `of ${type}`, data: {} })
  })
  await until(() => receiver.received.length === 3, 'the wanted ones')
  expect(receiver.received.map((r) => r.event.type).sort()).toEqual(['role.created', 'role.updated', 'user.created'])
  const elsewhere = startReceiver()
  await updateWebhookEndpoint(w.ctx(), { id: endpoint.id, url: elsewhere.origin, eventTypes: null })
  await tell(w, ['a'])
  await until(() => elsewhere.received.some((r) => r.event.data.id === 'a'), 'the new place')
  expect(receiver.received).toHaveLength(3)
  receiver.stop()
  elsewhere.stop()
})

test('while a secret is replaced both sign, until the old one’s time is over', async () => {
  await using w = await webhookInstance(presentAny)
  const receiver = startReceiver()
  const { endpoint } = await createWebhookEndpoint(w.ctx(), { url: receiver.origin })
  const signatures = async (name: string) => {
    await tell(w, [name])
    await until(() => receiver.received.some((r) => r.event.data.id === name))
    return (
      receiver.received
        .find((r) => r.event.data.id === name)
        ?.headers.get('svix-signature')
        ?.split(' ') ?? []
    )
  }
  expect(await signatures('a')).toHaveLength(1)
  await rotateWebhookSecret(w.ctx(), { id: endpoint.id })
  expect(await signatures('b')).toHaveLength(2)
  await rotateWebhookSecret(w.ctx(), { id: endpoint.id, overlapHours: 0 })
  expect(await signatures('c')).toHaveLength(1)
  receiver.stop()
})

test('a range is replayed under the ids that events had, beside what is new', async () => {
  await using w = await webhookInstance(presentAny)
  const receiver = startReceiver()
  const { endpoint } = await createWebhookEndpoint(w.ctx(), { url: receiver.origin })
  await tell(w, ['a', 'b', 'c'], 3)
  await until(async () => (await log(w, endpoint.id)).length === 9, 'the first time')
  const first = receiver.received.splice(0)
  const sequences = first.map((r) => r.event.event_attributes.sequence).sort((x, y) => x - y)
  const range = await replayWebhooks(w.ctx(), { endpointId: endpoint.id, after: sequences[1], until: sequences[6] })
  expect(range).toMatchObject({ run: 1, after: sequences[1], until: sequences[6] })
  await tell(w, ['d'])
  await until(() => receiver.received.length === 6, 'the replay')
  receiver.stop()
  const again = receiver.received.filter((r) => r.event.data.id !== 'd')
  const wanted = sequences.slice(2, 7)
  expect(again.map((r) => r.event.event_attributes.sequence).sort((x, y) => x - y)).toEqual(wanted)
  const idOf = (sequence: number) => first.find((r) => r.event.event_attributes.sequence === sequence)?.id
  for (const r of again) expect(r.id).toBe(idOf(r.event.event_attributes.sequence) ?? '')
  await until(async () => (await log(w, endpoint.id, 1)).length === 5, 'the log of the replay')
  // A replay that is over leaves no lane behind: the next ones are not too many.
  for (let i = 0; i < 5; i += 1) {
    await until(async () => {
      const { run } = await replayWebhooks(w.ctx(), { endpointId: endpoint.id, after: sequences[7] }).catch(() => ({
        run: 0,
      }))
      return run > 1
    })
  }
})

test('several nodes share the endpoints without delivering twice, and take over from one that is gone', async () => {
  await using w = await webhookInstance(presentAny)
  const others = [w.make(), w.make()]
  for (const node of others) node.start()
  const receivers = Array.from({ length: 6 }, () => startReceiver())
  for (const { origin } of receivers) await createWebhookEndpoint(w.ctx(), { url: origin })
  for (let i = 0; i < 20; i += 1) await tell(w, ['a', 'b', 'c', 'd', 'e'])
  await until(() => receivers.every((r) => r.received.length >= 100), 'all')
  for (const node of others) await node.stop()
  for (let i = 20; i < 25; i += 1) await tell(w, ['a', 'b', 'c', 'd', 'e'])
  await until(() => receivers.every((r) => r.received.length >= 125), 'the rest')
  await Bun.sleep(200)
  for (const receiver of receivers) {
    expect(new Set(receiver.received.map((r) => r.id)).size).toBe(125)
    expect(receiver.received).toHaveLength(125)
    receiver.stop()
  }
})

test('what was gone before it could be told of is skipped, and what follows says so', async () => {
  await using w = await webhookInstance()
  const receiver = startReceiver()
  const { endpoint } = await createWebhookEndpoint(w.ctx(), { url: receiver.origin })
  await transaction(w.t.ctx(), async (tx) => {
    emit(tx, { type: 'user.created', subject: 'user_nobody', data: { user_id: 'user_nobody' } })
    emit(tx, { type: 'user.deleted', subject: 'user_nobody', data: { user_id: 'user_nobody' } })
  })
  await createUser(w.ctx(), { emailAddresses: [] })
  await until(() => receiver.received.length === 2, 'two of three')
  receiver.stop()
  expect(receiver.received.map((r) => r.event.type).sort()).toEqual(['user.created', 'user.deleted'])
  await until(async () => (await log(w, endpoint.id)).length === 3, 'the log')
  expect((await log(w, endpoint.id)).map((d) => d.state)).toEqual(['delivered', 'delivered', 'skipped'])
})

test('of fifty endpoints five are dead and five slow: nothing is lost, everything is in order, the live ones do not wait', async () => {
  await using w = await webhookInstance(presentAny)
  const receivers = Array.from({ length: 45 }, (_, i) =>
    startReceiver(async () => {
      if (i >= 40) await Bun.sleep(50)
      return new Response()
    }),
  )
  const dead = Array.from({ length: 5 }, () => startReceiver(() => new Response(null, { status: 502 })))
  for (const { origin } of [...receivers, ...dead]) await createWebhookEndpoint(w.ctx(), { url: origin })
  const names = Array.from({ length: 20 }, (_, i) => `user_${i}`)
  await tell(w, names, 10)
  const isLive = (i: number) => i < 40
  await until(() => receivers.every((r, i) => !isLive(i) || r.received.length >= 200), 'the live ones', 30_000)
  await until(() => receivers.every((r) => r.received.length >= 200), 'the slow ones', 30_000)
  for (const one of dead) {
    one.received.length = 0
    one.answer(() => new Response())
  }
  const distinct = (received: { id: string }[]) => new Set(received.map((r) => r.id)).size
  await until(() => dead.every((r) => distinct(r.received) >= 200), 'those that came back', 30_000)
  const order = Array.from({ length: 10 }, (_, i) => i)
  for (const { received } of [...receivers, ...dead]) {
    const first = received.filter((r, at) => received.findIndex((o) => o.id === r.id) === at)
    expect(bySubject(first)).toEqual(Object.fromEntries(names.map((name) => [name, order])))
  }
  for (const one of [...receivers, ...dead]) one.stop()
}, 60_000)

test('of a node that died the lease runs out, and what it had settled is not delivered again', async () => {
  await using w = await webhookInstance(presentAny)
  const receiver = startReceiver()
  const { endpoint } = await createWebhookEndpoint(w.ctx(), { url: receiver.origin })
  const { id, instanceId } = endpoint
  const { systemSql } = w.runtime.database
  const leased = () => systemSql`update webhook_lanes set lease_owner = 'a node that died',
    leased_until = now() + interval '1 second' where endpoint_id = ${id} and lease_owner is null returning 1`
  await until(async () => (await leased()).length === 1, 'the lease')
  await tell(w, ['a', 'b', 'c', 'd'])
  const told = async () => (await listEvents(w.ctx(), { types: ['user.updated'], limit: 10 })).data
  await until(async () => (await told()).length === 4, 'the events')
  const last = (await told()).at(-1)?.position ?? 0
  // It had delivered the last one, and not come round to moving its cursor.
  await systemSql`insert into webhook_deliveries (instance_id, endpoint_id, run, position, message_id, type, state, attempts)
    values (${instanceId}, ${id}, 0, ${last}, 'evt_x', 'user.updated', 'delivered', 1)`
  expect(receiver.received).toHaveLength(0)
  await until(() => receiver.received.length === 3, 'the takeover')
  await Bun.sleep(300)
  receiver.stop()
  expect(receiver.received.map((r) => r.event.data.id).sort()).toEqual(['a', 'b', 'c'])
})

test('events that a receiver never takes do not make it seem down to those that it would take', async () => {
  await using w = await webhookInstance({
    ...presentAny,
    patience: { retrySeconds: [0.05, 0.05, 60], tolerated: 4, pauseSeconds: [0.1, 0.1, 0.1, 0.1, 60] },
  })
  const receiver = startReceiver(({ event }) => new Response(null, { status: event.data.id === 'good' ? 200 : 500 }))
  const { endpoint } = await createWebhookEndpoint(w.ctx(), { url: receiver.origin })
  await tell(w, ['bad', 'worse'])
  await until(async () => (await getWebhookEndpoint(w.ctx(), endpoint.id)).pausedUntil !== null, 'the pause')
  await tell(w, ['good'], 3)
  await until(() => receiver.received.filter((r) => r.event.data.id === 'good').length === 3, 'what it takes')
  receiver.stop()
})
