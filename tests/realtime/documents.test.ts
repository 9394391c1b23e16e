import { expect, test } from 'bun:test'
import { createSyncTokenForBackend } from '../../apps/server/src/domains/sync/index.ts'
import { testInstance } from '../../apps/server/src/testing/server.ts'
import { somebody } from './named.ts'
import { connect, raw, until } from './support.ts'

async function world() {
  const t = await testInstance()
  const userId = await somebody(t)
  const base = `ws://127.0.0.1:${t.server.port}/sync`
  const grant = async (docId: string) =>
    (await createSyncTokenForBackend(t.ctx(), { docId, userId, access: 'write' })).token
  const open = async (docId: string) =>
    connect(base, docId, { params: { token: await grant(docId) }, headers: { host: t.host } })
  const remove = (docId: string, init: RequestInit & { secretKey?: boolean } = { secretKey: true }) =>
    t.fetch(`/v1/documents/${docId}`, { method: 'DELETE', ...init })
  return { t, base, grant, open, remove }
}

test('K4 T-30 R-17 deleting a document closes its sockets with 4404 within a second, and its content and id are gone', async () => {
  const [{ t, base, grant, open, remove }, other] = [await world(), await world()]
  const docId = 'org_acme/plans/2026'
  using ada = await open(docId)
  using bob = await open(docId)
  using neighbour = await open('org_acme/plans/2027')
  using stranger = await other.open(docId)
  await Promise.all([ada, bob, neighbour, stranger].map((one) => one.synced()))
  ada.doc.getText('t').insert(0, 'secret')
  await until(() => bob.doc.getText('t').length > 0, 'received')
  stranger.doc.getText('t').insert(0, 'mine')
  const sql = t.server.runtime.database.systemSql
  const rows = async () =>
    (
      await sql`select 1 from sync_room_segments s join sync_rooms r on r.id = s.room_id
      where r.key = ${docId} and r.instance_id = ${t.ctx().instance.id}`
    ).length
  while ((await rows()) === 0) await Bun.sleep(10)
  const response = await remove(docId)
  expect(response.status).toBe(200)
  expect(await response.json()).toEqual({ object: 'document', id: docId, deleted: true })
  const start = performance.now()
  await Promise.all([ada, bob].map((one) => until(() => one.closes[0]?.code === 4404, 'closed')))
  expect(performance.now() - start).toBeLessThan(1000)
  expect(await rows()).toBe(0)
  // They still have a copy, and a right: neither brings it back.
  const token = await grant(docId)
  expect((await raw(`${base}/${docId}?token=${token}`, { headers: { host: t.host } }).closed).code).toBe(4404)
  expect(await rows()).toBe(0)
  expect((await remove(docId)).status).toBe(404)
  expect(neighbour.closes).toEqual([])
  expect(stranger.closes).toEqual([])
  using again = await other.open(docId)
  await again.synced()
  expect(again.doc.getText('t').toString()).toBe('mine')
}, 60_000)

test('only an application’s server deletes documents, by ids that are ids', async () => {
  const { remove, open } = await world()
  using ada = await open('kept')
  await ada.synced()
  ada.doc.getText('t').insert(0, 'x')
  await Bun.sleep(200)
  expect((await remove('kept', {})).status).toBe(404)
  // J4: a secret key in a page.
  expect((await remove('kept', { secretKey: true, headers: { origin: 'http://localhost:3000' } })).status).not.toBe(200)
  for (const docId of ['nothing', '..%2Fkept', 'a%20b', 'kept%00', "'%20or%201=1--"])
    expect([docId, (await remove(docId)).status]).toEqual([docId, 404])
  expect(ada.closes).toEqual([])
  expect((await remove('k%65pt')).status).toBe(200)
  await until(() => ada.closes[0]?.code === 4404, 'closed')
})
