import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { inspectRoom, listRooms, readSealed } from '../../apps/server/src/domains/sync/inspect-rooms.ts'
import { encodeSegment } from '../../apps/server/src/domains/sync/segment.ts'
import { appendSegments, createRoom } from '../../apps/server/src/domains/sync/store.ts'
import { testInstance } from '../../apps/server/src/testing/server.ts'
import { runUsher, temporaryDirectory } from '../support/usher.ts'
import { connect, raw, startSyncServer, until, Y } from './support.ts'

test('usher sync shows and exports documents beside a running server and without one; metrics count what happens', async () => {
  using data = temporaryDirectory()
  const usher = async (...args: string[]) => {
    const { stdout, stderr, code } = await runUsher(['sync', ...args, '--data', data.path])
    return { stdout, stderr, code, json: () => JSON.parse(stdout) }
  }
  const file = join(data.path, 'plan.bin')
  {
    await using server = await startSyncServer({ data: data.path })
    using ada = connect(server.wsUrl, 'team/plan')
    using bob = connect(server.wsUrl, 'team/plan')
    await Promise.all([ada.synced(), bob.synced()])
    ada.doc.getText('title').insert(0, 'Plan')
    ada.doc.getMap('meta').set('year', 2026)
    ada.doc.getArray('items').push(['one', { two: 2 }])
    ada.doc.getXmlFragment('body').insert(0, [new Y.XmlElement('p')])
    await until(() => bob.doc.getArray('items').length === 2 && bob.doc.getXmlFragment('body').length === 1, 'received')
    await raw(`${server.wsUrl}/other`).opened

    const [rooms, update, json, text, missing] = await Promise.all([
      usher('rooms', '--json'),
      usher('export', 'team/plan', '--out', file),
      usher('export', 'team/plan', '--format', 'json'),
      usher('export', 'team/plan', '--format', 'text'),
      usher('inspect', 'nothing'),
    ])
    const [room] = rooms.json()
    expect(room).toMatchObject({ instance_id: 'standalone', doc_id: 'team/plan', kind: 'plain', deleted_at: null })
    expect(room.stored_bytes).toBeGreaterThan(50)
    expect(update.code).toBe(0)
    const doc = new Y.Doc()
    Y.applyUpdate(doc, new Uint8Array(await Bun.file(file).arrayBuffer()))
    expect(doc.getText('title').toString()).toBe('Plan')
    expect(json.json()).toEqual({ title: 'Plan', meta: { year: 2026 }, items: ['one', { two: 2 }], body: '<p></p>' })
    expect(text.stdout).toBe('Plan\n')
    expect([missing.code, missing.stderr]).toEqual([1, 'There is no document nothing.\n'])

    const url = server.ready.url.replace(/^ws/, 'http').replace(/\/sync$/, '/metrics')
    const metrics = await (await fetch(url)).text()
    const value = (name: string) => Number(metrics.match(new RegExp(`^usher_realtime_${name} (\\S+)$`, 'm'))?.[1])
    expect(value('connections{plane="sync"}')).toBe(3)
    expect(value('rooms{plane="sync"}')).toBe(2)
    expect(value('frames_total{plane="sync",direction="in"}')).toBeGreaterThan(5)
    expect(value('frames_total{plane="sync",direction="out"}')).toBeGreaterThan(5)
    expect(value('bytes_total{plane="sync",direction="in"}')).toBeGreaterThan(100)
    expect(value('acks_total{plane="sync"}')).toBeGreaterThan(3)
    expect(value('commit_seconds_count{plane="sync"}')).toBeGreaterThan(0)
    expect(metrics).not.toContain('team/plan')
    expect((await fetch(url, { headers: { 'x-forwarded-for': '1.2.3.4' } })).status).toBe(404)
  }
  expect((await usher('inspect', 'team/plan', '--json')).json()).toMatchObject({ is_whole: true, kind: 'plain' })
}, 60_000)

test('an encrypted document is exported as it is, and damage is seen', async () => {
  const t = await testInstance()
  const sql = t.server.runtime.database.systemSql
  const instance = t.ctx().instance.id
  const { id: roomId } = await createRoom(sql, instance, 'sealed', 'e2ee', 1)
  const envelopes = [Buffer.from('what nobody'), Buffer.from('here can read')]
  const { payload, crc } = encodeSegment(envelopes.map((bytes) => ({ bytes, at: 0 })))
  await appendSegments(sql, [{ roomId, n: 2, payload, crc }])
  const [room] = await listRooms(sql, { instance, docId: 'sealed', limit: 2 })
  if (!room) throw new Error('no room')
  expect(room).toMatchObject({ kind: 'e2ee', head: 2, keyEpoch: 1 })
  expect(await inspectRoom(sql, room)).toMatchObject({ isWhole: true, tail: { updates: 2, segments: 1 } })
  const parts = []
  for await (const part of readSealed(sql, room)) parts.push(part)
  expect(parts.map((part) => part.object === 'envelope' && Buffer.from(part.envelope, 'base64').toString())).toEqual([
    'what nobody',
    'here can read',
  ])
  await sql`update sync_room_segments set crc = crc + 1 where room_id = ${roomId}`
  expect(await inspectRoom(sql, room)).toMatchObject({ isWhole: false })
})
