import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { ClerkClient } from '@clerk/backend'
import { serverSdk } from '../support/clerk.ts'
import { startUsher, type UsherProcess } from '../support/usher.ts'

let usher: UsherProcess
let clerk: ClerkClient

beforeAll(async () => {
  usher = await startUsher()
  clerk = serverSdk(usher.ready)
}, 60_000)
afterAll(() => usher.stop())

const code = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (error) => error.errors?.[0]?.code ?? String(error),
  )
const create = (name: string, more: object = {}) =>
  clerk.users.createUser({
    emailAddress: [`${name}@example.com`],
    firstName: name,
    skipPasswordRequirement: true,
    ...more,
  })
const call = async (method: string, path: string, body?: string) => {
  const headers = { authorization: `Bearer ${usher.ready.secret_key}`, 'content-type': 'application/json' }
  const response = await fetch(usher.ready.url + path, { method, headers, ...(body !== undefined && { body }) })
  return { status: response.status, type: response.headers.get('content-type'), body: await response.json() }
}

test('lists by filter, order and page; an excluded value keeps those who have none', async () => {
  const zoe = await create('zoe', { externalId: 'crm-1', username: 'zoe_z' })
  const yan = await create('yan')
  const userId = [zoe.id, yan.id]
  const names = async (params: object) => (await clerk.users.getUserList(params)).data.map((u) => u.firstName)
  expect(await names({ userId, orderBy: '+first_name' })).toEqual(['yan', 'zoe'])
  expect(await names({ userId, orderBy: '-first_name', limit: 1 })).toEqual(['zoe'])
  expect(await names({ userId, orderBy: '-first_name', limit: 1, offset: 1 })).toEqual(['yan'])
  expect(await names({ userId, orderBy: '+email_address' })).toEqual(['yan', 'zoe'])
  expect(await names({ externalId: ['crm-1'] })).toEqual(['zoe'])
  expect(await names({ userId, externalId: ['-crm-1'] })).toEqual(['yan'])
  expect(await names({ userId, username: ['-zoe_z'] })).toEqual(['yan'])
  expect(await names({ query: 'ZOE@exam' })).toEqual(['zoe'])
  expect(await names({ query: '%' })).toEqual([])
  expect(await names({ userId, createdAtAfter: Date.now() + 60_000 })).toEqual([])
})

test('lists go on after a user, and people without a last sign-in come last when the newest is first', async () => {
  const people = [await create('page-a'), await create('page-b'), await create('page-c')]
  const userId = people.map((p) => p.id)
  const ids = async (params: string) => {
    const { body } = await call('GET', `/v1/users?${userId.map((id) => `user_id=${id}`).join('&')}&${params}`)
    return body.map((u: { id: string }) => people.findIndex((p) => p.id === u.id))
  }
  expect(await ids('')).toEqual([2, 1, 0])
  expect(await ids(`starting_after=${people[2]?.id}&limit=1`)).toEqual([1])
  expect(await ids(`starting_after=${people[0]?.id}`)).toEqual([])
  const wrong = await call('GET', `/v1/users?starting_after=${people[0]?.id}&order_by=first_name`)
  expect(wrong.body.errors[0]).toMatchObject({ code: 'form_param_value_invalid', meta: { param_name: 'order_by' } })
  const unknown = await call('GET', '/v1/users?starting_after=user_nobody')
  expect(unknown.body.errors[0].meta.param_name).toBe('starting_after')
  await clerk.sessions.createSession({ userId: people[1]?.id as string })
  // Those who never did are in the order of their ids, which are random.
  const never = [0, 2].sort((a, b) => ((people[a]?.id ?? '') < (people[b]?.id ?? '') ? 1 : -1))
  expect(await ids('order_by=-last_sign_in_at')).toEqual([1, ...never])
  expect(await ids('order_by=%2Blast_sign_in_at')).toEqual([...never.reverse(), 1])
  expect(await ids('name_query=PAGE-b')).toEqual([1])
  expect(await ids('email_address_query=page-c@')).toEqual([2])
  expect(await ids('username_query=page')).toEqual([])
  expect(await ids('phone_number=%2B15555550100')).toEqual([])
  expect(await ids('provider=google')).toEqual([])
})

test('J13 an order that is no column of ours is refused', async () => {
  for (const orderBy of ['id;--', 'created_at desc', 'private_metadata', '__proto__', '-'])
    expect(await code(clerk.users.getUserList({ orderBy: orderBy as never }))).toBe('form_param_value_invalid')
})

test('metadata: PUT replaces, PATCH merges, and both stop at 8 kB', async () => {
  const { id } = await create('meta', { publicMetadata: { a: 1 } })
  await clerk.users.updateUserMetadata(id, { publicMetadata: { b: 2 } })
  const replaced = await clerk.users.replaceUserMetadata(id, { publicMetadata: { c: 3 } })
  expect(replaced.publicMetadata).toEqual({ c: 3 })
  const large = { publicMetadata: { x: 'x'.repeat(9000) } }
  expect(await code(clerk.users.updateUserMetadata(id, large))).toBe('form_param_value_invalid')
  expect(await code(clerk.users.replaceUserMetadata(id, large))).toBe('form_param_value_invalid')
  expect(await code(create('large', large))).toBe('form_param_value_invalid')
})

test('passwords: rules unless skipped, removed on request', async () => {
  expect(await code(create('weak', { password: 'short' }))).toBe('form_password_length_too_short')
  const user = await create('skip', { password: 'short', skipPasswordChecks: true })
  expect(user.passwordEnabled).toBe(true)
  expect((await clerk.users.removePassword(user.id)).passwordEnabled).toBe(false)
  expect(await code(create('digest', { passwordDigest: 'x', passwordHasher: 'md5' }))).toBe('password_digest_invalid')
})

test('a user comes with the hash of another system, signs in by it, and a bad hash creates nobody', async () => {
  const digest = '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'
  const { id } = await create('imported', { passwordDigest: digest, passwordHasher: 'bcrypt' })
  expect(await clerk.users.verifyPassword({ userId: id, password: 'U*U' })).toEqual({ verified: true })
  expect(await code(clerk.users.verifyPassword({ userId: id, password: 'U*V' }))).toBe('form_password_incorrect')
  await clerk.users.updateUser(id, {
    passwordDigest: '5f4dcc3b5aa765d61d8327deb882cf99',
    passwordHasher: 'md5',
  } as never)
  expect(await clerk.users.verifyPassword({ userId: id, password: 'password' })).toEqual({ verified: true })
  const bad = { passwordDigest: 'nonsense', passwordHasher: 'bcrypt' as const }
  expect(await code(create('bad-digest', bad))).toBe('password_digest_invalid')
  expect(await code(create('bad-digest', { passwordDigest: digest }))).toBe('form_param_missing')
  expect(await code(create('bad-digest', { passwordDigest: digest, passwordHasher: 'rot13' }))).toBe(
    'form_param_value_invalid',
  )
  expect((await clerk.users.getUserList({ emailAddress: ['bad-digest@example.com'] })).totalCount).toBe(0)
})

test('an address, username or external id that is taken is named', async () => {
  await create('taken', { username: 'taken_name', externalId: 'taken-1' })
  expect(await code(create('taken'))).toBe('form_identifier_exists')
  expect(await code(create('other1', { username: 'TAKEN_name' }))).toBe('form_identifier_exists')
  expect(await code(create('other2', { externalId: 'taken-1' }))).toBe('form_identifier_exists')
})

test('the primary address follows updateUser, and only to an address that is proven and their own', async () => {
  const user = await create('prim')
  const [proven, claimed] = await Promise.all(
    [true, false].map((verified) =>
      clerk.emailAddresses.createEmailAddress({ userId: user.id, emailAddress: `p${verified}@example.com`, verified }),
    ),
  )
  const changed = await clerk.users.updateUser(user.id, { primaryEmailAddressID: proven?.id as string })
  expect(changed.primaryEmailAddressId).toBe(proven?.id as string)
  const other = await create('prim2')
  for (const primaryEmailAddressID of [claimed?.id as string, other.primaryEmailAddressId as string])
    expect(await code(clerk.users.updateUser(user.id, { primaryEmailAddressID }))).toBe('resource_not_found')
})

test('a ban ends the sessions, a lock leaves them', async () => {
  const user = await create('bad')
  const open = await clerk.sessions.createSession({ userId: user.id })
  expect((await clerk.users.lockUser(user.id)).locked).toBe(true)
  expect((await clerk.users.unlockUser(user.id)).locked).toBe(false)
  await clerk.users.banUser(user.id)
  expect((await clerk.sessions.getSession(open.id)).status).toBe('revoked')
  const many = await call('POST', '/v1/users/unban', JSON.stringify({ user_ids: [user.id] }))
  expect([many.status, many.body[0].banned]).toEqual([200, false])
})

test('no body and no address brings an error of ours', async () => {
  const { id } = await create('robust')
  const bodies = ['{', '[]', 'null', '"x"', '{"first_name":1}', '{"first_name":"a\\u0000b"}', '{"email_address":"x"}']
  const metadata = ['{"public_metadata":[]}', '{"public_metadata":"x"}', '{"public_metadata":{"a":"\\u0000"}}']
  const requests: [string, string, string?][] = [
    ...bodies.map((b) => ['POST', '/v1/users', b] as [string, string, string]),
    ...bodies.slice(0, 6).map((b) => ['PATCH', `/v1/users/${id}`, b] as [string, string, string]),
    ...metadata.flatMap((b) =>
      ['PATCH', 'PUT'].map((m) => [m, `/v1/users/${id}/metadata`, b] as [string, string, string]),
    ),
    ['POST', '/v1/sessions', '{}'],
    ['POST', '/v1/sessions', '{"user_id":"\\u0000"}'],
    ['POST', '/v1/email_addresses', '{"user_id":5}'],
    ['POST', '/v1/sign_in_tokens', '{"user_id":"x","expires_in_seconds":-1}'],
    ['POST', '/v1/clients/verify', '{"token":"a.b.c"}'],
    ['GET', '/v1/users/%00'],
    ['GET', '/v1/sessions/%E0%A4%A'],
    ['GET', '/v1/users?query=%00'],
    ['GET', '/v1/users?limit=0'],
    ['GET', '/v1/users?created_at_after=soon'],
    ['GET', '/v1/sessions?status=odd'],
    ['GET', '/v1/clients/handshake_payload'],
    ['GET', '/v1/clients/handshake_payload?nonce=unknown'],
  ]
  for (const [method, path, body] of requests) {
    const answer = await call(method, path, body)
    const seen = `${method} ${path} ${body}: ${answer.status} ${answer.type} ${answer.body.errors?.[0]?.code}`
    expect([seen, answer.status >= 400 && answer.status < 500, answer.type]).toEqual([seen, true, 'application/json'])
    expect(answer.body.errors[0].code).toBeString()
  }
})
