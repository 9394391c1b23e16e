import { describe, expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { SignJWT } from 'jose'
import { transaction } from '../../apps/server/src/database/index.ts'
import { emit } from '../../apps/server/src/domains/events/index.ts'
import { createSyncTokenForBackend, createSyncTokenForSession } from '../../apps/server/src/domains/sync/index.ts'
import { newId } from '../../apps/server/src/kernel/ids.ts'
import { type TestInstance, testInstance } from '../../apps/server/src/testing/server.ts'
import { connect, raw, until, upgradeStatus, Y } from './support.ts'

const now = sql`now()`
const rule = { pattern: 'org_*/tasks', read: 'org:tasks:read', write: 'org:tasks:write' }

/** A person with a session, and optionally a membership with a role of its own. */
async function person(t: TestInstance, membership?: { organizationId: string; permissions: string[] }) {
  const userId = newId('user')
  const sessionId = newId('session')
  const clientId = newId('client')
  const roleId = newId('role')
  await transaction(t.ctx(), async ({ db, instance }) => {
    const i = instance.id
    await db.execute(
      sql`insert into users (id, instance_id, created_at, updated_at) values (${userId}, ${i}, ${now}, ${now})`,
    )
    await db.execute(
      sql`insert into clients (id, instance_id, created_at, updated_at) values (${clientId}, ${i}, ${now}, ${now})`,
    )
    await db.execute(sql`insert into sessions (id, instance_id, client_id, user_id, status, first_factor_at, last_active_at, expire_at, abandon_at, created_at, updated_at)
      values (${sessionId}, ${i}, ${clientId}, ${userId}, 'active', ${now}, ${now}, ${now} + interval '1 day', ${now} + interval '1 day', ${now}, ${now})`)
    if (!membership) return
    await db.execute(sql`insert into organizations (id, instance_id, name, slug, max_allowed_memberships, created_at, updated_at)
      values (${membership.organizationId}, ${i}, 'o', ${membership.organizationId}, 0, ${now}, ${now}) on conflict do nothing`)
    await db.execute(
      sql`insert into roles (id, instance_id, key, name, created_at, updated_at) values (${roleId}, ${i}, ${`org:${roleId}`}, 'r', ${now}, ${now})`,
    )
    await db.execute(sql`insert into memberships (id, instance_id, organization_id, user_id, role_id, created_at, updated_at)
      values (${newId('membership')}, ${i}, ${membership.organizationId}, ${userId}, ${roleId}, ${now}, ${now})`)
  })
  const setPermissions = (permissions: string[]) =>
    transaction(t.ctx(), async (tx) => {
      const { db, instance } = tx
      await db.execute(sql`delete from role_permissions where role_id = ${roleId}`)
      for (const key of permissions) {
        await db.execute(sql`insert into permissions (id, instance_id, key, name, type, created_at, updated_at)
          values (${newId('permission')}, ${instance.id}, ${key}, ${key}, 'user', ${now}, ${now}) on conflict do nothing`)
        await db.execute(sql`insert into role_permissions (instance_id, role_id, permission_id)
          select ${instance.id}, ${roleId}, id from permissions where key = ${key}`)
      }
      await emit(tx, { type: 'role.updated', subject: roleId, data: {} })
    })
  if (membership) await setPermissions(membership.permissions)
  const change = (
    event: { type: string; subject: string; data: Record<string, unknown> },
    statement: ReturnType<typeof sql>,
  ) =>
    transaction(t.ctx(), async (tx) => {
      await tx.db.execute(statement)
      await emit(tx, event)
    })
  const actor = { type: 'user' as const, userId, sessionId, clientId, organizationId: null }
  return {
    userId,
    sessionId,
    setPermissions,
    token: async (docId: string) => (await createSyncTokenForSession(t.ctx(actor), { docId })).token,
    revokeSession: () =>
      change(
        { type: 'session.revoked', subject: sessionId, data: { session_id: sessionId, user_id: userId } },
        sql`update sessions set status = 'revoked' where id = ${sessionId}`,
      ),
    leave: () =>
      change(
        {
          type: 'organizationMembership.deleted',
          subject: 'orgmem_x',
          data: { organization: { id: membership?.organizationId }, user_id: userId },
        },
        sql`delete from memberships where user_id = ${userId}`,
      ),
    deleteOrganization: () =>
      change(
        { type: 'organization.deleted', subject: membership?.organizationId ?? '', data: {} },
        sql`delete from organizations where id = ${membership?.organizationId ?? ''}`,
      ),
    remove: () =>
      change({ type: 'user.deleted', subject: userId, data: {} }, sql`delete from users where id = ${userId}`),
  }
}

const wsUrl = (t: TestInstance) => `ws://127.0.0.1:${t.server.port}/sync`
const as = (t: TestInstance, extra: Record<string, string> = {}) => ({ host: t.host, ...extra })
const open = (t: TestInstance, docId: string, token: string) =>
  connect(wsUrl(t), docId, { params: { token }, headers: as(t) })

async function instanceWithRule() {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { sync: { rules: [rule] } })
  return t
}

/** How long it takes until a condition holds. */
async function elapsed(condition: () => boolean): Promise<number> {
  const start = performance.now()
  await until(condition, 'done', 5000)
  return performance.now() - start
}

describe('level 3', () => {
  test('members of the owner get in with a token of their session, strangers get none', async () => {
    const t = await testInstance()
    const organizationId = newId('organization')
    const ada = await person(t, { organizationId, permissions: [] })
    const eve = await person(t)
    const docId = `${organizationId}/note`
    using a = open(t, docId, await ada.token(docId))
    using b = open(t, docId, await ada.token(docId))
    await Promise.all([a.synced(), b.synced()])
    a.doc.getText('t').insert(0, 'x')
    await until(() => b.doc.getText('t').length === 1, 'received')
    await expect(eve.token(docId)).rejects.toMatchObject({ code: 'sync_access_denied' })
    await expect(eve.token(`${ada.userId}/private`)).rejects.toMatchObject({ code: 'sync_access_denied' })
    await expect(eve.token('anything')).rejects.toMatchObject({ code: 'sync_access_denied' })
    await expect(eve.token(`${eve.userId}/private`)).resolves.toBeString()
  })

  test('wrong, expired, other-document, other-instance and other-kind tokens are refused before a single byte', async () => {
    const t = await testInstance()
    const other = await testInstance()
    const ada = await person(t)
    const eve = await person(other)
    const docId = `${ada.userId}/private`
    const good = await ada.token(docId)
    const key = t.ctx().instance.signingKeys[0]!
    const forged = (typ: string, aud: string, seconds: number, exp = 60) =>
      new SignJWT({ room: docId, access: 'write', by: 'backend', pv: 'none' })
        .setProtectedHeader({ alg: 'RS256', kid: key.kid, typ })
        .setSubject(ada.userId)
        .setAudience(aud)
        .setJti('x')
        .setIssuedAt(Math.floor(Date.now() / 1000) - seconds)
        .setExpirationTime(Math.floor(Date.now() / 1000) - seconds + exp)
        .sign(key.privateKey)
    const aud = `usher-sync:${t.ctx().instance.id}`
    const refusals: [string, string, number][] = [
      ['garbage', 'garbage', 4001],
      ['signature', `${good.slice(0, -8)}AAAAAAAA`, 4001],
      ['expired', await forged('usher-sync+jwt', aud, 120), 4001],
      ['longer than allowed', await forged('usher-sync+jwt', aud, 0, 3600), 4001],
      ['a session token', await forged('JWT', aud, 0), 4001],
      ['another audience', await forged('usher-sync+jwt', `usher-sync:${other.ctx().instance.id}`, 0), 4001],
      ['of another instance', await eve.token(`${eve.userId}/private`), 4001],
      ['for another document', await ada.token(`${ada.userId}/other`), 4403],
    ]
    for (const [what, token, code] of refusals) {
      const { frames, closed } = raw(`${wsUrl(t)}/${docId}?token=${token}`, { headers: as(t) })
      expect({ what, code: (await closed).code }).toEqual({ what, code })
      expect(frames.map((frame) => frame[0])).toEqual([2])
    }
    const missing = raw(`${wsUrl(t)}/${docId}`, { headers: as(t, { origin: 'http://localhost:3000' }) })
    expect((await missing.closed).code).toBe(4001)
    await ada.revokeSession()
    const revoked = raw(`${wsUrl(t)}/${docId}?token=${good}`, { headers: as(t) })
    expect((await revoked.closed).code).toBe(4401)
    expect((await t.server.runtime.database.systemSql`select from sync_rooms where key = ${docId}`).length).toBe(0)
  }, 60_000)

  test('Y-8 the third refusal of one credential in a minute is an HTTP 401', async () => {
    const t = await testInstance()
    const url = `${wsUrl(t)}/doc-y8?token=wrong`
    for (let i = 0; i < 2; i++) expect((await raw(url, { headers: as(t) }).closed).code).toBe(4001)
    expect(await upgradeStatus(url, as(t))).toBe(401)
  })

  test('a reader receives and cannot write; a new role turns it into a writer within a second, and back', async () => {
    const t = await instanceWithRule()
    const organizationId = newId('organization')
    const docId = `${organizationId}/tasks`
    const ada = await person(t, { organizationId, permissions: ['org:tasks:read', 'org:tasks:write'] })
    const bob = await person(t, { organizationId, permissions: ['org:tasks:read'] })
    using a = open(t, docId, await ada.token(docId))
    using b = open(t, docId, await bob.token(docId))
    await Promise.all([a.synced(), b.synced()])
    a.doc.getText('t').insert(0, 'from ada')
    await until(() => b.doc.getText('t').length > 0, 'received')
    b.doc.getText('t').insert(0, 'refused ')
    await Bun.sleep(200)
    expect(a.doc.getText('t').toString()).toBe('from ada')
    await bob.setPermissions(['org:tasks:read', 'org:tasks:write'])
    // The server asks for what it lacks: what was typed meanwhile arrives too.
    expect(await elapsed(() => a.doc.getText('t').toString() === 'refused from ada')).toBeLessThan(1000)
    await bob.setPermissions(['org:tasks:read'])
    await Bun.sleep(300)
    b.doc.getText('t').insert(0, 'no ')
    await Bun.sleep(200)
    expect(a.doc.getText('t').toString()).toBe('refused from ada')
    expect(b.closes).toEqual([])
    await bob.setPermissions([])
    expect(await elapsed(() => b.closes[0]?.code === 4403)).toBeLessThan(1000)
  }, 60_000)

  test.each([
    ['a revoked session', 'revokeSession', 4401],
    ['an ended membership', 'leave', 4403],
    ['a deleted organization', 'deleteOrganization', 4403],
    ['a deleted user', 'remove', 4401],
  ] as const)(
    'K4 %s closes the socket within a second, and nothing is delivered after the cut',
    async (_, verb, code) => {
      const t = await testInstance()
      const organizationId = newId('organization')
      const docId = `${organizationId}/note`
      const ada = await person(t, { organizationId, permissions: [] })
      const bob = await person(t, { organizationId, permissions: [] })
      using a = open(t, docId, await ada.token(docId))
      using b = open(t, docId, await bob.token(docId))
      await Promise.all([a.synced(), b.synced()])
      let writing = true
      const write = (async () => {
        for (let i = 0; writing; i++) {
          a.doc.getText('t').insert(0, `${i} `)
          await Bun.sleep(3)
        }
      })()
      await until(() => b.doc.getText('t').length > 0, 'received')
      await bob[verb]()
      const cutAt = b.doc.getText('t').length
      expect(await elapsed(() => b.closes[0]?.code === code)).toBeLessThan(1000)
      const received = b.doc.getText('t').length
      await Bun.sleep(300)
      expect(b.doc.getText('t').length).toBe(received)
      expect(received - cutAt).toBeLessThan(1000)
      writing = false
      await write
      if (verb !== 'deleteOrganization') expect(a.closes).toEqual([])
    },
    20_000,
  )

  test('K4 an expired token closes the socket at its end, and a new one brings it back', async () => {
    const t = await testInstance()
    const ada = await person(t)
    const docId = `${ada.userId}/private`
    const { token } = await createSyncTokenForBackend(t.ctx(), {
      docId,
      userId: ada.userId,
      access: 'write',
      expiresInSeconds: 10,
    })
    const { socket, closed, opened } = raw(`${wsUrl(t)}/${docId}?token=${token}`, { headers: as(t) })
    await opened
    socket.send(Uint8Array.of(0, 0, 1, 0))
    const start = performance.now()
    expect((await closed).code).toBe(4001)
    expect(performance.now() - start).toBeLessThan(13_000)
    using again = open(t, docId, await ada.token(docId))
    await again.synced()
  }, 60_000)

  test('what the application’s server granted ends with the membership, and has to be asked for again after a role change', async () => {
    const t = await testInstance()
    const organizationId = newId('organization')
    const docId = `${organizationId}/anything`
    const bob = await person(t, { organizationId, permissions: ['org:a:b'] })
    const guest = await person(t)
    const grant = async (userId: string, access: 'read' | 'write' = 'write') =>
      (await createSyncTokenForBackend(t.ctx(), { docId, userId, access })).token
    using b = open(t, docId, await grant(bob.userId))
    using g = open(t, docId, await grant(guest.userId, 'read'))
    await Promise.all([b.synced(), g.synced()])
    const stale = await grant(bob.userId)
    await bob.setPermissions(['org:a:b', 'org:c:d'])
    await until(() => b.closes[0]?.code === 4001, 'closed', 1000)
    expect((await raw(`${wsUrl(t)}/${docId}?token=${stale}`, { headers: as(t) }).closed).code).toBe(4001)
    using again = open(t, docId, await grant(bob.userId))
    await again.synced()
    await bob.leave()
    await until(() => again.closes[0]?.code === 4403, 'closed', 1000)
    expect(g.closes).toEqual([])
  }, 60_000)

  test('K1 cookies alone never open a socket; foreign, null and missing origins are refused', async () => {
    const t = await testInstance()
    const ada = await person(t)
    const docId = `${ada.userId}/private`
    const url = `${wsUrl(t)}/${docId}`
    const cookie = `__session=${await ada.token(docId)}; __client=x`
    const origin = (value: string) => as(t, { origin: value, cookie })
    expect(await upgradeStatus(url, origin('https://evil.example'))).toBe(403)
    expect(await upgradeStatus(url, origin('null'))).toBe(403)
    expect(await upgradeStatus(url, as(t, { cookie }))).toBe(403)
    expect((await raw(url, { headers: origin('http://localhost:5000') }).closed).code).toBe(4001)
    const token = await ada.token(docId)
    expect(await upgradeStatus(`${url}?token=${token}`, origin('https://evil.example'))).toBe(403)
    expect(await upgradeStatus(`${url}?token=${token}`, origin('http://localhost.evil.example'))).toBe(403)
    using withToken = open(t, docId, token)
    await withToken.synced()
  }, 60_000)

  test('the bearer subprotocol is accepted and never repeated', async () => {
    const t = await testInstance()
    const ada = await person(t)
    const docId = `${ada.userId}/private`
    const bearer = `bearer.${Buffer.from(await ada.token(docId)).toString('base64url')}`
    const { socket, opened, frames } = raw(`${wsUrl(t)}/${docId}`, { headers: as(t), protocols: ['usher.v1', bearer] })
    await opened
    expect(socket.protocol).toBe('usher.v1')
    await until(() => frames.length > 0, 'greeted')
    expect(frames[0]?.[0]).toBe(0)
    socket.close()
  })

  test('POST /v1/sync_tokens answers what a stock client needs, for known people and valid documents only', async () => {
    const t = await testInstance()
    const ada = await person(t)
    const post = (body: unknown) =>
      t.fetch('/v1/sync_tokens', {
        method: 'POST',
        secretKey: true,
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      })
    const response = await post({ doc_id: 'board/1', user_id: ada.userId, access: 'read', expires_in_seconds: 60 })
    expect(response.status).toBe(200)
    const { url, token, access } = (await response.json()) as { url: string; token: string; access: string }
    expect(url).toBe(`ws://${t.host}/sync`)
    expect(access).toBe('read')
    const doc = new Y.Doc()
    using client = connect(wsUrl(t), 'board/1', { params: { token }, headers: as(t), doc })
    await client.synced()
    const bad = [
      [{ doc_id: '../x', user_id: ada.userId, access: 'read' }, 422],
      [{ doc_id: 'a b', user_id: ada.userId, access: 'read' }, 422],
      [{ doc_id: 'x', user_id: 'user_nobody', access: 'read' }, 404],
      [{ doc_id: 'x', user_id: ada.userId, access: 'admin' }, 422],
      [{ doc_id: 'x', user_id: ada.userId, access: 'read', expires_in_seconds: 3600 }, 422],
    ] as const
    for (const [body, status] of bad) expect((await post(body)).status).toBe(status)
    const frontend = await t.fetch('/v1/sync/token', { method: 'POST', body: JSON.stringify({ doc_id: 'x' }) })
    expect(frontend.status).toBe(401)
  })

  test('rooms of two instances with one name are two rooms', async () => {
    const [t, other] = [await testInstance(), await testInstance()]
    const grant = async (i: TestInstance) =>
      (await createSyncTokenForBackend(i.ctx(), { docId: 'shared', userId: (await person(i)).userId, access: 'write' }))
        .token
    using a = open(t, 'shared', await grant(t))
    using b = open(other, 'shared', await grant(other))
    await Promise.all([a.synced(), b.synced()])
    a.doc.getText('t').insert(0, 'mine')
    await Bun.sleep(200)
    using c = open(other, 'shared', await grant(other))
    await c.synced()
    expect(b.doc.getText('t').toString()).toBe('')
    expect(c.doc.getText('t').toString()).toBe('')
  })
})
