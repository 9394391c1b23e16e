import { expect, test } from 'bun:test'
import { createOrganization } from '../../domains/organizations/index.ts'
import { takeHandshakeDirectives } from '../../domains/sessions/index.ts'
import { testInstance } from '../../testing/server.ts'
import { claimsOf, TestBrowser } from './testing.ts'

const page = 'http://localhost:3000/dashboard?tab=1'
const query = (format?: string) =>
  `/client/handshake?redirect_url=${encodeURIComponent(page)}&suffixed_cookies=true${format ? `&format=${format}` : ''}`

/** Cookies that directives set; an empty value is one that they clear. */
function cookiesOf(directives: string[]): Record<string, string> {
  return Object.fromEntries(directives.map((d) => (d.split(';')[0] as string).split(/=(.*)/s).slice(0, 2)))
}

test('hands the cookies of a signed-in client over by a nonce, once', async () => {
  const t = await testInstance()
  const browser = new TestBrowser(t, null)
  const { userId } = await browser.signUp('ada@example.com')
  const { status, headers } = await browser.get(query('nonce'))
  expect(status).toBe(307)
  expect(headers.get('cache-control')).toBe('no-store')
  const target = new URL(headers.get('location') ?? '')
  expect(target.searchParams.get('tab')).toBe('1')
  const nonce = target.searchParams.get('__clerk_handshake_nonce')
  const directives = await takeHandshakeDirectives(t.ctx(), nonce)
  const suffix = t.ctx().instance.cookieSuffix
  const cookies = cookiesOf(directives)
  const claims = claimsOf(cookies.__session as string)
  expect(claims).toMatchObject({ sub: userId, azp: 'http://localhost:3000', iss: `https://${t.host}` })
  expect(cookies[`__session_${suffix}`]).toBe(cookies.__session as string)
  expect(Number(cookies.__client_uat)).toBeGreaterThan(0)
  expect(Number(cookies.__client_uat)).toBeLessThanOrEqual(claims.iat)
  expect(cookies[`__client_uat_${suffix}`]).toBe(cookies.__client_uat as string)
  // The server SDK insists on a dev browser for development keys; the browser's own scripts must be able to read it.
  expect(cookies.__clerk_db_jwt).toMatch(/^dvb_/)
  expect(directives.find((d) => d.startsWith('__clerk_db_jwt='))).not.toContain('HttpOnly')
  expect(directives.at(-1)).toStartWith('__session')
  await expect(takeHandshakeDirectives(t.ctx(), nonce)).rejects.toMatchObject({ code: 'token_used' })
})

test('tells a signed-out browser so, and keeps the dev browser that is there', async () => {
  const t = await testInstance()
  const { headers } = await new TestBrowser(t, null).get(`${query('nonce')}&__clerk_db_jwt=dvb_known`)
  const nonce = new URL(headers.get('location') ?? '').searchParams.get('__clerk_handshake_nonce')
  const cookies = cookiesOf(await takeHandshakeDirectives(t.ctx(), nonce))
  expect(cookies).toMatchObject({ __session: '', __client_uat: '0', __clerk_db_jwt: 'dvb_known' })
})

test('a signed handshake carries the same directives', async () => {
  const t = await testInstance()
  const { headers } = await new TestBrowser(t, null).get(query())
  const token = new URL(headers.get('location') ?? '').searchParams.get('__clerk_handshake') ?? ''
  expect(cookiesOf(claimsOf(token).handshake)).toMatchObject({ __session: '', __client_uat: '0' })
})

test('applies the organization that the page asks for when the person is a member', async () => {
  const t = await testInstance()
  const browser = new TestBrowser(t, null)
  const { userId } = await browser.signUp('ada@example.com')
  const mine = await createOrganization(t.ctx(), { name: 'Frontiers', createdBy: userId })
  const foreign = await createOrganization(t.ctx(), { name: 'Elsewhere' })
  const organizationFor = async (wanted: string) => {
    const { headers } = await browser.get(`${query('nonce')}&organization_id=${wanted}`)
    const nonce = new URL(headers.get('location') ?? '').searchParams.get('__clerk_handshake_nonce')
    return claimsOf(cookiesOf(await takeHandshakeDirectives(t.ctx(), nonce)).__session as string).o?.id
  }
  expect(await organizationFor(mine.slug)).toBe(mine.id)
  expect(await organizationFor(foreign.id)).toBe(mine.id)
  expect(await organizationFor('')).toBeUndefined()
})

test('in production it redirects to the application alone and carries the value in a cookie', async () => {
  const t = await testInstance('production')
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { allowedOrigins: ['https://app.example.com'] })
  const browser = new TestBrowser(t, null)
  const to = (url: string) => browser.get(`/client/handshake?format=nonce&redirect_url=${encodeURIComponent(url)}`)
  for (const url of [
    'https://evil.test/',
    'https://app.example.com@evil.test/',
    'javascript:alert(1)',
    '',
    '//evil.test',
  ])
    expect({ url, status: (await to(url)).status }).toEqual({ url, status: 400 })
  const { status, headers } = await to('https://app.example.com/dashboard')
  expect(status).toBe(307)
  expect(headers.get('location')).toBe('https://app.example.com/dashboard')
  expect(headers.getSetCookie().join()).toMatch(/__clerk_handshake_nonce=[\w-]{40,}; .*Domain=example.com/)
})

test('in production the cookie of a handshake is cleared where it was set, also behind the application’s proxy', async () => {
  const t = await testInstance('production')
  const app = 'https://app.example.com'
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { allowedOrigins: [app] })
  const browser = new TestBrowser(t, null)
  const proxy = { 'clerk-proxy-url': `${app}/__clerk`, 'clerk-secret-key': t.secretKey }
  for (const [through, domain] of [
    [{}, 'example.com'],
    [proxy, undefined],
  ] as const) {
    const url = `/client/handshake?format=nonce&redirect_url=${encodeURIComponent(`${app}/orgs/acme`)}`
    const { status, headers } = await browser.get(url, through)
    expect(status).toBe(307)
    const made = headers.getSetCookie().find((cookie) => cookie.startsWith('__clerk_handshake_nonce=')) ?? ''
    const nonce = made.match(/=([^;]+)/)?.[1]
    const directives = await takeHandshakeDirectives(t.ctx(), nonce)
    const cleared = directives.find((d) => d.startsWith('__clerk_handshake_nonce=;')) ?? ''
    expect([made, cleared].map((cookie) => cookie.match(/Domain=([^;]+)/)?.[1])).toEqual([domain, domain])
    expect(cleared).toContain('Max-Age=0')
  }
})
