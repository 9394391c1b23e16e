import { expect, test } from 'bun:test'
import { and, eq } from 'drizzle-orm'
import { transaction } from '../../database/index.ts'
import { setPassword } from '../../domains/credentials/index.ts'
import { events } from '../../domains/events/tables.ts'
import { listSessions } from '../../domains/sessions/index.ts'
import { createUser } from '../../domains/users/index.ts'
import { testInstance } from '../../testing/server.ts'
import { mailedCode, mailsTo, TestBrowser } from './testing.ts'

const ada = 'ada@example.com'
const password = 'correct horse battery'

/** An instance with one account, and a browser that is signed out. */
async function withAda(settings: object = {}) {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, {
    rateLimits: { attemptsPerMinute: 100_000 },
    ...settings,
  })
  const { userId } = await new TestBrowser(t).signUp(ada, password)
  return { t, userId, browser: new TestBrowser(t) }
}

test('signs in with a password in one step and with an identifier first', async () => {
  const { browser, t } = await withAda()
  const oneStep = await browser.post('/client/sign_ins', { identifier: ada, password })
  expect(oneStep.body.response).toMatchObject({ status: 'complete', supported_first_factors: null })
  expect(oneStep.body.client).toMatchObject({
    sign_in: null,
    last_active_session_id: oneStep.body.response.created_session_id,
    last_authentication_strategy: 'password',
  })
  const other = new TestBrowser(t)
  const begun = await other.post('/client/sign_ins', { identifier: ada })
  expect(begun.body.response.status).toBe('needs_first_factor')
  const factors = begun.body.response.supported_first_factors
  expect(factors.map((f: { strategy: string }) => f.strategy)).toEqual([
    'password',
    'email_code',
    'reset_password_email_code',
  ])
  expect(factors[1].safe_identifier).toBe(ada)
  const path = `/client/sign_ins/${begun.body.response.id}/attempt_first_factor`
  const wrong = await other.post(path, { strategy: 'password', password: 'wrong password' })
  expect(wrong.status).toBe(422)
  expect(wrong.body.errors[0]).toMatchObject({ code: 'form_password_incorrect', meta: { param_name: 'password' } })
  expect(wrong.body.meta.client.sign_in.id).toBe(begun.body.response.id)
  expect((await other.post(path, { strategy: 'password', password })).body.response.status).toBe('complete')
})

test('of many who sign in at once in new browsers each gets a session, a warning and facts of their own', async () => {
  const { t, userId } = await withAda({ lockout: { enabled: false } })
  const bob = await createUser(t.ctx(), { emailAddresses: [{ emailAddress: 'bob@example.com', verifiedBy: 'admin' }] })
  await setPassword(t.ctx(), { userId: bob.id, password })
  const browsers = ['Chrome/101', 'Chrome/102', 'Firefox/103', 'Edg/104']
  const signIn = (identifier: string, typed: string, agent: string) =>
    new TestBrowser(t).post('/client/sign_ins', { identifier, password: typed }, { 'user-agent': agent })
  const [wrong, first, ...others] = await Promise.all([
    signIn(ada, 'not the right one', 'Chrome/99'),
    signIn('bob@example.com', password, 'Chrome/100'),
    ...browsers.map((agent) => signIn(ada, password, agent)),
  ])
  expect(wrong?.status).toBe(422)
  const seen = await listSessions(t.ctx(), { limit: 100, offset: 0 })
  const told = await transaction(t.ctx(), (tx) =>
    tx.db
      .select()
      .from(events)
      .where(and(eq(events.instanceId, tx.instance.id), eq(events.type, 'session.created'))),
  )
  const expected = [[first, bob.id, 'Chrome/100'], ...others.map((other, i) => [other, userId, browsers[i]])] as const
  for (const [answer, owner, userAgent] of expected) {
    const id = (answer as typeof wrong)?.body.response.created_session_id
    expect(seen.data.find((s) => s.id === id)).toMatchObject({ userId: owner, userAgent })
    expect(told.filter((e) => e.subject === id)).toMatchObject([{ context: { user_agent: userAgent } }])
  }
  const warned = (await mailsTo(t, ada)).filter(({ template }) => template === 'new_device_sign_in')
  const named = warned.map(({ text }) => text.match(/(Chrome|Firefox|Edge) \d+/)?.[0])
  expect(named.sort()).toEqual(['Chrome 101', 'Chrome 102', 'Edge 104', 'Firefox 103'])
  // It was the first device of theirs.
  expect(await mailsTo(t, 'bob@example.com')).toEqual([])
})

test('signs in with an emailed code; the code works once', async () => {
  const { t, browser } = await withAda()
  const begun = await browser.post('/client/sign_ins', { identifier: ada, strategy: 'email_code' })
  expect(begun.body.response.first_factor_verification).toMatchObject({ strategy: 'email_code', status: 'unverified' })
  const path = `/client/sign_ins/${begun.body.response.id}/attempt_first_factor`
  const code = await mailedCode(t, ada)
  const done = await browser.post(path, { strategy: 'email_code', code })
  expect(done.body.response.status).toBe('complete')
  expect((await browser.post(path, { strategy: 'email_code', code })).status).toBe(400)
})

test('answers in the codes that the components branch on, and never with 401', async () => {
  const { browser } = await withAda()
  const refusals: [Record<string, string>, number, string, string?][] = [
    [{ identifier: 'nobody@example.com' }, 422, 'form_identifier_not_found', 'identifier'],
    [{ identifier: 'nobody@example.com', password }, 422, 'form_identifier_not_found', 'identifier'],
    [{ identifier: ada, password: 'wrong password' }, 422, 'form_password_incorrect', 'password'],
    [{ identifier: ada, strategy: 'oauth_google' }, 422, 'strategy_for_user_invalid', 'strategy'],
    [{ strategy: 'ticket', ticket: 'nonsense' }, 400, 'ticket_invalid', 'ticket'],
  ]
  for (const [form, status, code, param] of refusals) {
    const { status: got, body } = await browser.post('/client/sign_ins', form)
    expect({ got, code: body.errors[0].code, param: body.errors[0].meta.param_name }).toEqual({
      got: status,
      code,
      param,
    })
  }
  // A refusal begins no flow, but the browser is known by its client from then on.
  expect(browser.clientCookie).toBeDefined()
  await browser.post('/client/sign_ins', { identifier: ada, password })
  const again = await browser.post('/client/sign_ins', { identifier: ada, password })
  expect({ status: again.status, code: again.body.errors[0].code }).toEqual({ status: 400, code: 'session_exists' })
  expect(again.body.meta.client.sessions).toHaveLength(1)
})

test('several people are signed in on one client where the instance allows it', async () => {
  const { t, browser } = await withAda({ multiSession: true })
  await browser.post('/client/sign_ins', { identifier: ada, password })
  const { sessionId } = await browser.signUp('bob@example.com')
  const { body } = await browser.get('/client')
  expect(body.response.sessions).toHaveLength(2)
  expect(body.response.last_active_session_id).toBe(sessionId)
  const again = await browser.post('/client/sign_ins', { identifier: ada, password })
  expect(again.body.errors[0]).toMatchObject({ code: 'identifier_already_signed_in' })
  expect(again.body.errors[0].meta.session_id).toBe(body.response.sessions[0].id)
  const removed = await browser.post(`/client/sessions/${sessionId}/remove`)
  expect(removed.body.client.sessions).toHaveLength(1)
  const stranger = new TestBrowser(t)
  await stranger.signUp('eve@example.com')
  const theirs = body.response.sessions[0].id
  for (const step of ['touch', 'end', 'remove', 'tokens'])
    expect((await stranger.post(`/client/sessions/${theirs}/${step}`)).status).toBe(404)
})

test('resets a password with an emailed code and tells its owner', async () => {
  const { t, browser } = await withAda()
  const begun = await browser.post('/client/sign_ins', { identifier: ada, strategy: 'reset_password_email_code' })
  const base = `/client/sign_ins/${begun.body.response.id}`
  const strategy = 'reset_password_email_code'
  const proven = await browser.post(`${base}/attempt_first_factor`, { strategy, code: await mailedCode(t, ada) })
  expect(proven.body.response.status).toBe('needs_new_password')
  expect(proven.body.client.sessions).toEqual([])
  const done = await browser.post(`${base}/reset_password`, { password: 'a new password' })
  expect(done.body.response.status).toBe('complete')
  expect((await mailsTo(t, ada))[0]?.template).toBe('password_changed')
  const other = new TestBrowser(t)
  expect((await other.post('/client/sign_ins', { identifier: ada, password })).status).toBe(422)
  expect((await other.post('/client/sign_ins', { identifier: ada, password: 'a new password' })).status).toBe(200)
})

test('A1 no order of steps sets a password without the mailed code', async () => {
  const { t, browser } = await withAda()
  const begin = async () =>
    (await browser.post('/client/sign_ins', { identifier: ada, strategy: 'reset_password_email_code' })).body.response
      .id
  let id = await begin()
  const seed = 0x5eed
  let state = seed
  const random = (n: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state % n
  }
  const strategies = ['reset_password_email_code', 'email_code', 'password', 'ticket']
  const pick = () => strategies[random(strategies.length)] as string
  for (let i = 0; i < 150; i += 1) {
    const base = `/client/sign_ins/${id}`
    const steps = [
      () => browser.post(`${base}/reset_password`, { password: `stolen password ${i}` }),
      () => browser.post(`${base}/attempt_first_factor`, { strategy: pick(), code: '', password: 'guess' }),
      () => browser.post(`${base}/attempt_first_factor`, { strategy: pick() }),
      () => browser.post('/client/sign_ins', { identifier: ada }),
      () => browser.get(base),
      async () => {
        id = await begin()
        return browser.get(base)
      },
    ]
    // Sends few emails, so that the walk is not ended by the limit on them.
    const step = steps[random(i % 40 === 0 ? 6 : 5)] as (typeof steps)[number]
    const { body } = await step()
    const seen = { seed, i, status: body.response?.status, sessions: body.client?.sessions?.length ?? 0 }
    expect(['needs_first_factor', 'abandoned', undefined]).toContain(seen.status)
    expect(seen.sessions).toBe(0)
  }
  // The owner's code of another purpose opens no reset either.
  const begun = await new TestBrowser(t).post('/client/sign_ins', { identifier: ada, strategy: 'email_code' })
  expect(begun.status).toBe(200)
  const other = await browser.post('/client/sign_ins', { identifier: ada, password })
  expect(other.body.response.status).toBe('complete')
}, 60_000)

test('A4 a reset is spent once, also by fifty requests in parallel', async () => {
  const { t, browser } = await withAda()
  const begun = await browser.post('/client/sign_ins', { identifier: ada, strategy: 'reset_password_email_code' })
  const base = `/client/sign_ins/${begun.body.response.id}`
  const strategy = 'reset_password_email_code'
  await browser.post(`${base}/attempt_first_factor`, { strategy, code: await mailedCode(t, ada) })
  // Fifty browsers with the cookie of the one: the rotation by the winner must not be what stops the others.
  const cookies = [...browser.cookies]
  const replies = await Promise.all(
    Array.from({ length: 50 }, async (_, i) => {
      const twin = new TestBrowser(t)
      for (const [name, value] of cookies) twin.cookies.set(name, value)
      const { status, body } = await twin.post(`${base}/reset_password`, { password: `new password ${i}` })
      return { i, status, code: body.errors?.[0]?.code }
    }),
  )
  const winners = replies.filter((r) => r.status === 200)
  expect(winners).toHaveLength(1)
  // Whoever came after the client's token had changed is nobody; all others meet the spent reset.
  for (const r of replies.filter((r) => r.status !== 200))
    expect(['token_used', 'resource_not_found']).toContain(r.code)
  expect(replies.filter((r) => r.code === 'token_used').length).toBeGreaterThan(0)
  const worked = await Promise.all(
    replies.map(async ({ i }) => {
      const { status } = await new TestBrowser(t).post('/client/sign_ins', {
        identifier: ada,
        password: `new password ${i}`,
      })
      return status === 200 ? [i] : []
    }),
  )
  expect(worked.flat().filter((i) => i !== winners[0]?.i)).toEqual([])
}, 60_000)

test('A5 an identifier that could mean two recipients is refused before any email', async () => {
  const { t, browser } = await withAda()
  const before = (await mailsTo(t)).length
  const hostile: (string | string[])[] = [
    [ada, 'eve@evil.test'],
    `${ada},eve@evil.test`,
    `${ada};eve@evil.test`,
    `"eve@evil.test"@example.com`,
    `${ada}%0acc:eve@evil.test`,
    `${ada}\ncc:eve@evil.test`,
    `${ada}\r\nBcc: eve@evil.test`,
    `${ada}<eve@evil.test>`,
    `Ada <${ada}>`,
    `${ada}\u0000`,
    `ada@example.com@evil.test`,
    `ada@[127.0.0.1]`,
  ]
  for (const identifier of hostile) {
    for (const strategy of ['email_code', 'reset_password_email_code']) {
      const { status } = await browser.post('/client/sign_ins', { identifier, strategy })
      expect({ identifier, status }).toEqual({ identifier, status: 422 })
    }
    const { status } = await browser.post('/client/sign_ups', { email_address: identifier, password })
    expect({ identifier, status }).toEqual({ identifier, status: 422 })
  }
  const json = { identifier: [ada, 'eve@evil.test'], strategy: 'email_code' }
  const response = await t.fetch('/v1/client/sign_ins', {
    method: 'POST',
    body: JSON.stringify(json),
    headers: { 'content-type': 'application/json' },
  })
  expect(response.status).toBe(422)
  expect(await mailsTo(t)).toHaveLength(before)
})

test('C1 a client token from before a sign-in is worth nothing after it, and an invented one is not adopted', async () => {
  const { t, browser } = await withAda()
  const name = `__client_${t.ctx().instance.cookieSuffix}`
  browser.cookies.set(name, 'planted-by-somebody-else-planted-by-somebody')
  await browser.post('/client/sign_ins', { identifier: ada })
  const before = browser.clientCookie as string
  expect(before).not.toContain('planted')
  const attacker = new TestBrowser(t)
  attacker.cookies.set(name, before)
  expect((await attacker.get('/client')).body.response.sign_in.identifier).toBe(ada)
  await browser.post('/client/sign_ins', { identifier: ada, password })
  expect(browser.clientCookie).not.toBe(before)
  expect((await attacker.get('/client')).body.response).toBe(null)
  expect((await browser.get('/client')).body.response.sessions).toHaveLength(1)
})

test('C1 a flow goes on only in the browser that began it', async () => {
  const { t, browser } = await withAda()
  const begun = await browser.post('/client/sign_ins', { identifier: ada, strategy: 'email_code' })
  const { id } = begun.body.response
  const code = await mailedCode(t, ada)
  const victim = new TestBrowser(t)
  await victim.post('/client/sign_ins', { identifier: ada })
  for (const step of ['attempt_first_factor', 'prepare_first_factor']) {
    const { status } = await victim.post(`/client/sign_ins/${id}/${step}`, { strategy: 'email_code', code })
    expect(status).toBe(404)
  }
  expect((await victim.get(`/client/sign_ins/${id}`)).status).toBe(404)
})

test('guesses are limited by address and by identifier', async () => {
  const { browser } = await withAda({ rateLimits: { attemptsPerMinute: 3 } })
  const tries = []
  for (let i = 0; i < 5; i += 1) tries.push(await browser.post('/client/sign_ins', { identifier: 'x@example.com' }))
  const last = tries.at(-1)
  expect(last?.status).toBe(429)
  expect(last?.body.errors[0].code).toBe('too_many_requests')
  expect(Number(last?.headers.get('retry-after'))).toBeGreaterThan(0)
})
