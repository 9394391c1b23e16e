import { expect, setDefaultTimeout, test } from 'bun:test'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { TestBrowser } from './testing.ts'

const appPage = 'acme://sso-callback'

// On a busy machine.
setDefaultTimeout(30_000)

// biome-ignore lint/suspicious/noExplicitAny: what came over the wire, for assertions
type Json = any

async function withGoogle() {
  const t = await testInstance()
  const { id } = t.ctx().instance
  await t.server.runtime.instances.changeSettings(id, { rateLimits: { attemptsPerMinute: 100_000 } })
  await t.server.runtime.instances.setConnection(id, { provider: 'google' })
  return t
}

/** An app outside the browser, which shows its client in a header. */
class TestApp {
  token = ''
  readonly t: TestInstance

  constructor(t: TestInstance) {
    this.t = t
  }

  async call(method: 'GET' | 'POST', path: string, form: Record<string, string> = {}) {
    const url = `/v1${path}${path.includes('?') ? '&' : '?'}_is_native=1`
    const answer = await this.t.fetch(url, {
      method,
      headers: {
        ...(this.token && { authorization: this.token }),
        ...(method === 'POST' && { 'content-type': 'application/x-www-form-urlencoded' }),
      },
      ...(method === 'POST' && { body: new URLSearchParams(form).toString() }),
    })
    this.token = answer.headers.get('authorization') ?? this.token
    return { status: answer.status, body: (await answer.json()) as Json }
  }

  begin(what: 'sign_ins' | 'sign_ups', redirect = appPage) {
    return this.call('POST', `/client/${what}`, { strategy: 'oauth_google', redirect_url: redirect })
  }
}

const providerUrl = (body: Json): string =>
  (
    body.response.first_factor_verification ??
    body.response.verifications?.external_account ??
    body.response.verification
  ).external_verification_redirect_url

/** What the system's browser does between the app's link and the address that leads back into the app. */
async function visit(t: TestInstance, url: string, email = 'ada@example.com'): Promise<URL> {
  const at = new URL(url)
  const text = await (await t.fetch(`${at.pathname}${at.search}`)).text()
  const hidden = [...text.matchAll(/type="hidden" name="(\w+)" value="([^"]*)"/g)].map(([, n = '', v = '']) => [n, v])
  const form = new URLSearchParams([...hidden, ['email', email], ['first_name', 'Ada'], ['verified', 'on']])
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  const sent = await t.fetch(at.pathname, { method: 'POST', body: form.toString(), headers })
  const callback = new URL(sent.headers.get('location') ?? '')
  const back = await t.fetch(`${callback.pathname}${callback.search}`)
  expect(back.status).toBe(303)
  return new URL(back.headers.get('location') ?? '')
}

test('an app signs somebody up and in with the nonce that the system’s browser brings back', async () => {
  const t = await withGoogle()
  const app = new TestApp(t)
  const begun = await app.begin('sign_ins')
  const path = `/client/sign_ins/${begun.body.response.id}`
  const back = await visit(t, providerUrl(begun.body))
  expect(`${back.protocol}//${back.host}`).toBe(appPage)
  const nonce = back.searchParams.get('rotating_token_nonce')
  const { body } = await app.call('GET', `${path}?rotating_token_nonce=${nonce}`)
  expect(body.response.first_factor_verification.status).toBe('transferable')
  const made = await app.call('POST', '/client/sign_ups', { transfer: 'true' })
  expect(made.body.response.status).toBe('complete')

  const other = new TestApp(t)
  const again = await other.begin('sign_ins')
  const returned = await visit(t, providerUrl(again.body))
  const before = other.token
  const query = `?rotating_token_nonce=${returned.searchParams.get('rotating_token_nonce')}`
  const done = await other.call('GET', `/client/sign_ins/${again.body.response.id}${query}`)
  expect(done.body.response).toMatchObject({ status: 'complete' })
  expect(done.body.response.created_session_id).toStartWith('sess_')
  expect(done.body.client.sessions[0].user.id).toBe(made.body.response.created_user_id)
  // The client's token changed with the sign-in; asked again, the answer is the same and nothing new happens.
  expect(other.token).not.toBe(before)
  const repeated = await other.call('GET', `/client/sign_ins/${again.body.response.id}${query}`)
  expect(repeated.body.response.created_session_id).toBe(done.body.response.created_session_id)
  expect(repeated.body.client.sessions).toHaveLength(1)
})

test('B13 somebody who has another person go through the provider gets nothing without the nonce', async () => {
  const t = await withGoogle()
  await new TestApp(t).begin('sign_ups')
  const attacker = new TestApp(t)
  const begun = await attacker.begin('sign_ups')
  // The victim follows the attacker's link, and their browser has the nonce.
  const back = await visit(t, providerUrl(begun.body))
  const nonce = back.searchParams.get('rotating_token_nonce')
  const path = `/client/sign_ups/${begun.body.response.id}`
  for (const query of ['', '?rotating_token_nonce=guess', `?rotating_token_nonce=${nonce?.slice(1)}`]) {
    const { body } = await attacker.call('GET', `${path}${query}`)
    expect(body.response.verifications.external_account.status).toBe('unverified')
    expect(body.response.email_address).toBe(null)
  }
  expect((await attacker.call('GET', '/client')).body.response.sessions).toEqual([])
  // Nor is a nonce good in another app, for another attempt, or as a way to link.
  const other = new TestApp(t)
  const mine = await other.begin('sign_ups')
  for (const at of [`/client/sign_ups/${mine.body.response.id}`, path])
    await other.call('GET', `${at}?rotating_token_nonce=${nonce}`)
  expect((await other.call('GET', '/client')).body.response.sessions).toEqual([])
  // It was not spent by any of that.
  const { body } = await attacker.call('GET', `${path}?rotating_token_nonce=${nonce}`)
  expect(body.response.status).toBe('complete')
})

test('an app connects an account when it asks for the person with the nonce', async () => {
  const t = await withGoogle()
  const app = new TestApp(t)
  const begun = await app.begin('sign_ups')
  const back = await visit(t, providerUrl(begun.body))
  const nonce = back.searchParams.get('rotating_token_nonce')
  await app.call('GET', `/client/sign_ups/${begun.body.response.id}?rotating_token_nonce=${nonce}`)
  await t.server.runtime.instances.setConnection(t.ctx().instance.id, { provider: 'github' })
  const linking = await app.call('POST', '/me/external_accounts', { strategy: 'oauth_github', redirect_url: appPage })
  const returned = await visit(t, providerUrl(linking.body), 'other@example.com')
  const standing = (body: Json) =>
    body.response.external_accounts.find((a: Json) => a.provider === 'oauth_github').verification
  expect(standing((await app.call('GET', '/me')).body)).toMatchObject({ status: 'unverified' })
  const linked = await app.call('GET', `/me?rotating_token_nonce=${returned.searchParams.get('rotating_token_nonce')}`)
  expect(standing(linked.body)).toMatchObject({ status: 'verified', error: null })
})

test('O1 an app’s address is no script, and in production is one that was listed', async () => {
  const t = await withGoogle()
  const bad = [
    'javascript:alert(1)',
    'JavaScript://x/%0aalert(1)',
    'data:text/html,x',
    'vbscript:x',
    'file:///etc/passwd',
    'blob:x',
    'about:blank',
    'not an address',
    '//evil.example',
    '/relative',
    '',
  ]
  for (const redirect of bad) {
    const { body } = await new TestApp(t).begin('sign_ins', redirect)
    expect(`${redirect} ${body.errors?.[0].code.replace(/_(missing|value_invalid)$/, '')}`).toBe(
      `${redirect} form_param`,
    )
  }
  // A browser's page is sent to no app.
  const web = await new TestBrowser(t).post('/client/sign_ins', { strategy: 'oauth_google', redirect_url: appPage })
  expect(web.body.errors[0].code).toBe('form_param_value_invalid')

  const p = await testInstance('production')
  const google = { provider: 'google', clientId: 'id', clientSecret: 'secret' }
  await p.server.runtime.instances.setConnection(p.ctx().instance.id, google)
  expect((await new TestApp(p).begin('sign_ins')).body.errors[0].code).toBe('form_param_value_invalid')
  const body = JSON.stringify({ url: appPage })
  expect((await p.fetch('/v1/redirect_urls', { method: 'POST', secretKey: true, body })).status).toBe(200)
  expect((await new TestApp(p).begin('sign_ins')).status).toBe(200)
})

test('O1 where a round trip leads back to is an origin of the application, read as browsers read it', async () => {
  const t = await testInstance('production')
  const google = { provider: 'google', clientId: 'id', clientSecret: 'secret' }
  await t.server.runtime.instances.setConnection(t.ctx().instance.id, google)
  const own = `http://${t.host}`
  const browser = new TestBrowser(t, own)
  const evil = [
    'https://evil.example/',
    '//evil.example',
    '\\\\evil.example',
    'https:evil.example',
    '/\\evil.example',
    '\t//evil.example',
    `${own}@evil.example/`,
    `${own}.evil.example/`,
    `http://evil.example#${own}`,
    `http://evil.example\\@${t.host}/`,
    'javascript:alert(1)',
    'java\tscript:alert(1)',
    'data:text/html,x',
    `https://evil.example?${own}`,
    'http://user:pw@localhost/',
    'https://evil。example/',
    'http://[::1',
    'null',
  ]
  for (const redirect_url of evil)
    for (const form of [
      { redirect_url } as Record<string, string>,
      { redirect_url: `${own}/`, action_complete_redirect_url: redirect_url },
    ]) {
      const { body } = await browser.post('/client/sign_ins', { strategy: 'oauth_google', ...form })
      expect(`${redirect_url} ${body.errors?.[0].code}`).toBe(`${redirect_url} form_param_value_invalid`)
    }
  const good = { strategy: 'oauth_google', redirect_url: `${own}/sso?x=${encodeURIComponent('https://evil.example')}` }
  expect((await browser.post('/client/sign_ins', good)).status).toBe(200)
})

test('a dev browser’s value is a new one after the provider: whoever began with the old one gets nothing', async () => {
  const t = await testInstance()
  const { instances } = t.server.runtime
  const name = `d${Bun.randomUUIDv7().slice(-10)}`
  const made = await instances.create({ name, environment: 'development', host: `${name}.usher-accounts.dev` })
  await instances.setConnection(made.id, { provider: 'google' })
  const fetch = (path: string, init: RequestInit = {}) => {
    const headers = new Headers(init.headers)
    headers.set('host', `${name}.usher-accounts.dev`)
    return t.fetch(path, { ...init, headers })
  }
  const dev = { ...t, fetch } as TestInstance
  const attacker = new TestBrowser(dev)
  attacker.devBrowser = (await attacker.post('/dev_browser')).body.id
  const begun = await attacker.post('/client/sign_ins', {
    strategy: 'oauth_google',
    redirect_url: 'http://localhost:3000/sso',
  })
  const back = await visit(dev, providerUrl(begun.body))
  const old = (await attacker.get('/client')).body.response
  expect(old).toBe(null)
  expect((await attacker.post('/client/sign_ups', { transfer: 'true' })).status).toBeGreaterThanOrEqual(400)
  const victim = new TestBrowser(dev)
  victim.devBrowser = back.searchParams.get('__clerk_db_jwt') ?? ''
  const { response } = (await victim.get('/client')).body
  expect(response.sign_in.first_factor_verification.status).toBe('transferable')
})
