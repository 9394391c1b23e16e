import { expect, test } from 'bun:test'
import { testInstance } from '../../testing/server.ts'

const post = (t: Awaited<ReturnType<typeof testInstance>>, body: string) =>
  t.fetch('/v1/client/sign_ins', {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', origin: `http://${t.host}` },
    body,
  })

test('K10 a form of very many names is read in a time that grows with its length, and refused', async () => {
  const t = await testInstance()
  // Asked for one by one, these took 17 seconds of the whole server; as many as fit in a body took three minutes.
  const names = Array.from({ length: 20_000 }, (_, i) => i.toString(36).padStart(4, 'a'))
  const startedAt = performance.now()
  const response = await post(t, names.join('&'))
  expect(performance.now() - startedAt).toBeLessThan(3000)
  const { errors } = (await response.json()) as { errors: { code: string }[] }
  expect([response.status, errors[0]?.code]).toEqual([400, 'request_body_invalid'])
})

test('K10 no door of strangers reads a body that is larger than what it is for, with or without its length', async () => {
  const t = await testInstance()
  const form = 'application/x-www-form-urlencoded'
  const doors: [path: string, type: string, unit: string][] = [
    ['/v1/client/sign_ins', form, 'a&'],
    ['/v1/oauth_callback', form, 'a&'],
    ['/v1/verify', form, 'a&'],
    ['/v1/sync/token', form, 'a&'],
    ['/v1/sync/token', 'application/json', '['],
    ['/webhooks/portal/open', form, 'a&'],
  ]
  for (const [path, type, unit] of doors)
    for (const isChunked of [false, true]) {
      const body = unit.repeat(2_000_000 / unit.length)
      const headers = { 'content-type': type, origin: `http://${t.host}` }
      const stream = isChunked && { body: new Blob([body]).stream(), duplex: 'half' as const }
      const startedAt = performance.now()
      const response = await t.fetch(path, { method: 'POST', headers, body, redirect: 'manual', ...stream })
      expect([path, isChunked, response.status]).toEqual([path, isChunked, 413])
      expect(performance.now() - startedAt).toBeLessThan(1000)
    }
})

test('K10 an address of very many spaces is refused at once', async () => {
  const t = await testInstance()
  const headers = { 'content-type': 'application/x-www-form-urlencoded', origin: `http://${t.host}` }
  for (const [path, field] of [
    ['/v1/client/sign_ups', 'email_address'],
    ['/v1/client/sign_ins', 'identifier'],
    ['/v1/waitlist', 'email_address'],
  ] as const) {
    const startedAt = performance.now()
    // Half of this took seconds of the whole server, and what fits in a form minutes.
    const body = `${field}=x${'+'.repeat(60_000)}x`
    const response = await t.fetch(path, { method: 'POST', headers, body })
    expect([path, response.status]).toEqual([path, 422])
    expect(performance.now() - startedAt).toBeLessThan(1500)
  }
})

test('a field of a form that comes more than once is a list, and one named as what every object has is a field', async () => {
  const t = await testInstance()
  const codeOf = async (body: string) => {
    const { errors } = (await (await post(t, body)).json()) as { errors?: { code: string; meta: object }[] }
    return [errors?.[0]?.code, errors?.[0]?.meta]
  }
  expect(await codeOf('identifier=a%40example.com&identifier=b%40example.com')).toEqual([
    'form_param_format_invalid',
    { param_name: 'identifier' },
  ])
  expect(await codeOf('__proto__=a&__proto__=b&constructor=c&identifier=nobody%40example.com')).toEqual([
    'form_identifier_not_found',
    { param_name: 'identifier' },
  ])
})
