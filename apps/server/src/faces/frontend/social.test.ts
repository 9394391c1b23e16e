import { afterAll, expect, setDefaultTimeout, test } from 'bun:test'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { transaction } from '../../database/index.ts'
import { knownProviders } from '../../domains/connections/index.ts'
import { argon2idHash } from '../../domains/credentials/hash-queue.ts'
import { importTotp } from '../../domains/credentials/index.ts'
import { findUserByEmail, getUser } from '../../domains/users/index.ts'
import { createEgress } from '../../kernel/egress.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { mailedCode, mailsTo, TestBrowser } from './testing.ts'

// On a busy machine.
setDefaultTimeout(30_000)

const page = 'http://localhost:3000/sso-callback'
const home = 'http://localhost:3000/home'
const password = 'correct horse battery'
const ada = 'ada@example.com'

// biome-ignore lint/suspicious/noExplicitAny: what came over the wire, for assertions
type Json = any
type Account = Partial<Record<'email' | 'first_name' | 'last_name' | 'verified' | 'number' | 'deny', string>>

async function withGoogle(settings: object = {}) {
  const t = await testInstance()
  const { id } = t.ctx().instance
  await t.server.runtime.instances.changeSettings(id, { rateLimits: { attemptsPerMinute: 100_000 }, ...settings })
  await t.server.runtime.instances.setConnection(id, { provider: 'google' })
  return { t, browser: new TestBrowser(t) }
}

/** What a browser does between the application and the end of the callback, at the built-in provider. */
async function visitProvider(t: TestInstance, url: string, account: Account): Promise<string> {
  const at = new URL(url)
  const shown = await t.fetch(`${at.pathname}${at.search}`)
  expect(shown.status).toBe(200)
  const text = await shown.text()
  const hidden = [...text.matchAll(/type="hidden" name="(\w+)" value="([^"]*)"/g)].map(([, n = '', v = '']) => [n, v])
  const fields = { email: ada, first_name: 'Ada', last_name: 'Lovelace', verified: 'on', number: '1', ...account }
  const form = new URLSearchParams([...hidden, ...Object.entries(fields).filter(([, v]) => v !== '')])
  const sent = await t.fetch(at.pathname, {
    method: 'POST',
    body: form.toString(),
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  })
  expect(sent.status).toBe(303)
  return sent.headers.get('location') ?? ''
}
const callback = async (browser: TestBrowser, location: string) => {
  const { pathname, search } = new URL(location)
  return browser.get(pathname.replace('/v1', '') + search)
}
const begin = (browser: TestBrowser, what: 'sign_ins' | 'sign_ups' = 'sign_ins', strategy = 'oauth_google') =>
  browser.post(`/client/${what}`, { strategy, redirect_url: page, action_complete_redirect_url: home })
const urlOf = (body: Json): string =>
  (
    body.response.first_factor_verification ??
    body.response.verifications?.external_account ??
    body.response.verification
  ).external_verification_redirect_url

/** A whole visit: where the browser ends up, and the client after it. */
async function continueWithGoogle(
  t: TestInstance,
  browser: TestBrowser,
  account: Account = {},
  what: 'sign_ins' | 'sign_ups' = 'sign_ins',
) {
  const begun = await begin(browser, what)
  const back = await callback(browser, await visitProvider(t, urlOf(begun.body), account))
  return {
    status: back.status,
    location: back.headers.get('location'),
    client: (await browser.get('/client')).body.response,
  }
}

test('somebody new signs up with a provider; the next time they sign in', async () => {
  const { t, browser } = await withGoogle()
  const made = await continueWithGoogle(t, browser, {}, 'sign_ups')
  expect(made).toMatchObject({ status: 303, location: home })
  const [session] = made.client.sessions
  expect(session.user).toMatchObject({ first_name: 'Ada', last_name: 'Lovelace', password_enabled: false })
  expect(session.user.email_addresses).toMatchObject([
    { email_address: ada, verification: { status: 'verified', strategy: 'from_oauth_google' } },
  ])
  expect(session.user.external_accounts).toMatchObject([
    { provider: 'oauth_google', email_address: ada, verification: { status: 'verified' } },
  ])
  expect(made.client.last_authentication_strategy).toBe('oauth_google')
  const other = new TestBrowser(t)
  const again = await continueWithGoogle(t, other)
  expect(again.location).toBe(home)
  expect(again.client.sessions[0].user.id).toBe(session.user.id)
})

test('a sign-in of somebody unknown is transferable to a sign-up, once', async () => {
  const { t, browser } = await withGoogle()
  const back = await continueWithGoogle(t, browser)
  expect(back.location).toBe(page)
  expect(back.client.sessions).toEqual([])
  expect(back.client.sign_in.first_factor_verification).toMatchObject({
    status: 'transferable',
    error: { code: 'external_account_not_found' },
  })
  const both = await Promise.all([1, 2, 3].map(() => browser.post('/client/sign_ups', { transfer: 'true' })))
  expect(both.filter((a) => a.body.response?.status === 'complete')).toHaveLength(1)
  expect(both.filter((a) => a.status >= 400).every((a) => a.body.errors[0].code !== 'internal_error')).toBe(true)
})

test('a sign-up with an account that is known is transferable to a sign-in', async () => {
  const { t, browser } = await withGoogle()
  await continueWithGoogle(t, browser, {}, 'sign_ups')
  const other = new TestBrowser(t)
  const back = await continueWithGoogle(t, other, {}, 'sign_ups')
  expect(back.location).toBe(page)
  expect(back.client.sign_up.verifications.external_account).toMatchObject({
    status: 'transferable',
    error: { code: 'external_account_exists' },
  })
  const done = await other.post('/client/sign_ins', { transfer: 'true' })
  expect(done.body.response.status).toBe('complete')
  expect((await other.post('/client/sign_ins', { transfer: 'true' })).status).toBeGreaterThanOrEqual(400)
})

test('whoever says no at the provider is back where they began, and may begin again', async () => {
  const { t, browser } = await withGoogle()
  const back = await continueWithGoogle(t, browser, { deny: '1' })
  expect(back.location).toBe(page)
  expect(back.client.sign_in.first_factor_verification).toMatchObject({
    status: 'failed',
    error: { code: 'oauth_access_denied' },
  })
  const fresh = await browser.post('/client/sign_ins', { locale: 'en-US' })
  expect(fresh.body.response).toMatchObject({ status: 'needs_identifier', first_factor_verification: null })
})

test('an account with a second factor is asked for it after the provider too', async () => {
  const { t, browser } = await withGoogle({ secondFactors: { totp: true } })
  const { client } = await continueWithGoogle(t, browser, {}, 'sign_ups')
  const secret = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP'
  await transaction(t.ctx(), (tx) => importTotp(tx, { userId: client.sessions[0].user.id, secret }))
  const other = new TestBrowser(t)
  const back = await continueWithGoogle(t, other)
  expect(back.location).toBe(page)
  expect(back.client.sessions).toEqual([])
  expect(back.client.sign_in.status).toBe('needs_second_factor')
})

test('B1 an unproven account made beforehand with somebody’s address gives its maker nothing of theirs', async () => {
  const { t } = await withGoogle({ emailAddress: { verifyAtSignUp: false } })
  const attacker = new TestBrowser(t)
  const planted = await attacker.post('/client/sign_ups', { email_address: ada, password })
  const plantedId = planted.body.response.created_user_id
  const victim = new TestBrowser(t)
  const { client } = await continueWithGoogle(t, victim, {}, 'sign_ups')
  const { user } = client.sessions[0]
  expect(user.id).not.toBe(plantedId)
  expect(user.email_addresses[0].verification.status).toBe('verified')
  // What the attacker kept open opens their own account, and their password does not open hers.
  expect((await attacker.get('/client')).body.response.sessions[0].user.id).toBe(plantedId)
  const byPassword = await new TestBrowser(t).post('/client/sign_ins', { identifier: ada, password })
  expect(byPassword.body.errors[0].code).toBe('strategy_for_user_invalid')
  expect((await findUserByEmail(t.ctx(), ada))?.id).toBe(user.id)
})

test('B1 two proven sides are linked, and the owner is told', async () => {
  const { t, browser } = await withGoogle()
  const { userId } = await new TestBrowser(t).signUp(ada, password)
  const { client } = await continueWithGoogle(t, browser)
  expect(client.sessions[0].user.id).toBe(userId)
  expect((await mailsTo(t, ada)).map((m) => m.template)).toContain('external_account_linked')
})

test('B2 an address that the provider has not proven links nothing, and has to be proven here', async () => {
  const { t, browser } = await withGoogle()
  const { userId } = await new TestBrowser(t).signUp(ada, password)
  const back = await continueWithGoogle(t, browser, { verified: '' })
  expect(back.client.sign_in.first_factor_verification.status).toBe('transferable')
  const transferred = await browser.post('/client/sign_ups', { transfer: 'true' })
  expect(transferred.body.errors[0].code).toBe('form_identifier_exists')
  expect((await getUser(t.ctx(), userId)).externalAccounts).toEqual([])
  // A new address of the same kind is asked for its code.
  const other = new TestBrowser(t)
  const begun = await continueWithGoogle(t, other, { verified: '', email: 'new@example.com' }, 'sign_ups')
  expect(begun.client.sessions).toEqual([])
  expect(begun.client.sign_up).toMatchObject({ status: 'missing_requirements', unverified_fields: ['email_address'] })
})

test('B4 the same address under a new account of the provider is a new person, who is not let in', async () => {
  const { t, browser } = await withGoogle()
  const { client } = await continueWithGoogle(t, browser, {}, 'sign_ups')
  const other = new TestBrowser(t)
  const back = await continueWithGoogle(t, other, { number: '2' })
  expect(back.client.sessions).toEqual([])
  expect(back.client.sign_in.first_factor_verification).toMatchObject({
    status: 'failed',
    error: { code: 'not_allowed_access' },
  })
  expect((await getUser(t.ctx(), client.sessions[0].user.id)).externalAccounts).toHaveLength(1)
})

test('B8 a provider that is switched off meanwhile lets nobody in', async () => {
  const { t, browser } = await withGoogle()
  await continueWithGoogle(t, new TestBrowser(t), {}, 'sign_ups')
  const begun = await begin(browser)
  const location = await visitProvider(t, urlOf(begun.body), {})
  await t.server.runtime.instances.setConnection(t.ctx().instance.id, { provider: 'google', enabled: false })
  await callback(browser, location)
  const { response } = (await browser.get('/client')).body
  expect(response.sessions).toEqual([])
  expect(response.sign_in.first_factor_verification.status).toBe('failed')
  expect((await begin(browser)).body.errors[0].code).toBe('strategy_for_user_invalid')
})

test('B10 B13 a state is good once, and in the browser that began it alone', async () => {
  const { t, browser } = await withGoogle()
  const begun = await begin(browser, 'sign_ups')
  const location = await visitProvider(t, urlOf(begun.body), {})
  const lured = new TestBrowser(t)
  await begin(lured)
  const stolen = await callback(lured, location)
  expect({ status: stolen.status, code: stolen.body.errors[0].code }).toEqual({
    status: 403,
    code: 'oauth_callback_invalid',
  })
  expect((await lured.get('/client')).body.response.sessions).toEqual([])
  expect(
    (await new TestBrowser(t).get(new URL(location).pathname.replace('/v1', '') + new URL(location).search)).status,
  ).toBe(403)
  expect((await callback(browser, location)).status).toBe(303)
  await browser.send('DELETE', '/client/sessions')

  const again = await begin(browser, 'sign_ups')
  const fresh = await visitProvider(t, urlOf(again.body), {})
  const answers = await Promise.all(Array.from({ length: 10 }, () => callback(browser, fresh)))
  expect(answers.filter((a) => a.status === 303)).toHaveLength(1)
  expect((await callback(browser, fresh)).status).toBe(403)
})

test('B11 an account that was unlinked opens nothing, and a proof from before does not link it again', async () => {
  const { t, browser } = await withGoogle()
  await browser.signUp(ada, password)
  const link = () =>
    browser.post('/me/external_accounts', {
      strategy: 'oauth_google',
      redirect_url: page,
      action_complete_redirect_url: home,
    })
  const first = await visitProvider(t, urlOf((await link()).body), { email: 'other@example.com' })
  const second = await visitProvider(t, urlOf((await link()).body), { email: 'other@example.com' })
  // The first was overtaken by the second request; it links nothing.
  expect((await callback(browser, first)).status).toBe(403)
  expect((await callback(browser, second)).headers.get('location')).toBe(home)
  const [account] = (await browser.get('/me')).body.response.external_accounts
  expect(account).toMatchObject({ email_address: 'other@example.com', verification: { status: 'verified' } })
  expect((await browser.send('DELETE', `/me/external_accounts/${account.id}`)).status).toBe(200)
  expect((await callback(browser, second)).status).toBe(403)
  const stranger = new TestBrowser(t)
  const back = await continueWithGoogle(t, stranger, { email: 'other2@example.com' })
  expect(back.client.sessions).toEqual([])
})

test('B14 the only way in cannot be unlinked, and an address stays its owner’s after unlinking', async () => {
  const { t, browser } = await withGoogle()
  const { client } = await continueWithGoogle(t, browser, {}, 'sign_ups')
  const [account] = client.sessions[0].user.external_accounts
  // The address is proven, so that a code lets the person in: unlinking is possible and takes nothing else away.
  expect((await browser.send('DELETE', `/me/external_accounts/${account.id}`)).status).toBe(200)
  const claim = await new TestBrowser(t).post('/client/sign_ups', { email_address: ada, password })
  expect(claim.body.errors[0].code).toBe('form_identifier_exists')

  const bare = await withGoogle({ emailAddress: { use: 'off' } })
  const alone = await continueWithGoogle(bare.t, bare.browser, { verified: '' }, 'sign_ups')
  const [only] = alone.client.sessions[0].user.external_accounts
  const refused = await bare.browser.send('DELETE', `/me/external_accounts/${only.id}`)
  expect(refused.body.errors[0].code).toBe('identification_deletion_failed')
})

test('B16 a callback that nobody asked for is refused, whatever it says', async () => {
  const { browser } = await withGoogle()
  await begin(browser)
  for (const query of ['', '?code=x', '?state=x&code=y', '?state=&code=', `?email=${ada}&sub=1`, '?state[]=x&code=y']) {
    const { status, body } = await browser.get(`/oauth_callback${query}`)
    expect({ query, status, code: body.errors?.[0]?.code }).toEqual({
      query,
      status: 403,
      code: 'oauth_callback_invalid',
    })
  }
  expect((await browser.get('/client')).body.response.sessions).toEqual([])
})

test('linking one’s account to two people is refused, and says so on the account', async () => {
  const { t, browser } = await withGoogle()
  await continueWithGoogle(t, new TestBrowser(t), {}, 'sign_ups')
  await browser.signUp('bob@example.com', password)
  const form = { strategy: 'oauth_google', redirect_url: page }
  const begun = await browser.post('/me/external_accounts', form)
  await callback(browser, await visitProvider(t, urlOf(begun.body), {}))
  const [account] = (await browser.get('/me')).body.response.external_accounts
  expect(account.verification).toMatchObject({ status: 'failed', error: { code: 'external_account_exists' } })
})

test('the built-in provider stands in for every provider, whatever each calls things', async () => {
  const { t } = await withGoogle()
  for (const { key } of knownProviders) {
    await t.server.runtime.instances.setConnection(t.ctx().instance.id, { provider: key })
    const browser = new TestBrowser(t)
    const begun = await begin(browser, 'sign_ups', `oauth_${key}`)
    const location = await visitProvider(t, urlOf(begun.body), { email: `${key}@example.com` })
    expect((await callback(browser, location)).headers.get('location')).toBe(home)
    const [session] = (await browser.get('/client')).body.response.sessions
    expect(session.user.external_accounts).toMatchObject([{ provider: `oauth_${key}`, first_name: 'Ada' }])
  }
})

test('production instances have no demo provider, and say what is missing', async () => {
  const t = await testInstance('production')
  const { instances } = t.server.runtime
  const set = instances.setConnection(t.ctx().instance.id, { provider: 'google' })
  await expect(set).rejects.toMatchObject({ code: 'oauth_provider_not_configured' })
  await instances.setConnection(t.ctx().instance.id, { provider: 'google', clientId: 'id', clientSecret: 'secret' })
  for (const method of ['GET', 'POST']) expect((await t.fetch('/demo-provider/google', { method })).status).toBe(404)
  const origin = `http://${t.host}`
  const browser = new TestBrowser(t, origin)
  const begun = await browser.post('/client/sign_ins', { strategy: 'oauth_google', redirect_url: `${origin}/sso` })
  const url = new URL(urlOf(begun.body))
  expect(url.origin).toBe('https://accounts.google.com')
  expect(url.searchParams.get('client_id')).toBe('id')
  expect(url.toString()).not.toContain('secret')
  const elsewhere = await browser.post('/client/sign_ins', {
    strategy: 'oauth_google',
    redirect_url: 'https://evil.example/',
  })
  expect(elsewhere.body.errors[0].code).toBe('form_param_value_invalid')
})

/** A provider of one's own on loopback, whose every answer a test can bend. */
const keys = await generateKeyPair('RS256', { extractable: true })
const foreign = await generateKeyPair('RS256')
let bend: {
  expires?: number
  claims?: object
  key?: CryptoKey
  issuer?: string
  audience?: string
  userInfo?: object
  document?: object
} = {}
let lastNonce = ''
const idp: ReturnType<typeof Bun.serve> = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  async fetch(request) {
    const { pathname } = new URL(request.url)
    const issuer = `http://127.0.0.1:${idp.port}`
    if (pathname === '/.well-known/openid-configuration')
      return Response.json({
        issuer,
        authorization_endpoint: `${issuer}/authorize`,
        token_endpoint: `${issuer}/token`,
        userinfo_endpoint: `${issuer}/userinfo`,
        jwks_uri: `${issuer}/jwks`,
        ...bend.document,
      })
    if (pathname === '/jwks')
      return Response.json({ keys: [{ ...(await exportJWK(keys.publicKey)), kid: 'k', alg: 'RS256' }] })
    if (pathname === '/userinfo')
      return Response.json({ sub: 'sub-1', email: ada, email_verified: true, ...bend.userInfo })
    const claims: Record<string, unknown> = {
      email: ada,
      email_verified: true,
      sub: 'sub-1',
      nonce: lastNonce,
      ...bend.claims,
    }
    const token = new SignJWT(claims)
      .setProtectedHeader({ alg: 'RS256', kid: 'k' })
      .setIssuedAt()
      .setExpirationTime(bend.expires ?? '5m')
    const idToken = await token
      .setIssuer(bend.issuer ?? issuer)
      .setAudience(bend.audience ?? 'our-client')
      .sign(bend.key ?? keys.privateKey)
    return Response.json({ access_token: 'at', id_token: idToken, expires_in: 60 })
  },
})
afterAll(() => idp.stop(true))

async function withOwnProvider(issuer = `http://127.0.0.1:${idp.port}`) {
  const { t, browser } = await withGoogle()
  t.server.runtime.egress = createEgress({ allow: [`127.0.0.1:${idp.port}`] })
  const credentials = { clientId: 'our-client', clientSecret: 'our-secret' }
  const own = { provider: 'custom_acme', name: 'Acme', custom: { issuer }, ...credentials }
  await t.server.runtime.instances.setConnection(t.ctx().instance.id, own)
  const visit = async () => {
    const begun = await begin(browser, 'sign_ups', 'oauth_custom_acme')
    if (begun.status !== 200) return { error: begun.body.errors[0].code, sessions: [] }
    const url = new URL(urlOf(begun.body))
    lastNonce = url.searchParams.get('nonce') ?? ''
    await browser.get(`/oauth_callback?code=c&state=${url.searchParams.get('state')}`)
    const client = (await browser.get('/client')).body.response
    return { error: client.sign_up?.verifications.external_account?.error?.code, sessions: client.sessions }
  }
  return { t, browser, visit }
}

test('an OpenID Connect provider of one’s own, found by its issuer', async () => {
  bend = {}
  const { visit } = await withOwnProvider()
  const { sessions } = await visit()
  expect(sessions[0].user.external_accounts).toMatchObject([
    { provider: 'oauth_custom_acme', provider_user_id: 'sub-1' },
  ])
})

test('B17 ID tokens of other keys, issuers, audiences or nonces, and user info of somebody else, are refused', async () => {
  const bent: (typeof bend)[] = [
    { key: foreign.privateKey },
    { issuer: 'https://accounts.google.com' },
    { audience: 'another-client' },
    { claims: { nonce: 'another' } },
    { claims: { nonce: undefined } },
    { expires: 1 },
    { userInfo: { sub: 'sub-2' } },
  ]
  for (const each of bent) {
    const { visit } = await withOwnProvider()
    bend = each
    const { error, sessions } = await visit()
    expect({ each: Object.keys(each), error, sessions }).toEqual({
      each: Object.keys(each),
      error: 'oauth_provider_failed',
      sessions: [],
    })
  }
})

test('B5 a provider that does not say who it is signs nobody in', async () => {
  for (const sub of [undefined, null, '', ' ', 0, -1, {}, [], true]) {
    const { t, visit } = await withOwnProvider()
    bend = { claims: { sub }, userInfo: { sub } }
    const { error, sessions } = await visit()
    expect({ sub, error, sessions }).toEqual({ sub, error: 'oauth_provider_failed', sessions: [] })
    expect(await findUserByEmail(t.ctx(), ada)).toBeUndefined()
  }
})

test('B2 only a plain yes of the provider proves an address', async () => {
  for (const email_verified of [false, 'false', null, 0, 1, 'yes', {}, undefined]) {
    const { browser, visit } = await withOwnProvider()
    bend = { claims: { email_verified }, userInfo: { email_verified } }
    expect((await visit()).sessions).toEqual([])
    expect((await browser.get('/client')).body.response.sign_up.unverified_fields).toEqual(['email_address'])
  }
  const { visit } = await withOwnProvider()
  bend = { userInfo: { email_verified: 'true' } }
  expect((await visit()).sessions).toHaveLength(1)
})

test('J5 a provider inside the server’s own network is not reached unless the operator allows it', async () => {
  bend = {}
  const { t, visit } = await withOwnProvider()
  t.server.runtime.egress = createEgress()
  const other = await withOwnProvider('http://127.0.0.1:1')
  expect((await other.visit()).error).toBe('egress_refused')
  t.server.runtime.egress = createEgress({ allow: [`127.0.0.1:${idp.port}`] })
  bend = { document: { issuer: 'https://somebody.else' } }
  const lying = await withOwnProvider(`http://127.0.0.1:${idp.port}/`)
  expect((await lying.visit()).error).toBe('oauth_provider_failed')
  bend = {}
  expect((await visit()).sessions).toHaveLength(1)
})

test('an address that restrictions keep out comes in by no provider either', async () => {
  const { t, browser } = await withGoogle()
  const restrict = (restrictions: object) =>
    t.server.runtime.instances.changeSettings(t.ctx().instance.id, { restrictions })
  await restrict({ blockEmailSubaddresses: true })
  const kept = { email: 'ada+other@example.com' }
  const refused = await continueWithGoogle(t, browser, kept, 'sign_ups')
  expect(refused.client.sessions).toEqual([])
  expect(refused.client.sign_up.verifications.external_account.error.code).toBe('form_email_address_blocked')

  // Linking in the profile says why not.
  const signedIn = new TestBrowser(t)
  const { userId } = await signedIn.signUp(ada)
  const link = async () => {
    const linking = await signedIn.post('/me/external_accounts', { strategy: 'oauth_google', redirect_url: page })
    await callback(signedIn, await visitProvider(t, urlOf(linking.body), kept))
    return (await signedIn.get('/me')).body.response
  }
  const unlinked = await link()
  expect(unlinked.external_accounts[0].verification.error.code).toBe('form_email_address_blocked')
  expect(unlinked.email_addresses).toHaveLength(1)

  // An account that was linked before still signs its person in, and does not bring the address back.
  await restrict({ blockEmailSubaddresses: false })
  const linked = await link()
  const address = linked.email_addresses.find((e: Json) => e.email_address === kept.email)
  expect((await signedIn.send('DELETE', `/me/email_addresses/${address.id}`)).status).toBe(200)
  await restrict({ blockEmailSubaddresses: true })
  const again = await continueWithGoogle(t, new TestBrowser(t), kept)
  expect(again.client.sessions[0].user.id).toBe(userId)
  expect((await getUser(t.ctx(), userId)).emailAddresses.map((e) => e.emailAddress)).toEqual([ada])
})

test('somebody who is signed in already is led to that session, and no second one is made', async () => {
  const { t, browser } = await withGoogle({ multiSession: true })
  const { client } = await continueWithGoogle(t, browser, {}, 'sign_ups')
  const again = await continueWithGoogle(t, browser)
  expect(again.location).toBe(page)
  expect(again.client.sessions).toHaveLength(1)
  expect(again.client.sign_in.first_factor_verification).toMatchObject({
    status: 'failed',
    error: { code: 'identifier_already_signed_in', meta: { session_id: client.sessions[0].id } },
  })
})

test('B1 a claim that was planted cannot be proven any more once its owner has come', async () => {
  const { t } = await withGoogle()
  const attacker = new TestBrowser(t)
  const { userId } = await attacker.signUp('attacker@example.com', password)
  const { body } = await attacker.post('/me/email_addresses', { email_address: ada })
  const claim = `/me/email_addresses/${body.response.id}`
  await attacker.post(`${claim}/prepare_verification`, { strategy: 'email_code' })
  const code = await mailedCode(t, ada)
  const { client } = await continueWithGoogle(t, new TestBrowser(t), {}, 'sign_ups')
  const [{ user }] = client.sessions
  expect(user.id).not.toBe(userId)
  // Even with the code itself.
  const proven = await attacker.post(`${claim}/attempt_verification`, { code })
  expect(proven.status).toBeGreaterThanOrEqual(400)
  expect((await findUserByEmail(t.ctx(), ada))?.id).toBe(user.id)
  expect(user.external_accounts).toHaveLength(1)
})

test('asking again for more rights keeps the account; its tokens can be forgotten alone', async () => {
  const { t, browser } = await withGoogle()
  const { client } = await continueWithGoogle(t, browser, {}, 'sign_ups')
  const [{ user }] = client.sessions
  const [account] = user.external_accounts
  const path = `/me/external_accounts/${account.id}`
  const more = { redirect_url: page, additional_scope: 'https://www.googleapis.com/auth/calendar.readonly' }
  const begun = await browser.send('PATCH', `${path}/reauthorize`, more)
  expect(new URL(urlOf(begun.body)).searchParams.get('scope')).toContain('calendar.readonly')
  // While the person is away the account stays what it was.
  expect((await browser.get('/me')).body.response.external_accounts[0].verification.status).toBe('verified')
  await callback(browser, await visitProvider(t, urlOf(begun.body), {}))
  const [after] = (await browser.get('/me')).body.response.external_accounts
  expect(after).toMatchObject({ id: account.id, verification: { status: 'verified' } })
  expect(after.approved_scopes).toContain('calendar.readonly')
  const tokens = async () =>
    (await (await t.fetch(`/v1/users/${user.id}/oauth_access_tokens/oauth_google`, { secretKey: true })).json()) as Json
  expect(await tokens()).toHaveLength(1)
  expect((await browser.send('DELETE', `${path}/tokens`)).status).toBe(200)
  expect(await tokens()).toEqual([])
  const listed = await t.fetch('/v1/users?provider=google', { secretKey: true })
  expect(((await listed.json()) as Json[]).map((u) => u.id)).toEqual([user.id])
})

test('B10 a round trip that was begun to link is no sign-in of whoever comes back, and another’s account is not taken', async () => {
  const { t, browser } = await withGoogle()
  const { userId } = await browser.signUp('bob@example.com', password)
  const begun = await browser.post('/me/external_accounts', { strategy: 'oauth_google', redirect_url: page })
  const location = await visitProvider(t, urlOf(begun.body), {})
  // Somebody else's browser, signed in or not, does not finish it.
  const stranger = new TestBrowser(t)
  await stranger.signUp('eve@example.com', password)
  expect((await callback(stranger, location)).status).toBe(403)
  expect((await stranger.get('/me')).body.response.external_accounts).toEqual([])
  // Nor does the browser itself once its person has gone.
  await browser.send('DELETE', '/client/sessions')
  await callback(browser, location)
  const { externalAccounts } = await getUser(t.ctx(), userId)
  expect(externalAccounts.filter((a) => a.verifiedAt !== null)).toEqual([])
  expect((await browser.get('/client')).body.response.sessions).toEqual([])
})

test('a sign-up with a password holds no connection to the database while that waits to be hashed', async () => {
  const { t } = await withGoogle()
  const order: string[] = []
  const form = { password, redirect_url: page, action_complete_redirect_url: home }
  const others = Array.from({ length: 200 }, () => argon2idHash('somebody else’s'))
  const begun = Array.from({ length: 16 }, async (_, i) => {
    const fields = { ...form, email_address: `p${i}@example.com`, strategy: 'oauth_google' }
    expect((await new TestBrowser(t).post('/client/sign_ups', fields)).status).toBe(200)
    order.push('signed up')
  })
  await Bun.sleep(100)
  for (let i = 0; i < 20; i += 1) await transaction(t.ctx(), (tx) => tx.db.execute('select 1'))
  order.push('read')
  await Promise.all([...begun, ...others])
  expect(order).toEqual(['read', ...Array(16).fill('signed up')])
})
