import { expect, test } from 'bun:test'
import { SQL } from 'bun'
import { temporaryDirectory } from '../support/usher.ts'
import { connect, generous, startSyncServer, stateOf, until } from './support.ts'

const sqlOf = (data: string) =>
  new SQL({ adapter: 'postgres', path: `${data}/run/.s.PGSQL.5432`, username: 'usher', database: 'postgres', max: 1 })

test('R-9 a long tail becomes a snapshot that holds the same, while clients go on writing', async () => {
  using data = temporaryDirectory()
  let server = await startSyncServer({ data: data.path, env: generous })
  const sql = sqlOf(data.path)
  let expected = ''
  {
    using ada = connect(server.wsUrl, 'long')
    using bob = connect(server.wsUrl, 'long')
    await Promise.all([ada.synced(), bob.synced()])
    const map = ada.doc.getMap('m')
    const text = bob.doc.getText('t')
    for (let i = 0; i < 3000; i++) {
      map.set(`key-${i % 50}`, `value ${i}`)
      text.insert(text.length, 'some words, ')
      if (i % 7 === 0) text.delete(0, 5)
      if (i % 50 === 0) await Bun.sleep(1)
    }
    await until(() => stateOf(ada.doc) === stateOf(bob.doc), 'converged', 20_000)
    let snapshots = 0
    const deadline = Date.now() + 15_000
    while (snapshots === 0 && Date.now() < deadline) {
      const [row] =
        await sql`select count(*)::int as n, max(bytes)::int as bytes from sync_room_snapshots where state = 'live'`
      snapshots = row.n
      await Bun.sleep(100)
    }
    expect(snapshots).toBe(1)
    using late = connect(server.wsUrl, 'long')
    await late.synced()
    expect(stateOf(late.doc)).toBe(stateOf(ada.doc))
    // A client that has nearly everything gets the difference.
    bob.client.disconnect()
    map.set('while', 'away')
    await Bun.sleep(100)
    bob.client.connect()
    await until(() => bob.doc.getMap('m').get('while') === 'away', 'caught up')
    expected = stateOf(ada.doc)
  }
  await sql.close()
  await server.stop()
  server = await startSyncServer({ data: data.path })
  await using _ = server
  using reader = connect(server.wsUrl, 'long')
  await reader.synced()
  expect(stateOf(reader.doc)).toBe(expected)
}, 90_000)

test('R-4 R-12 a large document reaches slow and returning clients whole', async () => {
  await using server = await startSyncServer({ env: generous })
  using ada = connect(server.wsUrl, 'large')
  await ada.synced()
  const array = ada.doc.getArray<string>('a')
  for (let i = 0; i < 16; i++) {
    ada.doc.transact(() => {
      for (let j = 0; j < 20; j++)
        array.push([`${i} ${j} ${Buffer.from(crypto.getRandomValues(new Uint8Array(24_000))).toString('base64')}`])
    })
    await Bun.sleep(100)
  }
  using bob = connect(server.wsUrl, 'large')
  using eve = connect(server.wsUrl, 'large')
  const writing = setInterval(() => ada.doc.getMap('m').set('tick', Math.random()), 5)
  await Promise.all([bob.synced(), eve.synced()])
  bob.client.disconnect()
  await Bun.sleep(100)
  bob.client.connect()
  await bob.synced()
  clearInterval(writing)
  await until(() => stateOf(bob.doc) === stateOf(ada.doc), 'caught up', 15_000)
  await until(() => stateOf(eve.doc) === stateOf(ada.doc), 'caught up', 15_000)
  expect([...bob.closes.filter(({ code }) => code !== 1000 && code !== 1005), ...eve.closes]).toEqual([])
}, 90_000)

test('a room that cannot be loaded is closed with 4503 and never shown empty', async () => {
  using data = temporaryDirectory()
  {
    await using server = await startSyncServer({ data: data.path })
    using ada = connect(server.wsUrl, 'kept')
    await ada.synced()
    ada.doc.getText('t').insert(0, 'still here')
    await Bun.sleep(200)
  }
  await using server = await startSyncServer({ data: data.path })
  const sql = sqlOf(data.path)
  await sql`alter table sync_room_segments rename to sync_room_segments_away`
  using bob = connect(server.wsUrl, 'kept')
  await bob.closed()
  expect(bob.closes[0]?.code).toBe(4503)
  expect(bob.client.synced).toBe(false)
  await sql`alter table sync_room_segments_away rename to sync_room_segments`
  await bob.synced()
  expect(bob.doc.getText('t').toString()).toBe('still here')
  await sql.close()
}, 60_000)
