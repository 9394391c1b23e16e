import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type ClerkClient, createClerkClient } from '@clerk/backend'
import { clerkMiddleware, getAuth, requireAuth } from '@clerk/express'
import express from 'express'
import { startUsher, type UsherProcess } from '../support/usher.ts'

/** An application on the unmodified Express SDK, which knows Usher by its configuration alone. */
let usher: UsherProcess
let clerk: ClerkClient
let application: Server
let url: string

beforeAll(async () => {
  usher = await startUsher()
  const { url: apiUrl, publishable_key: publishableKey, secret_key: secretKey } = usher.ready
  clerk = createClerkClient({ secretKey, publishableKey, apiUrl, telemetry: { disabled: true } })
  const app = express()
  app.use(clerkMiddleware({ clerkClient: clerk, publishableKey, secretKey, apiUrl, proxyUrl: apiUrl }))
  app.get('/open', (_, response) => {
    response.json({ open: true })
  })
  app.get('/me', (request, response) => {
    const { isAuthenticated, userId, sessionId, orgId, has } = getAuth(request)
    if (!isAuthenticated) return void response.status(401).json({ code: 'signed_out' })
    response.json({ userId, sessionId, orgId, admin: has({ role: 'org:admin' }) })
  })
  app.get('/page', requireAuth({ signInUrl: `${apiUrl}/demo` }), (request, response) => {
    response.json({ userId: getAuth(request).userId })
  })
  application = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => application.once('listening', resolve))
  url = `http://127.0.0.1:${(application.address() as AddressInfo).port}`
}, 60_000)
afterAll(async () => {
  application?.close()
  await usher?.stop()
})

const call = (path: string, headers: Record<string, string> = {}) => fetch(url + path, { redirect: 'manual', headers })
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

async function signedIn(name: string) {
  const user = await clerk.users.createUser({ emailAddress: [`${name}@example.com`], skipPasswordRequirement: true })
  const session = await clerk.sessions.createSession({ userId: user.id })
  return { user, session, token: async () => (await clerk.sessions.getToken(session.id)).jwt }
}

test('a protected route tells people from strangers, an open one does not ask', async () => {
  const ada = await signedIn('ada')
  expect((await call('/open')).status).toBe(200)
  expect((await call('/me')).status).toBe(401)
  const told = await call('/me', bearer(await ada.token()))
  expect(told.status).toBe(200)
  expect(await told.json()).toMatchObject({ userId: ada.user.id, sessionId: ada.session.id, admin: false })
})

test('a token that was altered, of another server or no token at all opens nothing', async () => {
  const token = await (await signedIn('bob')).token()
  const [head, body, signature] = token.split('.')
  const claims = JSON.parse(Buffer.from(body ?? '', 'base64url').toString())
  const asAdmin = Buffer.from(JSON.stringify({ ...claims, sub: 'user_other' })).toString('base64url')
  const unsigned = Buffer.from(JSON.stringify({ alg: 'none', typ: 'JWT' })).toString('base64url')
  for (const bad of [`${head}.${asAdmin}.${signature}`, `${unsigned}.${body}.`, `${head}.${body}.`, 'x.y.z', 'none'])
    expect({ bad, status: (await call('/me', bearer(bad))).status }).toEqual({ bad, status: 401 })
})

test('a page sends strangers to sign in, and a browser that may be signed in to the handshake', async () => {
  const stranger = await call('/page', { accept: 'application/json' })
  expect(stranger.status).toBe(302)
  expect(stranger.headers.get('location')).toStartWith(`${usher.ready.url}/demo`)
  const browser = await call('/page', { accept: 'text/html', 'sec-fetch-dest': 'document' })
  expect(browser.status).toBe(307)
  expect(browser.headers.get('location')).toContain('/v1/client/handshake?')
  const cy = await signedIn('cy')
  expect(await (await call('/page', bearer(await cy.token()))).json()).toEqual({ userId: cy.user.id })
})

test('the active organization and its role arrive with the token', async () => {
  const dee = await signedIn('dee')
  const organization = await clerk.organizations.createOrganization({ name: 'Frontiers', createdBy: dee.user.id })
  const { token: ticket } = await clerk.signInTokens.createSignInToken({ userId: dee.user.id, expiresInSeconds: 60 })
  const signIn = await fetch(`${usher.ready.url}/v1/client/sign_ins`, {
    method: 'POST',
    headers: { origin: 'http://localhost:3000' },
    body: new URLSearchParams({ strategy: 'ticket', ticket }),
  })
  const cookie = signIn.headers
    .getSetCookie()
    .map((c) => c.split(';')[0])
    .join('; ')
  const sessionId = (await signIn.json()).response.created_session_id
  const touched = await fetch(`${usher.ready.url}/v1/client/sessions/${sessionId}/touch`, {
    method: 'POST',
    headers: { origin: 'http://localhost:3000', cookie },
    body: new URLSearchParams({ active_organization_id: organization.id }),
  })
  const { jwt } = (await touched.json()).response.last_active_token
  expect(await (await call('/me', bearer(jwt))).json()).toMatchObject({ orgId: organization.id, admin: true })
})
