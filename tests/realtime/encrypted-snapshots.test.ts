import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { envelopeKind } from '@usher/sync/crypto'
import { SQL } from 'bun'
import {
  snapshotBadFrame,
  snapshotChunkFrame,
  snapshotCommitFrame,
  snapshotGetFrame,
  snapshotOfferFrame,
  snapshotOkFrame,
} from '../../packages/sync/src/encrypted-frames.ts'
import { temporaryDirectory } from '../support/usher.ts'
import { chainOver, type Member, member, opened, upload } from './encrypted-support.ts'
import { generous, type SyncServerProcess, startSyncServer } from './support.ts'

let counter = 0
const fresh = () => `folded-${++counter}`

describe('snapshots that members make', () => {
  const data = temporaryDirectory()
  let server: SyncServerProcess
  let url: string
  let sql: SQL

  beforeAll(async () => {
    server = await startSyncServer({ data: data.path, env: generous })
    url = server.wsUrl
    const path = `${data.path}/run/.s.PGSQL.5432`
    sql = new SQL({ adapter: 'postgres', path, username: 'usher', database: 'postgres', max: 1 })
  })
  afterAll(async () => {
    await sql.close()
    await server[Symbol.asyncDispose]()
    data[Symbol.dispose]()
  })

  const segments = async (docId: string) => {
    const rows = await sql`
      select s.n from sync_room_segments s join sync_rooms r on r.id = s.room_id where r.key = ${docId}`
    return rows.reduce((sum: number, { n }: { n: number }) => sum + n, 0)
  }
  const states = async (docId: string) =>
    (
      await sql`
        select s.seq::float8 as seq, s.state from sync_room_snapshots s join sync_rooms r on r.id = s.room_id
        where r.key = ${docId} order by s.seq`
    ).map(({ seq, state }: { seq: number; state: string }) => `${seq} ${state}`)

  async function writer(docId: string, n: number): Promise<Member> {
    const ada = member(url, docId, { makesSnapshots: true })
    await ada.welcome()
    let cseq = 0
    for (let i = 0; i < n; i++) cseq = (await ada.write(`line ${i}`)).cseq
    await ada.acked(cseq)
    await ada.reached(n)
    return ada
  }

  test('E-14 E-21 a newcomer starts from the snapshot and gets what came after it; the log stays', async () => {
    const docId = fresh()
    using ada = await writer(docId, 10)
    const live = await upload(ada, docId)
    expect(live).toMatchObject({ type: 'snapshot-live', snapshot: { seq: 10, epoch: 0, chunks: 2 } })
    const { envelope } = await ada.write('after')
    await ada.reached(11)
    await Bun.sleep(1200)
    using bob = member(url, docId)
    const welcome = await bob.welcome()
    expect(welcome).toMatchObject({ from: 10, head: 11, resumed: false, snapshot: { seq: 10, chunks: 2 } })
    await bob.reached(11)
    expect(bob.envelopes()).toEqual([envelope])
    const chunks = bob.all('snapshot-chunk').map((chunk) => chunk.envelope)
    expect((await opened(docId, chunks)).map((part) => Buffer.from(part).toString())).toEqual(['one', 'two'])
    expect(await segments(docId)).toBe(11)
    // The author of the first line lost the answer: the line is in the log, before the snapshot.
    const back = bob.append(ada.log.get(1) as Uint8Array)
    await bob.acked(back)
    expect(bob.all('ack').at(-1)?.seq).toBe(0)
    expect(await segments(docId)).toBe(11)
  })

  test('E-14 who has a place before the snapshot is given the snapshot; who has one behind it, the rest', async () => {
    const docId = fresh()
    using ada = await writer(docId, 6)
    const lines = ada.envelopes()
    using first = member(url, docId)
    const { incarnation } = await first.welcome()
    await upload(ada, docId, { seq: 4 })
    await Bun.sleep(1200)
    const at = (seq: number) => ({ incarnation, seq, chain: chainOver(docId, lines.slice(0, seq)) })
    using early = member(url, docId, { place: at(2) })
    expect(await early.welcome()).toMatchObject({ resumed: false, from: 4 })
    using late = member(url, docId, { place: at(5) })
    expect(await late.welcome()).toMatchObject({ resumed: true, from: 5 })
    await Promise.all([early.reached(6), late.reached(6)])
    expect(early.all('snapshot-chunk').length).toBe(2)
    expect(late.all('snapshot-chunk').length).toBe(0)
  })

  test('E-15 what is not whole, of another history or another epoch, or not wanted does not become a snapshot', async () => {
    const docId = fresh()
    using ada = await writer(docId, 8)
    const refused = (code: number) => expect.objectContaining({ type: 'snapshot-refused', code })
    expect(await upload(ada, docId, { chain: new Uint8Array(32) })).toEqual(refused(409))
    expect(await upload(ada, docId, { seq: 9, chain: new Uint8Array(32) })).toEqual(refused(409))
    expect(await upload(ada, docId, { epoch: 1 })).toEqual(refused(409))
    expect(await upload(ada, docId, { wrongHash: true })).toEqual(refused(422))
    const update = await ada.sender.seal(envelopeKind.update, new Uint8Array(3))
    expect(await upload(ada, docId, { chunks: [update] })).toEqual(refused(422))
    expect(await upload(ada, docId, { chunks: [new Uint8Array(300_000)] })).toEqual(refused(422))
    ada.send(snapshotCommitFrame(8))
    expect(await ada.next('snapshot-refused')).toMatchObject({ code: 404 })
    ada.send(snapshotChunkFrame(8, 0, update))
    await Bun.sleep(100)
    expect(await states(docId)).toEqual([])
    expect(await upload(ada, docId, { seq: 5 })).toMatchObject({ type: 'snapshot-live' })
    expect(await upload(ada, docId, { seq: 5 })).toEqual(refused(409))
    expect(await upload(ada, docId, { seq: 3 })).toEqual(refused(409))
    expect(await states(docId)).toEqual(['5 live'])
    expect(await segments(docId)).toBe(8)
  })

  test('E-16 a hostile snapshot is taken back: the one before it is served, and everything is still there', async () => {
    const docId = fresh()
    using ada = await writer(docId, 5)
    await upload(ada, docId)
    await ada.write('six')
    await ada.reached(6)
    using mallory = member(url, docId)
    await mallory.welcome()
    await mallory.reached(6)
    const garbage = (await mallory.sender.seal(envelopeKind.snapshot, new Uint8Array(100))).map((byte, i) =>
      i < 48 ? byte : byte ^ 255,
    )
    const chain = chainOver(docId, ada.envelopes())
    expect(await upload(mallory, docId, { chunks: [garbage], chain })).toMatchObject({ type: 'snapshot-live' })
    await ada.write('seven')
    await ada.reached(7)
    await Bun.sleep(1200)
    using bob = member(url, docId)
    expect(await bob.welcome()).toMatchObject({ from: 6, snapshot: { seq: 6, chunks: 1 } })
    const [chunk] = [await bob.next('snapshot-chunk')]
    await expect(opened(docId, [chunk.envelope])).rejects.toThrow()
    bob.send(snapshotBadFrame(6))
    await Promise.all([ada.next('snapshot-bad'), bob.next('snapshot-bad')])
    expect(await states(docId)).toEqual(['5 live', '6 bad'])
    using carol = member(url, docId)
    expect(await carol.welcome()).toMatchObject({ from: 5, head: 7, snapshot: { seq: 5 } })
    await carol.reached(7)
    expect(await carol.read()).toEqual(['six', 'seven'])
    bob.send(snapshotGetFrame(6))
    expect(await bob.next('snapshot-refused')).toMatchObject({ seq: 6, code: 404 })
    // Nothing is deleted any more, however old it gets.
    await sql`update sync_room_snapshots set at = now() - interval '30 days', confirmed_at = now() - interval '30 days'`
    await upload(ada, docId)
    expect(await segments(docId)).toBe(7)
    // A server that starts anew serves the same.
    using back = member(url, docId)
    expect(await back.welcome()).toMatchObject({ snapshot: { seq: 7 } })
  })

  test('E-17 nothing is deleted until another member has opened a snapshot and a week is over; two old ones stay', async () => {
    const docId = fresh()
    using ada = await writer(docId, 2)
    using bob = member(url, docId)
    await bob.welcome()
    const age = () =>
      sql`update sync_room_snapshots s set at = s.at - interval '8 days', confirmed_at = s.confirmed_at - interval '8 days'
        from sync_rooms r where r.id = s.room_id and r.key = ${docId}`
    const more = async () => {
      await ada.write('more')
      await ada.reached(ada.head + 1)
      expect(await upload(ada, docId)).toMatchObject({ type: 'snapshot-live' })
    }
    await upload(ada, docId)
    for (let i = 0; i < 4; i++) {
      await age()
      await more()
    }
    // Old ones go but for two. What they contain stays: nobody has opened any of them.
    expect(await states(docId)).toEqual(['4 old', '5 old', '6 live'])
    expect(await segments(docId)).toBe(6)
    ada.send(snapshotOkFrame(6))
    expect(await ada.next('snapshot-refused')).toMatchObject({ code: 404 })
    bob.send(snapshotOkFrame(6))
    await Bun.sleep(100)
    await more()
    expect(await segments(docId)).toBe(7)
    await age()
    await more()
    expect(await states(docId)).toEqual(['6 old', '7 old', '8 live'])
    expect(await segments(docId)).toBe(2)
    using carol = member(url, docId)
    expect(await carol.welcome()).toMatchObject({ from: 8, head: 8 })
    carol.send(snapshotGetFrame(6))
    await carol.next('snapshot-chunk')
  })

  test('E-18 when the log has grown, one member who can is asked for a snapshot, and another if it does not come', async () => {
    const docId = fresh()
    using ada = await writer(docId, 505)
    const wanted = await ada.next('snapshot-wanted')
    expect(wanted).toMatchObject({ seq: 505 })
    using bob = member(url, docId, { makesSnapshots: true })
    await bob.welcome()
    await bob.reached(505)
    await Bun.sleep(1500)
    expect(bob.all('snapshot-wanted')).toEqual([])
    // Nobody comes before who was asked, with no lease or with one that is not theirs.
    for (const lease of [0, wanted.lease, wanted.lease + 1])
      expect(await upload(bob, docId, { lease })).toMatchObject({ type: 'snapshot-refused', code: 409 })
    ada.socket.close()
    const { seq, lease } = await bob.next('snapshot-wanted')
    expect(seq).toBe(505)
    expect(await upload(bob, docId, { lease })).toMatchObject({ type: 'snapshot-live' })
    await Bun.sleep(1500)
    expect(bob.all('snapshot-wanted')).toEqual([])
  })

  test('K10 E-14 whoever says twice that an upload is complete ends nothing', async () => {
    const docId = fresh()
    using ada = await writer(docId, 3)
    using bob = member(url, docId)
    await bob.welcome()
    const say = ada.socket.send.bind(ada.socket)
    // Each commit comes three times, in one go.
    ada.socket.send = (frame) => {
      const isCommit = frame instanceof Uint8Array && frame[0] === 4 && frame[1] === 3
      for (let i = 0; i < (isCommit ? 3 : 1); i++) say(frame)
    }
    expect(await upload(ada, docId)).toMatchObject({ type: 'snapshot-live', snapshot: { seq: 3 } })
    await ada.write('after')
    await bob.reached(4)
    expect([ada.closing, bob.closing]).toEqual([undefined, undefined])
    expect(await states(docId)).toEqual(['3 live'])
  })

  test('E-15 an upload that is cut off leaves nothing, and another one can follow', async () => {
    const docId = fresh()
    using ada = await writer(docId, 4)
    using bob = member(url, docId)
    await bob.welcome()
    await bob.reached(4)
    const big = await Promise.all(
      Array.from({ length: 8 }, () =>
        bob.sender.seal(envelopeKind.snapshot, crypto.getRandomValues(new Uint8Array(60_000))),
      ),
    )
    const uploading = upload(bob, docId, { chunks: big })
    uploading.catch(() => {})
    await bob.isOpen
    for (let i = 0; i < 200 && (await states(docId)).length === 0; i++) await Bun.sleep(1)
    bob.socket.close()
    await Bun.sleep(300)
    const left = (await states(docId)).filter((state: string) => state !== '4 live')
    expect(left).toEqual([])
    if ((await states(docId)).length === 0)
      expect(await upload(ada, docId)).toMatchObject({ type: 'snapshot-live', snapshot: { seq: 4 } })
  })

  test('K10 E-15 snapshots take no more than what was written pays for, and one at a time', async () => {
    const docId = fresh()
    using ada = await writer(docId, 5)
    const part = (bytes: number) =>
      ada.sender.seal(envelopeKind.snapshot, crypto.getRandomValues(new Uint8Array(bytes)))
    const refused = (code: number) => ({ type: 'snapshot-refused', code })
    const many = await Promise.all(Array.from({ length: 6 }, () => part(200_000)))
    expect(await upload(ada, docId, { chunks: many })).toMatchObject(refused(429))
    expect(await upload(ada, docId, { chunks: many.slice(0, 4) })).toMatchObject({ type: 'snapshot-live' })
    // A few small changes do not pay for as much again, again and again.
    for (let i = 0; i < 5; i++) await ada.acked((await ada.write(`more ${i}`)).cseq)
    await ada.reached(10)
    expect(await upload(ada, docId, { chunks: many.slice(0, 4) })).toMatchObject(refused(429))
    expect(await upload(ada, docId, { chunks: [await part(20_000)] })).toMatchObject({ type: 'snapshot-live' })
    await ada.acked((await ada.write('x'.repeat(120_000))).cseq)
    await ada.reached(11)
    expect(await upload(ada, docId, { chunks: many.slice(0, 4) })).toMatchObject({ type: 'snapshot-live' })
    // While one is under way, another one is not begun.
    await ada.acked((await ada.write('x'.repeat(120_000))).cseq)
    await ada.reached(12)
    using bob = member(url, docId, { place: undefined })
    await bob.welcome()
    await bob.reached(12)
    const chain = chainOver(docId, ada.envelopes())
    ada.send(snapshotOfferFrame({ seq: 12, epoch: 0, size: 10, sha256: new Uint8Array(32), chain, chunks: 1 }, 0))
    await ada.next('snapshot-accepted')
    expect(await upload(bob, docId, { chain, chunks: [await part(100)] })).toMatchObject(refused(409))
    ada.socket.close()
  })

  test('K10 E-16 one person calls a few snapshots bad, and no more for a while', async () => {
    const docId = fresh()
    using ada = await writer(docId, 3)
    let refusals = 0
    for (let i = 0; i < 8 && refusals === 0; i++) {
      expect(await upload(ada, docId)).toMatchObject({ type: 'snapshot-live' })
      ada.send(snapshotBadFrame(ada.head))
      await ada.acked((await ada.write(`again ${i}`)).cseq)
      await ada.reached(4 + i)
      const answer = () => ada.all('snapshot-refused').some(({ code }) => code === 429)
      const taken = async () => (await states(docId)).filter((state: string) => state.endsWith('bad')).length === i + 1
      while (!answer() && !(await taken())) await Bun.sleep(10)
      if (answer()) refusals = i
    }
    // Five at once in this test, less what others of it have said from the same address.
    expect(refusals).toBeGreaterThan(0)
    expect(refusals).toBeLessThan(6)
  })
})
