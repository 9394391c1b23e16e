import { expect, test } from 'bun:test'
import { desc, eq } from 'drizzle-orm'
import { transaction } from '../../database/index.ts'
import { events } from '../../domains/events/tables.ts'
import { createOrganization } from '../../domains/organizations/index.ts'
import { createActorToken, findSessionState, refreshSession, verifySessionToken } from '../../domains/sessions/index.ts'
import { createUser, deleteUser, getUser, updateUser } from '../../domains/users/index.ts'
import { testInstance } from '../../testing/server.ts'
import { claimsOf, TestBrowser } from './testing.ts'

/** Support acts for Ada in a browser of their own; Ada is signed in on hers. */
async function acting(sessionMaxDurationInSeconds?: number) {
  const t = await testInstance()
  const own = new TestBrowser(t)
  const { userId } = await own.signUp('ada@example.com')
  const support = await createUser(t.ctx(), {
    emailAddresses: [{ emailAddress: 'support@example.com', verifiedBy: 'admin' }],
  })
  const actor = { sub: support.id }
  const { token } = await createActorToken(t.ctx(), { userId, actor, sessionMaxDurationInSeconds })
  const browser = new TestBrowser(t)
  const { body } = await browser.post('/client/sign_ins', { strategy: 'ticket', ticket: token })
  const sessionId: string = body.response.created_session_id
  return { t, own, browser, userId, support, token, sessionId, client: body.client }
}

test('O7 who acts for somebody is named in the session, the token and every event, and it is not that person’s sign-in', async () => {
  const { t, browser, userId, support, sessionId, client, token } = await acting()
  expect(client.sessions[0]).toMatchObject({ actor: { sub: support.id }, user: { id: userId } })
  const minted = (await browser.post(`/client/sessions/${sessionId}/tokens`)).body.jwt
  expect(claimsOf(minted)).toMatchObject({ sub: userId, act: { sub: support.id } })
  expect(await verifySessionToken(t.ctx(), minted)).toMatchObject({ act: { sub: support.id } })

  const signedInAt = (await getUser(t.ctx(), userId)).lastSignInAt
  expect(signedInAt?.getTime()).toBeLessThan((await findSessionState(t.ctx(), sessionId))?.createdAt.getTime() ?? 0)
  await browser.send('PATCH', '/me', { first_name: 'Ada' })
  const rows = await transaction(t.ctx(), (tx) =>
    tx.db.select().from(events).where(eq(events.instanceId, tx.instance.id)).orderBy(desc(events.id)).limit(20),
  )
  expect(rows.find((e) => e.type === 'user.updated')?.actor).toMatchObject({ userId, impersonatorId: support.id })
  expect(rows.find((e) => e.type === 'session.created' && e.subject === sessionId)?.data).toMatchObject({
    user_id: userId,
    actor_sub: support.id,
  })
  // The token was for once.
  const again = await new TestBrowser(t).post('/client/sign_ins', { strategy: 'ticket', ticket: token })
  expect(again.body.errors[0].code).toBe('token_used')
})

test('O7 a session in which somebody acts ends after half an hour, whatever was asked for', async () => {
  const long = await acting(86_400)
  const session = long.client.sessions[0]
  expect(session.expire_at - session.created_at).toBe(1800_000)
  const short = await acting(60)
  short.t.advance(61_000)
  const state = await findSessionState(short.t.ctx(), short.sessionId)
  await expect(
    refreshSession(short.t.ctx(), { sessionId: short.sessionId, expiredToken: 'x', refreshToken: 'x' }),
  ).rejects.toMatchObject({ status: 401 })
  expect(state === undefined || state.expireAt <= short.t.ctx().now()).toBe(true)
})

test('O7 what protects the account is out of reach while acting, and open to the person', async () => {
  const { t, own, browser, userId, sessionId } = await acting()
  const { id } = await createOrganization(t.ctx(), { name: 'Acme', createdBy: userId })
  const { sessions } = (await own.get('/client')).body.response
  const attempts: [string, string, Record<string, string>?][] = [
    [
      'POST',
      '/me/change_password',
      { current_password: 'correct horse battery', new_password: 'stolen horse battery' },
    ],
    ['POST', '/me/remove_password', { current_password: 'correct horse battery' }],
    ['POST', '/me/email_addresses', { email_address: 'evil@example.com' }],
    ['POST', '/me/email_addresses/', { email_address: 'evil@example.com' }],
    ['DELETE', `/me/email_addresses/${sessions[0].user.primary_email_address_id}`],
    ['POST', '/me/phone_numbers', { phone_number: '+12025550155' }],
    ['POST', '/me/totp'],
    ['DELETE', '/me/totp'],
    ['POST', '/me/backup_codes/'],
    ['POST', '/me/passkeys'],
    ['POST', '/me/external_accounts', { strategy: 'oauth_google' }],
    ['PATCH', '/me', { username: 'evil_ada' }],
    ['PATCH', '/me', { primary_email_address_id: sessions[0].user.primary_email_address_id }],
    ['POST', `/me/sessions/${sessions[0].id}/revoke`],
    ['POST', `/client/sessions/${sessionId}/verify`, { level: 'first_factor' }],
    ['POST', `/client/sessions/${sessionId}/verify/prepare_first_factor`, { strategy: 'email_code' }],
    ['DELETE', `/organizations/${id}`],
    ['DELETE', '/me'],
  ]
  for (const [method, path, form] of attempts) {
    const { status, body } = await browser.send(method, path, form)
    expect([method, path, status, body.errors?.[0].code]).toEqual([
      method,
      path,
      403,
      'action_not_allowed_while_impersonating',
    ])
  }
  expect((await browser.get('/me')).status).toBe(200)
  expect((await own.send('DELETE', `/organizations/${id}`)).status).toBe(200)
  expect((await own.send('DELETE', '/me')).status).toBe(200)
})

test('O7 nobody acts for somebody through somebody else', async () => {
  const { t, browser, userId, support } = await acting()
  const bob = await createUser(t.ctx(), { emailAddresses: [] })
  const next = await createActorToken(t.ctx(), { userId: bob.id, actor: { sub: support.id } })
  const nested = await browser.post('/client/sign_ins', { strategy: 'ticket', ticket: next.token })
  expect([nested.status, nested.body.errors[0].code]).toEqual([403, 'action_not_allowed_while_impersonating'])
  await browser.send('DELETE', '/client/sessions')
  const { body } = await browser.post('/client/sign_ins', { strategy: 'ticket', ticket: next.token })
  expect(body.response.status).toBe('complete')
  for (const actor of [
    { sub: userId },
    { sub: 'user_nobody' },
    { sub: '' },
    { sub: support.id, act: { sub: bob.id } },
    { sub: support.id, big: 'x'.repeat(2000) },
  ])
    await expect(createActorToken(t.ctx(), { userId, actor })).rejects.toMatchObject({
      code: 'form_param_value_invalid',
    })
})

test('O7 A16 who acts for somebody stops when they are banned or deleted themselves', async () => {
  const banned = await acting()
  const mint = (a: typeof banned) => a.browser.post(`/client/sessions/${a.sessionId}/tokens`)
  expect((await mint(banned)).status).toBe(200)
  await updateUser(banned.t.ctx(), { id: banned.support.id, banned: true })
  expect([401, 404]).toContain((await mint(banned)).status)
  const deleted = await acting()
  expect((await mint(deleted)).status).toBe(200)
  await deleteUser(deleted.t.ctx(), deleted.support.id)
  expect([401, 404]).toContain((await mint(deleted)).status)
  expect((await deleted.browser.get('/client')).body.response.sessions).toEqual([])
})
