import { expect, test } from 'bun:test'
import { testInstance } from '../../testing/server.ts'
import { claimsOf, mailedCode, TestBrowser } from './testing.ts'

test('a person signs up with an emailed code and gets a session token', async () => {
  const t = await testInstance()
  const browser = new TestBrowser(t)
  const environment = await browser.send('PATCH', '/environment')
  expect(environment.status).toBe(200)
  expect(environment.body.user_settings.attributes.email_address.enabled).toBe(true)
  expect((await browser.get('/client')).body).toEqual({ response: null, client: null })

  const begun = await browser.post('/client/sign_ups', { email_address: 'Ada@Example.com', password: 'correct horse' })
  expect(begun.body.response).toMatchObject({
    status: 'missing_requirements',
    unverified_fields: ['email_address'],
    missing_fields: [],
    verifications: { email_address: { next_action: 'needs_prepare' } },
    legal_accepted_at: null,
  })
  const { id } = begun.body.response
  expect(begun.body.client.sign_up.id).toBe(id)
  const prepared = await browser.post(`/client/sign_ups/${id}/prepare_verification`, { strategy: 'email_code' })
  expect(prepared.body.response.verifications.email_address.next_action).toBe('needs_attempt')
  const code = await mailedCode(t, 'ada@example.com')
  const done = await browser.post(`/client/sign_ups/${id}/attempt_verification`, { strategy: 'email_code', code })
  expect(done.body.response.status).toBe('complete')
  const { client } = done.body
  expect(client).toMatchObject({ sign_up: null, last_active_session_id: done.body.response.created_session_id })
  const [session] = client.sessions
  expect(session).toMatchObject({ status: 'active', user: { id: done.body.response.created_user_id } })

  const minted = await browser.post(`/client/sessions/${session.id}/tokens`, { organization_id: '' })
  expect(Object.keys(minted.body)).toEqual(['object', 'jwt'])
  const claims = claimsOf(minted.body.jwt)
  expect(claims).toMatchObject({
    iss: `https://${t.host}`,
    sub: session.user.id,
    sid: session.id,
    azp: 'http://localhost:3000',
    sts: 'active',
    v: 2,
    fva: [0, -1],
  })
  expect(claims.exp - claims.iat).toBe(60)
  expect(claims.iat).toBeGreaterThanOrEqual(Math.floor(client.updated_at / 1000))
  expect(minted.body.jwt).not.toBe(session.last_active_token.jwt)
})
