import { expect, test } from 'bun:test'
import { createUser } from '../../domains/users/index.ts'
import { testInstance } from '../../testing/server.ts'

test('I19 names of API keys, machines and channels are one line of text that reads as it is written', async () => {
  const t = await testInstance()
  const { id: subject } = await createUser(t.ctx(), {})
  const call = async (method: string, path: string, body: object) => {
    const headers = { 'content-type': 'application/json' }
    const response = await t.fetch(path, { method, headers, body: JSON.stringify(body), secretKey: true })
    const { id, errors } = (await response.json()) as { id: string; errors?: [{ code: string; meta: object }] }
    return { id, answer: errors ? [errors[0].code, errors[0].meta] : [] }
  }
  const machine = await call('POST', '/v1/machines', { name: 'Worker' })
  const refused = ['form_param_format_invalid', { param_name: 'name' }]
  const misleading = [
    'two\nlines',
    'a\ttab',
    'nul\0',
    'turned \u202egnp',
    'hidden\u200b',
    'zero\u2060width',
    'a\u{e0041}',
  ]
  for (const name of misleading) {
    expect([name, (await call('POST', '/v1/api_keys', { name, subject })).answer]).toEqual([name, refused])
    expect([name, (await call('POST', '/v1/machines', { name })).answer]).toEqual([name, refused])
    expect([name, (await call('PATCH', `/v1/machines/${machine.id}`, { name })).answer]).toEqual([name, refused])
    const channel = `/v1/channels/${encodeURIComponent(`room:${name}`)}/messages`
    expect([name, (await call('POST', channel, { name: 'said' })).answer[0]]).toEqual([name, refused[0]])
    expect([name, (await call('POST', '/v1/channels/room:1/messages', { name })).answer]).toEqual([name, refused])
  }
  // What people write in their own scripts is none of that, joiners and emoji included.
  for (const name of ['Schlüssel 1', 'مفتاح', 'क्‍ष', '👩‍💻 laptop', '❤️'])
    for (const [path, body] of [
      ['/v1/api_keys', { name, subject }],
      ['/v1/machines', { name }],
    ] as const)
      expect([name, (await call('POST', path, body)).answer]).toEqual([name, []])
})
