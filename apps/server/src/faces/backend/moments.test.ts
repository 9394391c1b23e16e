import { expect, test } from 'bun:test'
import { testInstance } from '../../testing/server.ts'

test('O17 a moment that the database cannot hold is refused, and breaks no answer off in the middle', async () => {
  const t = await testInstance()
  const made = await t.fetch('/v1/organizations', { secretKey: true, method: 'POST', body: '{"name":"Acme"}' })
  const { id } = await made.json()
  const places = [
    ...['/v1/audit_logs?since', '/v1/audit_logs?until', '/v1/audit_logs/export?since', '/v1/events?since'],
    ...['/v1/users?created_at_after', '/v1/users/count?last_active_at_before'],
    `/v1/organizations/${id}/memberships?created_at_before`,
  ]
  for (const place of places) {
    // The ends of JavaScript's time, the year 0, and what is none.
    for (const moment of [
      '-8640000000000000',
      '8640000000000000',
      '-62135596800001',
      '253402300800000',
      'x',
      '1e999',
    ]) {
      const answer = await t.fetch(`${place}=${moment}`, { secretKey: true })
      const { errors } = await answer.json()
      expect([place, moment, answer.status, errors[0].code]).toEqual([place, moment, 422, 'form_param_format_invalid'])
    }
    for (const moment of ['0', '1893456000000', '253402300799999'])
      expect((await t.fetch(`${place}=${moment}`, { secretKey: true })).status).toBe(200)
  }
})

test('O17 an export that cannot be made is refused, and none is noted', async () => {
  const t = await testInstance()
  for (const format of ['csv', 'jsonl']) {
    const answer = await t.fetch(`/v1/audit_logs/export?format=${format}&query=a%00b`, { secretKey: true })
    expect([answer.status, (await answer.json()).errors[0].code]).toEqual([422, 'form_param_format_invalid'])
  }
  const log = await t.fetch('/v1/audit_logs?action=auditLog.exported', { secretKey: true })
  expect((await log.json()).data).toEqual([])
})
