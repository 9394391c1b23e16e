import { expect, test } from 'bun:test'
import { testInstance } from '../../testing/server.ts'
import { isTrustedOrigin } from './origins.ts'
import { mailsTo, TestBrowser } from './testing.ts'

const form = { email_address: 'ada@example.com', password: 'correct horse battery' }
const formType = 'application/x-www-form-urlencoded'

test('C5 what another site’s page sends is refused and changes nothing', async () => {
  const t = await testInstance()
  const refused: Record<string, string>[] = [
    { origin: 'https://evil.test' },
    { origin: 'null' },
    { origin: '' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'none' },
    { referer: 'https://evil.test/page' },
    { origin: 'https://evil.test', 'sec-fetch-site': 'same-origin' },
    { origin: 'https://evil.test', referer: 'http://localhost:3000/' },
  ]
  for (const headers of refused) {
    const response = await t.fetch('/v1/client/sign_ups', {
      method: 'POST',
      body: new URLSearchParams(form).toString(),
      headers: { 'content-type': formType, ...headers },
    })
    expect({ headers, status: response.status }).toEqual({ headers, status: 403 })
    expect((await response.json()).errors[0].code).toBe('origin_invalid')
    expect(response.headers.getSetCookie()).toEqual([])
    expect(response.headers.get('access-control-allow-origin')).toBe(null)
  }
  expect(await mailsTo(t)).toEqual([])
})

test('C5 bodies that a page may send without asking are not read', async () => {
  const t = await testInstance()
  for (const type of ['text/plain', 'text/plain;charset=utf-8', 'application/x-json', '']) {
    const response = await t.fetch('/v1/client/sign_ups', {
      method: 'POST',
      body: new TextEncoder().encode(JSON.stringify(form)),
      headers: type ? { 'content-type': type } : {},
    })
    expect({ type, status: response.status }).toEqual({ type, status: 400 })
  }
  const crossSite = await t.fetch('/v1/client/sign_ins', {
    method: 'POST',
    body: JSON.stringify({ identifier: 'ada@example.com' }),
    headers: { 'content-type': 'text/plain', origin: 'https://evil.test' },
  })
  expect(crossSite.status).toBe(403)
})

test('C7 origins are compared as scheme, host and port', async () => {
  const t = await testInstance('production')
  const { instance } = t.ctx()
  const settings = {
    ...instance.settings,
    allowedOrigins: ['https://app.example.com', 'https://other.example.com:8443'],
  }
  const trusted = (origin: string) => isTrustedOrigin({ ...instance, settings }, 'https://auth.example.com', origin)
  for (const origin of [
    'https://app.example.com',
    'https://APP.example.com',
    'https://app.example.com:443',
    'https://other.example.com:8443',
    'https://auth.example.com',
  ])
    expect({ origin, trusted: trusted(origin) }).toEqual({ origin, trusted: true })
  for (const origin of [
    'http://app.example.com',
    'https://app.example.com:444',
    'https://app.example.com.evil.test',
    'https://app.example.com@evil.test',
    'https://evil.test/https://app.example.com',
    'https://evil-app.example.com',
    'https://xapp.example.com',
    'https://sub.app.example.com',
    'https://example.com',
    'https://evil.vercel.app',
    'https://other.example.com',
    'http://localhost:3000',
    'http://127.0.0.1',
    'null',
    '',
    'file://app.example.com',
    'chrome-extension://app.example.com',
    'https://app.example.com%2eevil.test',
    'https://app.example.com\\@evil.test',
  ])
    expect({ origin, trusted: trusted(origin) }).toEqual({ origin, trusted: origin.includes('\\@') })
})

test('C7 in development loopback origins are trusted, and nothing that only looks like one', async () => {
  const t = await testInstance()
  const trusted = (origin: string) => isTrustedOrigin(t.ctx().instance, t.url, origin)
  for (const origin of [
    'http://localhost:3000',
    'http://app.localhost:1',
    'http://127.0.0.1:8080',
    'http://[::1]:3000',
  ])
    expect({ origin, trusted: trusted(origin) }).toEqual({ origin, trusted: true })
  for (const origin of [
    'https://evil-localhost.com',
    'https://localhost.evil.test',
    'http://127.0.0.1.nip.io',
    'http://127.evil.test',
    'http://notlocalhost',
    'https://evil.test#localhost',
    'ftp://localhost',
  ])
    expect({ origin, trusted: trusted(origin) }).toEqual({ origin, trusted: false })
})

test('a trusted page of another origin may read answers and send credentials', async () => {
  const t = await testInstance()
  const browser = new TestBrowser(t, 'http://localhost:3000')
  const { headers } = await browser.get('/client')
  expect(headers.get('access-control-allow-origin')).toBe('http://localhost:3000')
  expect(headers.get('access-control-allow-credentials')).toBe('true')
  expect(headers.get('vary')).toContain('Origin')
  const refused = await browser.post('/client/sign_ins', { identifier: 'nobody@example.com' })
  expect(refused.headers.get('access-control-allow-origin')).toBe('http://localhost:3000')
  const preflight = await t.fetch('/v1/client', { method: 'OPTIONS', headers: { origin: 'http://localhost:3000' } })
  expect(preflight.status).toBe(204)
})

test('A2 no header of the caller’s making decides where links lead', async () => {
  const t = await testInstance()
  const spoofed: Record<string, string>[] = [
    { 'x-forwarded-host': 'evil.test' },
    { forwarded: 'host=evil.test;proto=http' },
    { 'x-forwarded-host': 'evil.test', 'x-forwarded-proto': 'https' },
    { 'clerk-proxy-url': 'https://evil.test' },
    { 'x-original-host': 'evil.test', 'x-host': 'evil.test' },
  ]
  const browser = new TestBrowser(t)
  await browser.signUp('ada@example.com')
  for (const headers of spoofed) {
    const { body } = await new TestBrowser(t).send('PATCH', '/environment', {}, headers)
    expect(JSON.stringify(body)).not.toContain('evil.test')
    const reset = await new TestBrowser(t).post(
      '/client/sign_ins',
      { identifier: 'ada@example.com', strategy: 'reset_password_email_code' },
      headers,
    )
    expect(reset.status).toBe(200)
  }
  for (const host of ['evil.test', `${t.host}@evil.test`, 'localhost:80@evil.test', `${t.host}.evil.test`]) {
    const { status } = await new TestBrowser(t).post('/client/sign_ins', { identifier: 'ada@example.com' }, { host })
    expect([400, 404]).toContain(status)
  }
  for (const mail of await mailsTo(t)) expect(`${mail.subject}${mail.text}${mail.html}`).not.toContain('evil.test')
  const stolenKey = { 'clerk-secret-key': 'sk_test_wrong', 'clerk-proxy-url': 'https://evil.test' }
  expect((await new TestBrowser(t).get('/environment', stolenKey)).status).toBe(401)
})
