import { expect, test } from 'bun:test'
import { createPermission, createRole } from '../../apps/server/src/domains/access/index.ts'
import { createFeature, grantFeature } from '../../apps/server/src/domains/features/index.ts'
import {
  addGroupMember,
  addGroupRole,
  addMemberPermission,
  createGroup,
  removeGroupMember,
  removeGroupRole,
  removeMemberPermission,
} from '../../apps/server/src/domains/organizations/index.ts'
import { frontiers } from '../../apps/server/src/domains/organizations/testing.ts'
import { TestBrowser } from '../../apps/server/src/faces/frontend/testing.ts'
import { type TestInstance, testInstance } from '../../apps/server/src/testing/server.ts'
import { connect, until } from './support.ts'

/** A member with a session in a browser, and a socket on a document that a permission opens. */
async function member(t: TestInstance) {
  const ctx = t.ctx()
  const rule = { pattern: 'org_*/tasks', read: 'org:tasks:read', write: 'org:tasks:read' }
  await t.server.runtime.instances.changeSettings(ctx.instance.id, { sync: { rules: [rule] } })
  const { organization, bob } = await frontiers(t)
  const { id: permissionId } = await createPermission(ctx, { key: 'org:tasks:read', name: 'Read' })
  const made = await t.fetch('/v1/sign_in_tokens', {
    method: 'POST',
    secretKey: true,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ user_id: bob.id, expires_in_seconds: 60 }),
  })
  const { token: ticket } = (await made.json()) as { token: string }
  const browser = new TestBrowser(t)
  await browser.post('/client/sign_ins', { strategy: 'ticket', ticket })
  const docId = `${organization.id}/tasks`
  const ask = async () => {
    const answer = await browser.post('/sync/token', { doc_id: docId })
    return (answer.body.response ?? answer.body) as { token?: string; errors?: { code: string }[] }
  }
  const open = async () => {
    const { token = '' } = await ask()
    return connect(`ws://127.0.0.1:${t.server.port}/sync`, docId, { params: { token }, headers: { host: t.host } })
  }
  return { organizationId: organization.id, userId: bob.id, permissionId, ask, open }
}

/** Closed within a second of a change, for want of a right. */
async function closedBy(socket: ReturnType<typeof connect>, change: () => Promise<unknown>) {
  await socket.synced()
  await change()
  const start = performance.now()
  await until(() => socket.closes.length > 0, 'closed', 5000)
  expect(performance.now() - start).toBeLessThan(1000)
  expect(socket.closes[0]?.code).toBe(4403)
}

test('I8 a role of a group opens a document, and its end closes the socket within a second', async () => {
  const t = await testInstance()
  const ctx = t.ctx()
  const { organizationId, userId, permissionId, ask, open } = await member(t)
  expect((await ask()).errors?.[0]?.code).toBe('sync_access_denied')
  const role = await createRole(ctx, { key: 'org:tasks', name: 'Tasks', permissionIds: [permissionId] })
  const { id: groupId } = await createGroup(ctx, { organizationId, name: 'Readers' })
  const group = { organizationId, groupId }
  await addGroupRole(ctx, { ...group, role: role.key })
  await addGroupMember(ctx, { ...group, userId })
  {
    using socket = await open()
    await closedBy(socket, () => removeGroupRole(ctx, { ...group, role: role.key }))
  }
  await addGroupRole(ctx, { ...group, role: role.key })
  {
    using socket = await open()
    await closedBy(socket, () => removeGroupMember(ctx, { ...group, userId }))
  }
}, 60_000)

test('a permission without a role, and the feature that it belongs to, open and close sockets', async () => {
  const t = await testInstance()
  const ctx = t.ctx()
  const { organizationId, userId, open } = await member(t)
  const mine = { organizationId, userId, permission: 'org:tasks:read' }
  const feature = { holder: { organizationId }, feature: 'tasks' }
  await addMemberPermission(ctx, mine)
  {
    using socket = await open()
    await closedBy(socket, () => createFeature(ctx, { slug: 'tasks', name: 'Tasks' }))
  }
  await grantFeature(ctx, { ...feature, enabled: true })
  {
    using socket = await open()
    await closedBy(socket, () => grantFeature(ctx, { ...feature, enabled: false }))
  }
  await grantFeature(ctx, { ...feature, enabled: true })
  {
    using socket = await open()
    await closedBy(socket, () => removeMemberPermission(ctx, mine))
  }
}, 60_000)
