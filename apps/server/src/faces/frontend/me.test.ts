import { expect, test } from 'bun:test'
import { createUser, getUser } from '../../domains/users/index.ts'
import { testInstance } from '../../testing/server.ts'
import { mailedCode, mailsTo, TestBrowser } from './testing.ts'

const password = 'correct horse battery'

async function signedIn() {
  const t = await testInstance()
  const browser = new TestBrowser(t)
  const { userId, sessionId } = await browser.signUp('ada@example.com', password)
  const acting = (path: string) => `${path}${path.includes('?') ? '&' : '?'}_clerk_session_id=${sessionId}`
  return { t, browser, userId, sessionId, acting }
}

test('nobody is signed in: every route of /me is refused', async () => {
  const browser = new TestBrowser(await testInstance())
  const routes: [string, string][] = [
    ['GET', '/me'],
    ['PATCH', '/me'],
    ['DELETE', '/me'],
    ['PATCH', '/me/metadata'],
    ['POST', '/me/change_password'],
    ['POST', '/me/remove_password'],
    ['GET', '/me/email_addresses'],
    ['POST', '/me/email_addresses'],
    ['GET', '/me/sessions/active'],
    ['POST', '/me/sessions/sess_x/revoke'],
  ]
  for (const [method, path] of routes) expect([path, (await browser.send(method, path)).status]).toEqual([path, 401])
})

test('a profile is changed field by field, and an empty field clears', async () => {
  const { browser, acting } = await signedIn()
  const changed = await browser.send('PATCH', acting('/me'), { first_name: 'Ada', last_name: 'Lovelace' })
  expect(changed.body.response).toMatchObject({ first_name: 'Ada', last_name: 'Lovelace' })
  expect(changed.body.client.sessions[0].user.first_name).toBe('Ada')
  const cleared = await browser.send('PATCH', acting('/me'), { last_name: '' })
  expect(cleared.body.response).toMatchObject({ first_name: 'Ada', last_name: null })
})

test('I20 O8 a browser writes unsafe metadata only, and no field that is not a person’s own', async () => {
  const { t, browser, userId, acting } = await signedIn()
  const written = await browser.send('PATCH', acting('/me/metadata'), { unsafe_metadata: '{"a":{"b":1}}' })
  expect(written.body.response.unsafe_metadata).toEqual({ a: { b: 1 } })
  const merged = await browser.send('PATCH', acting('/me/metadata'), { unsafe_metadata: '{"a":{"b":null,"c":2}}' })
  expect(merged.body.response.unsafe_metadata).toEqual({ a: { c: 2 } })
  for (const kind of ['public_metadata', 'private_metadata'])
    expect((await browser.send('PATCH', acting('/me/metadata'), { [kind]: '{"role":"admin"}' })).status).toBe(403)
  const before = await getUser(t.ctx(), userId)
  await browser.send('PATCH', acting('/me'), {
    public_metadata: '{"role":"admin"}',
    private_metadata: '{"role":"admin"}',
    banned: 'true',
    external_id: 'x',
    create_organization_enabled: 'false',
    delete_self_enabled: 'false',
    id: 'user_x',
  })
  const { updatedAt, ...after } = await getUser(t.ctx(), userId)
  expect(before).toMatchObject(after)
  expect(after).toMatchObject({ publicMetadata: {}, privateMetadata: {} })
  expect((await browser.get(acting('/me'))).body.response).not.toHaveProperty('private_metadata')
})

test('a password changes with the current one, ends other sessions when asked, and is told by email', async () => {
  const { t, browser, sessionId, acting } = await signedIn()
  const elsewhere = new TestBrowser(t)
  const begun = await elsewhere.post('/client/sign_ins', {
    identifier: 'ada@example.com',
    password,
    strategy: 'password',
  })
  expect(begun.body.response.status).toBe('complete')
  const change = (form: Record<string, string>) => browser.post(acting('/me/change_password'), form)
  const next = 'a better horse battery'
  expect((await change({ new_password: next })).body.errors[0].code).toBe('form_param_nil')
  const wrong = await change({ current_password: 'wrong', new_password: next })
  expect([wrong.status, wrong.body.errors[0].code]).toEqual([422, 'form_password_incorrect'])
  const short = await change({ current_password: password, new_password: 'short' })
  expect(short.body.errors[0].code).toBe('form_password_length_too_short')
  const same = await change({ current_password: password, new_password: password })
  expect(same.body.errors[0].code).toBe('form_new_password_matches_current')
  const done = await change({ current_password: password, new_password: next, sign_out_of_other_sessions: 'true' })
  expect(done.status).toBe(200)
  const active = await browser.get(acting('/me/sessions/active'))
  expect(JSON.parse(active.body).map((s: { id: string }) => s.id)).toEqual([sessionId])
  expect((await elsewhere.get('/me')).status).toBe(401)
  expect((await mailsTo(t, 'ada@example.com')).some((m) => /password/i.test(m.subject))).toBe(true)
  const removed = await browser.post(acting('/me/remove_password'), { current_password: next })
  expect(removed.body.response.password_enabled).toBe(false)
})

test('an address is added, proven by its code, made primary; the primary one stays', async () => {
  const { t, browser, acting } = await signedIn()
  const added = await browser.post(acting('/me/email_addresses/'), { email_address: 'second@example.com' })
  const { id } = added.body.response
  expect(added.body.response.verification.status).toBe('unverified')
  const makePrimary = () => browser.send('PATCH', acting('/me'), { primary_email_address_id: id })
  expect((await makePrimary()).status).toBe(404)
  await browser.post(acting(`/me/email_addresses/${id}/prepare_verification`), { strategy: 'email_code' })
  const attempt = (code: string) => browser.post(acting(`/me/email_addresses/${id}/attempt_verification`), { code })
  const code = await mailedCode(t, 'second@example.com')
  const wrong = await attempt(code === '111111' ? '222222' : '111111')
  expect(wrong.body.errors[0].code).toBe('form_code_incorrect')
  expect((await attempt(code)).body.response.verification.status).toBe('verified')
  expect((await makePrimary()).body.response.primary_email_address_id).toBe(id)
  const refused = await browser.send('DELETE', acting(`/me/email_addresses/${id}`))
  expect(refused.body.errors[0].code).toBe('identification_deletion_failed')
})

test('A5 an address that hides two is refused before any mail', async () => {
  const { t, browser, acting } = await signedIn()
  const sent = (await mailsTo(t)).length
  for (const address of [['v@x.test', 'a@x.test'], 'v@x.test,a@x.test', 'v@x.test\ncc:a@x.test', 'v@x.test<a@x.test>'])
    expect((await browser.post(acting('/me/email_addresses'), { email_address: address })).status).toBe(422)
  expect(await mailsTo(t)).toHaveLength(sent)
})

test('what belongs to somebody else is not there', async () => {
  const { t, browser, acting } = await signedIn()
  const bob = await createUser(t.ctx(), { emailAddresses: [{ emailAddress: 'bob@example.com', verifiedBy: 'admin' }] })
  const id = bob.primaryEmailAddressId
  const other = new TestBrowser(t)
  const { sessionId } = await other.signUp('carol@example.com')
  const attempts: [string, string, Record<string, string>?][] = [
    ['GET', `/me/email_addresses/${id}`],
    ['DELETE', `/me/email_addresses/${id}`],
    ['POST', `/me/email_addresses/${id}/prepare_verification`, { strategy: 'email_code' }],
    ['PATCH', '/me', { primary_email_address_id: String(id) }],
    ['POST', `/me/sessions/${sessionId}/revoke`],
  ]
  for (const [method, path, form] of attempts)
    expect([path, (await browser.send(method, acting(path), form)).status]).toEqual([path, 404])
  expect((await other.get('/me')).status).toBe(200)
})

test('people delete themselves unless the application keeps them', async () => {
  const { t, browser, userId, acting } = await signedIn()
  const gone = await browser.send('DELETE', acting('/me'))
  expect(gone.body.response).toEqual({ object: 'user', id: userId, deleted: true })
  await expect(getUser(t.ctx(), userId)).rejects.toMatchObject({ code: 'resource_not_found' })
  expect((await browser.get(acting('/me'))).status).toBe(401)
})
