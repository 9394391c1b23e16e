import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import { importTotp } from '../../domains/credentials/index.ts'
import { createOrganization } from '../../domains/organizations/index.ts'
import { testInstance } from '../../testing/server.ts'
import { TestBrowser } from './testing.ts'

async function signedIn(settings: Record<string, unknown>) {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, settings)
  const browser = new TestBrowser(t)
  const { userId, sessionId } = await browser.signUp('ada@example.com')
  const call = async (method: string, path: string, form?: Record<string, string>) =>
    (await browser.send(method, `${path}?_clerk_session_id=${sessionId}`, form)).status
  return { t, userId, call }
}

test('a session with a second factor to set up opens its own account, and neither organizations nor documents', async () => {
  const { t, userId, call } = await signedIn({ secondFactors: { totp: true, required: true } })
  const { id } = await createOrganization(t.ctx(), { name: 'Acme', createdBy: userId })
  const document = { doc_id: `${userId}/notes` }
  for (const [method, path, form] of [
    ['POST', '/sync/token', document],
    ['GET', `/organizations/${id}`],
    ['PATCH', `/organizations/${id}`, { name: 'Mine' }],
    ['GET', `/organizations/${id}/memberships`],
    ['POST', '/organizations', { name: 'Other' }],
    ['DELETE', `/organizations/${id}`],
    ['DELETE', `/me/organization_memberships/${id}`],
    ['POST', '/me/organization_invitations/orginv_1/accept'],
    ['POST', '/me/organization_suggestions/orgsug_1/accept'],
  ] as [string, string, Record<string, string>?][])
    expect([method, path, await call(method, path, form)]).toEqual([method, path, 403])
  expect(await call('GET', '/me')).toBe(200)
  expect(await call('GET', '/me/organization_memberships')).toBe(200)
  expect(await call('POST', '/me/totp')).toBe(200)
  await transaction(t.ctx(), (tx) => importTotp(tx, { userId, secret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP' }))
  expect(await call('GET', `/organizations/${id}`)).toBe(200)
  expect(await call('POST', '/sync/token', document)).toBe(200)
})

test('a session with an organization to choose makes one, and opens no document before', async () => {
  const { userId, call } = await signedIn({ organizations: { forceSelection: true } })
  expect(await call('POST', '/sync/token', { doc_id: `${userId}/notes` })).toBe(403)
  // One that there is not, and which may be asked for.
  expect(await call('POST', '/me/organization_invitations/orginv_1/accept')).toBe(404)
  expect(await call('POST', '/organizations', { name: 'Acme' })).toBe(200)
})
