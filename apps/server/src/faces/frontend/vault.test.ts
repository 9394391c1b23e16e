import { expect, test } from 'bun:test'
import { person } from '../../domains/vault/testing.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { TestBrowser } from './testing.ts'

/** Somebody who is signed in, with a vault, and their session token as a program would show it. */
async function withVault(t: TestInstance) {
  const browser = new TestBrowser(t)
  const { userId, sessionId } = await browser.signUp(`${crypto.randomUUID()}@example.com`)
  const one = await person(userId)
  const token = async (): Promise<string> => (await browser.post(`/client/sessions/${sessionId}/tokens`)).body.jwt
  let authorization = `Bearer ${await token()}`
  const ask = async (method: string, path: string, body?: unknown) => {
    const response = await t.fetch(`/v1/vault${path}`, {
      method,
      headers: { authorization, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const json = (await response.json()) as { errors?: { code: string }[]; version?: number }
    return { status: response.status, code: json.errors?.[0]?.code, json }
  }
  const renew = async () => {
    authorization = `Bearer ${await token()}`
  }
  const made = await ask('POST', '', { keys: one.keys, wraps: [one.wrap(), one.wrap('recovery')] })
  expect(made.status).toBe(200)
  return { ...one, ask, renew }
}

test('L5 a vault is given up only after a factor was shown again', async () => {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { rateLimits: { attemptsPerMinute: 100_000 } })
  const ada = await withVault(t)
  t.server.runtime.now = () => new Date(Date.now() + 11 * 60_000)
  try {
    await ada.renew()
    for (const path of ['', '/', '//', '?x=1']) expect(await ada.ask('DELETE', path)).not.toMatchObject({ status: 200 })
    expect(await ada.ask('DELETE', '')).toMatchObject({ status: 403, code: 'session_reverification_required' })
  } finally {
    t.server.runtime.now = () => new Date()
  }
  await ada.renew()
  expect(await ada.ask('GET', '')).toMatchObject({ json: { created: true } })
  expect(await ada.ask('DELETE', '')).toMatchObject({ status: 200 })
})

const strange = [
  ...[
    null,
    true,
    0,
    -1,
    1.5,
    2 ** 31,
    2 ** 32,
    2 ** 53,
    1e300,
    [],
    {},
    [[]],
    { a: 1 },
    '',
    '\0',
    'a\0b',
    '\ud800',
    '\u202e',
  ],
  ...['x'.repeat(3000), '1e9', '999999999999', 'NaN', '__proto__', "'; --", '%00', '../..'],
]

test('nothing that is sent to a vault is an error of the server', async () => {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { rateLimits: { attemptsPerMinute: 100_000 } })
  const ada = await withVault(t)
  const docId = `${ada.userId}/notes`
  const [grant] = await ada.grants(docId, 0, [ada.userId])
  const { userId: user_id, ...rest } = grant as NonNullable<typeof grant>
  const grants = [{ user_id, ...rest }]
  const id = ada.random(16)
  const signed = async (wrap: ReturnType<typeof ada.wrap>, version = 1) => {
    const parts = ['wrap', ada.userId, String(version), wrap.kind, wrap.name, wrap.parameters ?? '', wrap.sealed]
    return { version, wrap, signature: await ada.signed(...parts) }
  }
  const calls: [string, string, Record<string, unknown>][] = [
    ['POST', '', { keys: ada.keys, wraps: [ada.wrap()] }],
    ['POST', '/unlock', { kind: 'passkey', name: 'key' }],
    ['POST', '/unlocked', { signature: ada.random(64) }],
    ['PUT', '/wraps', await signed(ada.wrap('passkey', 'key'))],
    ['POST', '/wraps/delete', { version: 1, kind: 'passkey', name: 'key', signature: ada.random(64) }],
    ['POST', '/document_keys', { doc_id: docId, grants }],
    ['POST', '/document_keys/refuse', { doc_id: docId, epoch: 0 }],
    ['POST', '/document_keys/rotate', { doc_id: docId, grants, from: 0, key_record: ada.random(100), reason: 'age' }],
    ['POST', '/pairings', { id }],
    ['PUT', `/pairings/${id}/offer`, { value: ada.random(32) }],
    ['PUT', `/pairings/${id}/sealed`, { value: ada.random(100) }],
  ]
  const failed: unknown[] = []
  const seen = new Map<number, number>()
  let sent = 0
  let minutes = 0
  t.server.runtime.now = () => new Date(Date.now() + minutes * 60_000)
  const send = async (method: string, path: string, body?: unknown) => {
    // As many as one person may send in a minute.
    if (++sent % 140 === 0) {
      minutes += 1.1
      await ada.renew()
    }
    const { status } = await ada.ask(method, path, body)
    seen.set(status, (seen.get(status) ?? 0) + 1)
    if (status >= 500) failed.push({ method, path, body, status })
  }
  /** A copy with one thing in it replaced, for every thing in it. */
  function* replaced(value: unknown, by: unknown): Generator<unknown> {
    yield by
    if (typeof value !== 'object' || value === null) return
    for (const [key, inner] of Object.entries(value))
      for (const changed of replaced(inner, by))
        yield Array.isArray(value) ? Object.assign([...value], { [key]: changed }) : { ...value, [key]: changed }
  }
  for (const [method, path, body] of calls)
    for (const by of strange) for (const changed of replaced(body, by)) await send(method, path, changed)
  // What is signed as it is.
  for (const version of [2 ** 31, 2 ** 32, 2 ** 53]) await send('PUT', '/wraps', await signed(ada.wrap(), version))
  for (const epoch of [2 ** 31, 2 ** 32 - 1]) {
    const far = (await ada.grants(docId, epoch, [ada.userId])).map(({ userId, ...grant }) => ({
      user_id: userId,
      ...grant,
    }))
    await send('POST', '/document_keys', { doc_id: docId, grants: far })
    const rotation = { doc_id: docId, grants: far, from: epoch - 1, key_record: ada.random(100), reason: 'age' }
    await send('POST', '/document_keys/rotate', rotation)
  }
  for (const name of ['\0', 'a\0b', '\ud800', 'line\nbreak', '\u202e', '\u2066', 'x'.repeat(2000)])
    await send('PUT', '/wraps', await signed(ada.wrap('passkey', name)))
  const { json } = await ada.ask('GET', '')
  const { wraps } = json as unknown as { wraps: { name: string }[] }
  expect(new Set(wraps.map(({ name }) => name))).toEqual(new Set(['', 'key']))
  for (const text of ['%00', '%ff', '%ed%a0%80', 'x'.repeat(5000), '..%2f', id]) {
    await send('GET', `/pairings/${text}`)
    await send('POST', `/pairings/${text}/take`, {})
    await send('PUT', `/pairings/${text}/offer`, { value: ada.random(32) })
    await send('PUT', `/pairings/${id}/${text}`, { value: ada.random(32) })
    await send('GET', `/document_keys?doc_id=${text}`)
  }
  t.server.runtime.now = () => new Date()
  expect(failed).toEqual([])
  expect(seen.get(422)).toBeGreaterThan(900)
  expect(seen.has(429)).toBe(false)
}, 60_000)
