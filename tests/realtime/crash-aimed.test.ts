import { describe, expect, test } from 'bun:test'
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SQL } from 'bun'
import { randomFrom } from '../fuzz/random.ts'
import { postgresBin } from '../support/postgres.ts'
import { type Moment, type PostgresProxy, startPostgresProxy } from '../support/postgres-proxy.ts'
import { temporaryDirectory } from '../support/usher.ts'
import { serverBehindProxy } from './behind-proxy.ts'
import { chainOver, type Member, member, opened, upload } from './encrypted-support.ts'
import { missing, type Writer, writeAcknowledged, writer } from './ledger.ts'
import { connect, generous, startSyncServer, stateOf, until } from './support.ts'

const faketime = process.env.USHER_TEST_FAKETIME ?? ''
const long = Boolean(process.env.USHER_LONG_TESTS)
const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
console.log(`seed ${seed}`)
const random = randomFrom(seed)

const append = /^(?!commit)[\s\S]*insert into sync_room_segments/i
const createsRoom = /^\s*insert into sync_rooms /
const announced = /^\s*insert into sync_room_snapshots/
const chunk = /^\s*insert into sync_room_snapshot_chunks/
const folded = /^commit[\s\S]*update sync_rooms set snapshot_seq/i

const held = await serverBehindProxy()

const killServer = async () => {
  held.server.process.kill('SIGKILL')
  await held.server.process.exited
  return 'cut' as const
}
const restartServer = async () => {
  held.server = await held.start()
}
/** The server stays: it finds its database again by itself. */
const stays = async () => {}
const restartPostgres = () => held.postgres.launch()

const killed = 'kill -9 of the server'
const faults: { name: string; fault: () => Promise<'cut'>; recover: () => Promise<void> }[] = [
  { name: killed, fault: killServer, recover: restartServer },
  { name: 'a line that is cut', fault: async () => 'cut', recover: stays },
  {
    name: 'kill -9 of PostgreSQL',
    fault: async () => {
      await held.postgres.kill('SIGKILL')
      return 'cut'
    },
    recover: restartPostgres,
  },
  {
    name: 'pg_ctl stop -m immediate',
    fault: async () => {
      await held.postgres.kill('SIGQUIT')
      return 'cut'
    },
    recover: restartPostgres,
  },
]

/** The named faults and one more by chance; all of them in the long run. */
function someFaults(...names: string[]) {
  const others = faults.filter(({ name }) => !names.includes(name))
  const chosen = others[random(others.length)]
  return long ? faults : faults.filter((fault) => names.includes(fault.name) || fault === chosen)
}

/** Who wrote still has it, acknowledged or not: in the end all of it is stored, and everybody has the same. */
async function expectOneDocument(docId: string, writers: Writer[]) {
  await until(() => writers.every((one) => one.client.synced), 'synced again', 20_000)
  for (const one of writers) one.write()
  const everything = writers.reduce((sum, one) => sum + one.sent(), 0)
  using reader = connect(held.server.wsUrl, docId)
  await until(() => reader.doc.getArray('log').length === everything, 'all stored', 20_000)
  await until(() => writers.every((one) => stateOf(one.doc) === stateOf(reader.doc)), 'the same for all')
}

describe.skipIf(!postgresBin)('a fault at one exact moment', () => {
  const moments: [string, Moment][] = [
    ['before the first write makes the room', { statement: createsRoom, when: 'before' }],
    ['after the room is made and before its first append', { statement: createsRoom, when: 'after' }],
    ['before an append', { statement: append, when: 'before' }],
    ['between the commit of an append and its echo', { statement: append, when: 'after' }],
  ]
  for (const [when, moment] of moments)
    for (const { name, fault, recover } of someFaults(
      'a line that is cut',
      ...(moment.statement === append ? [killed] : []),
    ))
      test(`${name} ${when}`, async () => {
        const docId = `${name}-${when}`.replace(/[^a-z]+/gi, '-')
        const writers = ['ada', 'bob'].map((who) => writer(held.server.wsUrl, docId, who))
        try {
          await Promise.all(writers.map((one) => one.synced()))
          const isFirst = moment.statement === createsRoom
          if (!isFirst) for (const one of writers) await writeAcknowledged(one, 3 + random(5))
          const acknowledged = writers.map((one) => [...one.acknowledged])
          const done = held.proxy.at(moment, async () => {
            // Nothing of what waits there has been acknowledged.
            expect(writers.map((one) => [...one.acknowledged])).toEqual(acknowledged)
            return await fault()
          })
          for (let i = 0; i < 3; i++) for (const one of writers) one.write()
          await done
          await recover()
          for (const one of writers) expect(await missing(held.server.wsUrl, docId, one.acknowledged)).toEqual([])
          await expectOneDocument(docId, writers)
        } finally {
          for (const one of writers) one[Symbol.dispose]()
        }
      }, 60_000)

  const inSnapshot: [string, Moment][] = [
    ['before a compaction is committed', { statement: folded, when: 'before' }],
    ['after a compaction is committed', { statement: folded, when: 'after' }],
    ['in the midst of a compaction', { statement: chunk, when: 'after' }],
  ]
  for (const [when, moment] of inSnapshot)
    test(`kill -9 of the server or of PostgreSQL ${when}`, async () => {
      for (const { name, fault, recover } of someFaults()) {
        const docId = `${name}-${when}`.replace(/[^a-z]+/gi, '-')
        using ada = writer(held.server.wsUrl, docId, 'ada')
        await ada.synced()
        await writeAcknowledged(ada, 3)
        const done = held.proxy.at(moment, fault)
        // Beyond 256 KB in its log a document is folded.
        ada.doc.getText('t').insert(0, 'a long line '.repeat(25_000))
        await done
        await recover()
        expect(await missing(held.server.wsUrl, docId, ada.acknowledged)).toEqual([])
        await expectOneDocument(docId, [ada])
        await expectSound(docId)
      }
    }, 60_000)

  const inEncrypted: [string, Moment][] = [
    ['E-8 before an append', { statement: append, when: 'before' }],
    ['E-8 between the commit of an append and its acknowledgement', { statement: append, when: 'after' }],
  ]
  for (const [when, moment] of inEncrypted)
    for (const { name, fault, recover } of someFaults(killed))
      test(`${when} of envelopes comes ${name}: none is lost and none is stored twice`, async () => {
        const docId = `e2ee-${name}-${when}`.replace(/[^a-z0-9]+/gi, '-')
        const connections: Member[] = []
        const open = async () => {
          const one = member(held.server.wsUrl, docId)
          connections.push(one)
          await one.welcome()
          return one
        }
        try {
          let ada = await open()
          for (let i = 0; i < 3; i++) await ada.acked((await ada.write(`line ${i}`)).cseq)
          const done = held.proxy.at(moment, fault)
          const { sender } = ada
          const outbox = []
          for (let i = 3; i < 6; i++) outbox.push((await ada.write(`line ${i}`)).envelope)
          await done
          await recover()
          // A line to the database that was cut nobody needs to hear of.
          if (ada.closing ?? name === faults[0]?.name) {
            await ada.isClosed
            ada = await open()
            for (const envelope of outbox) ada.append(envelope)
            await ada.acked(outbox.length)
          } else await ada.acked(6)
          await ada.acked((await ada.write('the last line', sender)).cseq)
          const reader = await open()
          await reader.reached(7)
          expect(await reader.read()).toEqual([...[0, 1, 2, 3, 4, 5].map((i) => `line ${i}`), 'the last line'])
          await ada.reached(7)
          const again = await open()
          await again.reached(7)
          expect(again.head).toBe(7)
        } finally {
          for (const one of connections) one[Symbol.dispose]()
        }
      }, 60_000)

  const inUpload: [string, Moment][] = [
    ['before its offer is stored', { statement: announced, when: 'before' }],
    ['after its offer is stored', { statement: announced, when: 'after' }],
    ['in the midst of its chunks', { statement: chunk, when: 'after' }],
    ['before it is made the live one', { statement: folded, when: 'before' }],
    ['after it was made the live one', { statement: folded, when: 'after' }],
  ]
  for (const [when, moment] of inUpload)
    test(`E-15 kill -9 of the server in the upload of a snapshot, ${when}: it is live whole or not at all`, async () => {
      const docId = `upload-${when}`.replace(/[^a-z]+/gi, '-')
      const [fault] = faults
      using ada = member(held.server.wsUrl, docId)
      await ada.welcome()
      for (let i = 0; i < 5; i++) await ada.acked((await ada.write(`line ${i}`)).cseq)
      await ada.reached(5)
      const done = held.proxy.at(moment, killServer)
      upload(ada, docId).catch(() => {})
      await done
      await fault?.recover()
      using bob = member(held.server.wsUrl, docId)
      const { snapshot, from, head, chain } = await bob.welcome()
      await bob.reached(5)
      expect(head).toBe(5)
      if (when.startsWith('after it was')) {
        expect({ from, seq: snapshot?.seq, chunks: snapshot?.chunks }).toEqual({ from: 5, seq: 5, chunks: 2 })
        await until(() => bob.all('snapshot-chunk').length === 2, 'given the snapshot')
        const given = bob.all('snapshot-chunk').map(({ envelope }) => envelope)
        expect(await opened(docId, given)).toHaveLength(2)
      } else {
        expect({ from, snapshot }).toEqual({ from: 0, snapshot: undefined })
        expect(Buffer.compare(chain, chainOver(docId, bob.envelopes()))).toBe(0)
        // What the dead server left of it is in nobody's way.
        await bob.acked((await bob.write('line 5')).cseq)
        await bob.reached(6)
        expect((await upload(bob, docId)).type).toBe('snapshot-live')
      }
      await expectSound(docId)
    }, 60_000)
})

describe.skipIf(!postgresBin || !faketime)('a fault in the midst of hibernation', () => {
  for (const when of long ? (['before', 'after'] as const) : [random(2) ? ('before' as const) : ('after' as const)])
    test(`kill -9 of the server ${when} the commit with which a room that nobody is in leaves memory`, async () => {
      using own = temporaryDirectory()
      const database = `cold_${when}`
      const operator = new SQL(held.postgres.url, { max: 1 })
      await operator.unsafe(`create database ${database}`)
      await operator.close()
      const url = new URL(held.postgres.url)
      url.port = String(held.proxy.port)
      url.pathname = `/${database}`
      const offset = join(own.path, 'offset')
      writeFileSync(offset, '+0\n')
      const startCold = () =>
        startSyncServer({
          data: join(own.path, 'usher'),
          env: {
            ...generous,
            DATABASE_URL: url.href,
            LD_PRELOAD: faketime,
            FAKETIME_TIMESTAMP_FILE: offset,
            FAKETIME_NO_CACHE: '1',
          },
        })
      const docId = `cold-${when}`
      const cold = await startCold()
      const ada = writer(cold.wsUrl, docId, 'ada')
      await ada.synced()
      await writeAcknowledged(ada, 3)
      // Beyond 16 KB what lies in the log is folded when the room falls cold.
      ada.doc.getText('t').insert(0, 'a long line '.repeat(3_000))
      await writeAcknowledged(ada, 1)
      ada[Symbol.dispose]()
      const done = held.proxy.at({ statement: folded, when }, async () => {
        cold.process.kill('SIGKILL')
        await cold.process.exited
        return 'cut' as const
      })
      await Bun.sleep(200)
      // A minute later, by every clock that the server has.
      writeFileSync(offset, '+70\n')
      await done
      await using again = await startCold()
      expect(await missing(again.wsUrl, docId, ada.acknowledged)).toEqual([])
      await expectSound(docId, `/${database}`)
    }, 60_000)
})

test('a kill of the embedded PostgreSQL around the commit of an append loses nothing, and the server stays', async () => {
  using own = temporaryDirectory()
  const embedded = await startSyncServer({ data: own.path, env: generous })
  const socket = join(own.path, 'run', '.s.PGSQL.5432')
  const postmaster = () => Number(readFileSync(join(own.path, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0])
  const writers = ['ada', 'bob'].map((who) => writer(embedded.wsUrl, 'embedded', who))
  await Promise.all(writers.map((one) => one.synced()))
  for (const one of writers) await writeAcknowledged(one, 3)
  const all = (['SIGKILL', 'SIGQUIT'] as const).flatMap((signal) =>
    (['before', 'after'] as const).map((when) => ({ signal, when })),
  )
  const rounds = long ? all : [all[random(2)], all[2 + random(2)]].filter((round) => round !== undefined)
  // They end last: the end of one takes the name of the socket with it, under which the database is there again.
  const proxies: PostgresProxy[] = []
  for (const [i, { signal, when }] of rounds.entries()) {
    // Steps in between: what reconnects finds the proxy where the database was.
    const real = join(own.path, 'run', `real-${i}`)
    renameSync(socket, real)
    const between = await startPostgresProxy(real, { path: socket })
    proxies.push(between)
    const sql = new SQL({ adapter: 'postgres', path: real, username: 'usher', database: 'postgres', max: 1 })
    await sql`select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'`
    await sql.close({ timeout: 0 })
    const pid = postmaster()
    const done = between.at({ statement: append, when }, () => {
      process.kill(pid, signal)
      return 'cut'
    })
    for (const one of writers) one.write()
    await done
    await until(
      () => existsSync(join(own.path, 'postgres', 'postmaster.pid')) && postmaster() !== pid,
      'launched again',
      30_000,
    )
    for (const one of writers) await writeAcknowledged(one, 1)
    for (const one of writers) expect(await missing(embedded.wsUrl, 'embedded', one.acknowledged)).toEqual([])
  }
  expect(writers.flatMap(({ closes }) => closes)).toEqual([])
  await until(() => writers.every((one) => one.acknowledged.size === one.sent()), 'all acknowledged')
  await until(() => new Set(writers.map(({ doc }) => stateOf(doc))).size === 1, 'the same for all')
  for (const one of writers) one[Symbol.dispose]()
  await embedded.stop()
  for (const one of proxies) await one[Symbol.asyncDispose]()
}, 60_000)

/** A snapshot is there whole or not at all, and the log joins it. */
async function expectSound(docId: string, database = '/postgres') {
  const sql = new SQL(Object.assign(new URL(held.postgres.url), { pathname: database }).href, { max: 1 })
  const [room] = await sql`
    select r.head::int, r.snapshot_seq::int as snapshot,
      (select coalesce(sum(n), 0)::int from sync_room_segments s where s.room_id = r.id and s.last_seq > r.snapshot_seq) as stored,
      (select count(*)::int from sync_room_snapshots s where s.room_id = r.id and s.state = 'live') as live,
      (select count(*)::int from sync_room_snapshot_chunks c where c.room_id = r.id
        and not exists (select from sync_room_snapshots s where s.room_id = c.room_id and s.seq = c.seq)) as loose
    from sync_rooms r where r.key = ${docId}`
  await sql.close()
  expect(room).toEqual({ ...room, stored: room.head - room.snapshot, live: room.snapshot > 0 ? 1 : 0, loose: 0 })
}
