import { afterEach, expect, setSystemTime, test } from 'bun:test'
import { createClerkClient } from '@clerk/backend'
import { startUsher } from '../support/usher.ts'

afterEach(() => {
  setSystemTime()
})

test('an application’s server renews an expired session by itself, each refresh cookie once', async () => {
  await using usher = await startUsher()
  const { url, publishable_key: publishableKey, secret_key: secretKey } = usher.ready
  const clerk = createClerkClient({ secretKey, publishableKey, apiUrl: url })
  const user = await clerk.users.createUser({ emailAddress: ['ada@example.com'], skipPasswordRequirement: true })
  const { token: ticket } = await clerk.signInTokens.createSignInToken({ userId: user.id, expiresInSeconds: 60 })

  const origin = 'http://localhost:3000'
  const signedIn = await fetch(`${url}/v1/client/sign_ins`, {
    method: 'POST',
    headers: { origin },
    body: new URLSearchParams({ strategy: 'ticket', ticket }),
  })
  const client = signedIn.headers
    .getSetCookie()
    .map((cookie) => cookie.split(';')[0])
    .join('; ')
  const sessionId = (await signedIn.json()).response.created_session_id

  const ask = (cookies: Map<string, string>, address = `${origin}/`, init: RequestInit = {}) =>
    clerk.authenticateRequest(
      new Request(address, {
        ...init,
        headers: {
          accept: 'text/html',
          'sec-fetch-dest': 'document',
          cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; '),
        },
      }),
      { proxyUrl: url },
    )
  const keep = (cookies: Map<string, string>, headers: Headers) => {
    for (const cookie of headers.getSetCookie()) {
      const [pair = ''] = cookie.split(';')
      const [name = '', value = ''] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]
      if (value) cookies.set(name, value)
    }
  }
  const cookies = new Map([
    ['__clerk_db_jwt', 'dvb_known'],
    ['__client_uat', String(Math.floor(Date.now() / 1000) - 1)],
  ])
  const bounce = (await ask(cookies)).headers.get('location') as string
  const handshake = await fetch(bounce, { redirect: 'manual', headers: { cookie: client } })
  const resolved = await ask(cookies, handshake.headers.get('location') as string)
  keep(cookies, resolved.headers)
  const refreshName = [...cookies.keys()].find((name) => name.startsWith('__refresh_')) as string
  const set = resolved.headers.getSetCookie().find((cookie) => cookie.startsWith(refreshName))
  expect(set).toContain('HttpOnly')

  // A token that runs out earlier than those that follow, and a clock that has passed it.
  const { jwt } = await clerk.sessions.getToken(sessionId, undefined, 30)
  const name = [...cookies.keys()].find((n) => n.startsWith('__session_')) as string
  const expire = () => {
    for (const session of ['__session', name]) cookies.set(session, jwt)
  }
  expire()
  setSystemTime(Date.now() + 40_000)
  const before = cookies.get(refreshName) as string
  const refreshed = await ask(cookies)
  expect(refreshed.status).toBe('signed-in')
  expect(refreshed.toAuth()).toMatchObject({ userId: user.id, sessionId })
  keep(cookies, refreshed.headers)
  expect(cookies.get(name)).not.toBe(jwt)
  expect(cookies.get(refreshName)).not.toBe(before)

  // A request under way at the same time still carries the value from before.
  const parallel = new Map(cookies).set('__session', jwt).set(name, jwt).set(refreshName, before)
  expect((await ask(parallel)).status).toBe('signed-in')

  const refusals: [string, Partial<Parameters<typeof clerk.sessions.refreshSession>[1]>][] = [
    ['refresh_token_invalid', { refresh_token: 'nothing' }],
    ['authentication_invalid', { expired_token: 'not.a.token' }],
  ]
  for (const [code, change] of refusals)
    await expect(
      clerk.sessions.refreshSession(sessionId, {
        format: 'cookie',
        expired_token: jwt,
        refresh_token: cookies.get(refreshName) as string,
        request_origin: origin,
        ...change,
      }),
    ).rejects.toMatchObject({ status: 401, errors: [{ code }] })

  // Once the session is revoked there is nothing left to renew: the browser has to come by itself.
  await clerk.sessions.revokeSession(sessionId)
  expire()
  const over = await ask(cookies)
  expect(over.status).toBe('handshake')
  expect(over.headers.get('location')).toContain('session-token-expired-refresh-signed_out')
}, 60_000)
