import { expect, test } from 'bun:test'
import { createClerkClient } from '@clerk/backend'
import { startUsher } from '../support/usher.ts'

test('a signed-in browser without a session cookie gets it through the handshake; its nonce works once', async () => {
  await using usher = await startUsher()
  const { url, publishable_key: publishableKey, secret_key: secretKey } = usher.ready
  const clerk = createClerkClient({ secretKey, publishableKey, apiUrl: url })
  const user = await clerk.users.createUser({ emailAddress: ['ada@example.com'], skipPasswordRequirement: true })
  const { token } = await clerk.signInTokens.createSignInToken({ userId: user.id, expiresInSeconds: 60 })

  const origin = 'http://localhost:3000'
  const signedIn = await fetch(`${url}/v1/client/sign_ins`, {
    method: 'POST',
    headers: { origin },
    body: new URLSearchParams({ strategy: 'ticket', ticket: token }),
  })
  expect(signedIn.status).toBe(200)
  // On one host the browser is known by its client cookie; the dev browser is there for the SDK alone.
  const cookie = signedIn.headers
    .getSetCookie()
    .map((c) => c.split(';')[0])
    .join('; ')

  const page = (address: string, cookie: string) =>
    clerk.authenticateRequest(
      new Request(address, { headers: { accept: 'text/html', 'sec-fetch-dest': 'document', cookie } }),
      { proxyUrl: url },
    )
  const uat = Math.floor(Date.now() / 1000) - 1
  const first = await page(`${origin}/`, `__clerk_db_jwt=dvb_known; __client_uat=${uat}`)
  expect(first.status).toBe('handshake')
  const bounced = await fetch(first.headers.get('location') as string, { redirect: 'manual', headers: { cookie } })
  const back = bounced.headers.get('location') as string
  const nonce = new URL(back).searchParams.get('__clerk_handshake_nonce') as string
  const resolved = await page(back, `__clerk_db_jwt=dvb_known; __client_uat=${uat}`)
  const cookies = resolved.headers.getSetCookie().map((cookie) => cookie.split(';')[0])
  expect(cookies.some((cookie) => cookie?.startsWith('__session=ey'))).toBe(true)
  const settled = await page(`${origin}/`, cookies.filter((cookie) => !cookie?.endsWith('=')).join('; '))
  expect(settled.status).toBe('signed-in')
  expect(settled.toAuth()).toMatchObject({ userId: user.id })

  const again = await fetch(`${url}/v1/clients/handshake_payload?nonce=${nonce}`, {
    headers: { authorization: `Bearer ${secretKey}` },
  })
  expect(again.status).toBeGreaterThanOrEqual(400)
  expect(again.status).toBeLessThan(500)
}, 60_000)
