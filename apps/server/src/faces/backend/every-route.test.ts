import { expect, test } from 'bun:test'
import { testInstance } from '../../testing/server.ts'
import { TestBrowser } from '../frontend/testing.ts'

test('what several users, invitations and templates are called by answers in the shapes that the SDK reads', async () => {
  const t = await testInstance()
  const call = async (method: string, path: string, body?: unknown) => {
    const response = await t.fetch(`/v1${path}`, {
      method,
      secretKey: true,
      ...(body !== undefined && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    })
    expect([method, path, response.status]).toEqual([method, path, 200])
    return response.json()
  }
  const [ada, bob] = (await Promise.all(
    ['ada', 'bob'].map((name) =>
      call('POST', '/users', { email_address: [`${name}@example.com`], skip_password_requirement: true }),
    ),
  )) as [{ id: string }, { id: string }]

  const banned = await call('POST', '/users/ban', { user_ids: [ada.id, bob.id] })
  expect(banned).toMatchObject([{ object: 'user', banned: true }, { banned: true }])
  expect(await call('POST', '/users/unban', { user_ids: [bob.id] })).toMatchObject([{ id: bob.id, banned: false }])

  const permissions = (await call('GET', '/organization_permissions')) as { data: unknown[]; total_count: number }
  expect(permissions.total_count).toBeGreaterThanOrEqual(permissions.data.length)
  expect(permissions.data[0]).toMatchObject({ object: 'permission', type: 'system' })
  const { id } = (await call('POST', '/organizations', { name: 'Frontiers', created_by: bob.id })) as { id: string }
  const invite = (name: string) => ({
    email_address: `${name}@example.com`,
    role: 'org:member',
    inviter_user_id: bob.id,
  })
  const invited = await call('POST', `/organizations/${id}/invitations/bulk`, [invite('carol'), invite('dan')])
  expect(invited).toMatchObject({ data: [{ object: 'organization_invitation' }, {}], total_count: 2 })
})

test('a token by a template, and the cookie renewed on the way to a page', async () => {
  const t = await testInstance()
  const made = await t.fetch('/v1/jwt_templates', {
    method: 'POST',
    secretKey: true,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'tinybird', claims: { who: '{{user.id}}' } }),
  })
  expect(made.status).toBe(200)
  const browser = new TestBrowser(t)
  const { sessionId, userId } = await browser.signUp('ada@example.com')
  const { status, body } = await browser.post(`/client/sessions/${sessionId}/tokens/tinybird`)
  expect(status).toBe(200)
  expect(JSON.parse(Buffer.from(body.jwt.split('.')[1], 'base64url').toString())).toMatchObject({ who: userId })
  const touched = await browser.get(`/client/touch?redirect_url=${encodeURIComponent('http://localhost:3000/home')}`)
  expect([302, 303, 307]).toContain(touched.status)
  expect(touched.headers.get('location')).toStartWith('http://localhost:3000/home')
})
