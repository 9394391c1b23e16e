import { expect, test } from 'bun:test'
import { inviteMembers } from '../../domains/organizations/index.ts'
import { testInstance } from '../../testing/server.ts'
import { TestBrowser } from './testing.ts'

test('lists and single things of the browser API answer in the shapes that the SDK reads', async () => {
  const t = await testInstance()
  const [ada, bob] = [new TestBrowser(t), new TestBrowser(t)]
  const { userId, sessionId } = await ada.signUp('ada@example.com')
  const other = await bob.signUp('bob@example.com')
  const at = (path: string, id = sessionId) => `${path}${path.includes('?') ? '&' : '?'}_clerk_session_id=${id}`
  const read = async (path: string) => {
    const { status, body } = await ada.get(at(path))
    expect([path, status]).toEqual([path, 200])
    return body.response
  }
  const write = async (method: string, path: string, form?: Record<string, string | string[]>) => {
    const { status, body } = await ada.send(method, at(path), form)
    expect([method, path, status]).toEqual([method, path, 200])
    return body.response
  }

  expect((await t.fetch('/v1/health')).status).toBe(200)
  expect(await read(`/client/sessions/${sessionId}`)).toMatchObject({ object: 'session', id: sessionId })
  const [address] = await read('/me/email_addresses')
  expect(address).toMatchObject({ object: 'email_address', email_address: 'ada@example.com' })
  expect(await read(`/me/email_addresses/${address.id}`)).toMatchObject({ id: address.id })
  expect(await read('/me/sessions')).toMatchObject([{ object: 'session', id: sessionId }])
  expect(await read('/me/organization_suggestions?paginated=true')).toEqual({ data: [], total_count: 0 })
  expect(await read('/me/organization_creation_defaults')).toMatchObject({ advisory: null })

  const { id } = await write('POST', '/organizations', { name: 'Frontiers' })
  const base = `/organizations/${id}`
  expect(await read('/me/organization_memberships?paginated=true')).toMatchObject({
    data: [{ object: 'organization_membership', role: 'org:admin' }],
    total_count: 1,
  })
  const roles = await read(`${base}/roles`)
  expect(roles.data.map((role: { key: string }) => role.key).sort()).toEqual(['org:admin', 'org:member'])
  for (const list of ['domains', 'membership_requests', 'enterprise_connections'])
    expect((await ada.get(at(`${base}/${list}`))).status).toBe(200)

  const invited = await write('POST', `${base}/invitations/bulk`, {
    email_address: ['carol@example.com', 'dan@example.com'],
    role: 'org:member',
  })
  expect(invited).toMatchObject([{ object: 'organization_invitation', status: 'pending' }, { status: 'pending' }])
  expect(await read(`${base}/invitations?status=pending`)).toMatchObject({ total_count: 2 })
  expect(await write('POST', `${base}/invitations/${invited[0].id}/revoke`)).toMatchObject({ status: 'revoked' })

  const publicUrl = t.url
  await inviteMembers(t.ctx(), [{ organizationId: id, emailAddress: 'bob@example.com', role: 'org:member', publicUrl }])
  const open = await bob.get(at('/me/organization_invitations?status=pending&paginated=true', other.sessionId))
  const accept = `/me/organization_invitations/${open.body.response.data[0].id}/accept`
  expect((await bob.post(at(accept, other.sessionId))).body.response).toMatchObject({ status: 'accepted' })
  expect(await read(`${base}/memberships`)).toMatchObject({ total_count: 2 })
  const promoted = await write('PATCH', `${base}/memberships/${other.userId}`, { role: 'org:admin' })
  expect(promoted).toMatchObject({ role: 'org:admin', public_user_data: { user_id: other.userId } })
  const left = await bob.send('DELETE', at(`/me/organization_memberships/${id}`, other.sessionId))
  expect(left.status).toBe(200)
  expect(await read(`${base}/memberships`)).toMatchObject({
    data: [{ public_user_data: { user_id: userId } }],
    total_count: 1,
  })
}, 60_000)
