import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { envelopeKind } from '@usher/sync/crypto'
import { LoroDoc } from 'loro-crdt'
import { WebSocket as Ws } from 'ws'
import {
  decodeServerFrame,
  ephemeralFrame,
  helloFrame,
  keyParamsFrame,
} from '../../packages/sync/src/encrypted-frames.ts'
import { chainOver, member, opened, sealer } from './encrypted-support.ts'
import { connect, generous, type SyncServerProcess, startSyncServer, until, Y } from './support.ts'

const bytes = (text: string) => new Uint8Array(Buffer.from(text))
let counter = 0
const fresh = () => `sealed-${++counter}`

describe('an encrypted room', () => {
  let server: SyncServerProcess
  let url: string

  beforeAll(async () => {
    server = await startSyncServer({ env: generous })
    url = server.wsUrl
  })
  afterAll(() => server[Symbol.asyncDispose]())

  test('E-4 E-8 everybody gets every envelope in one order, its author too, and what is acknowledged has a number', async () => {
    const docId = fresh()
    using ada = member(url, docId)
    using bob = member(url, docId)
    expect(await ada.welcome()).toMatchObject({ head: 0, from: 0, resumed: false, epoch: 0, access: 'write' })
    await bob.welcome()
    const writes = 40
    for (let i = 0; i < writes; i++) {
      await ada.write(`ada ${i}`)
      await bob.write(`bob ${i}`)
    }
    await Promise.all([ada, bob].flatMap((m) => [m.acked(writes), m.reached(2 * writes)]))
    expect(ada.envelopes()).toEqual(bob.envelopes())
    const read = await ada.read()
    expect(read.filter((line) => line.startsWith('bob'))).toEqual(Array.from({ length: writes }, (_, i) => `bob ${i}`))
    expect(new Set(read).size).toBe(2 * writes)
    using late = member(url, docId)
    const welcome = await late.welcome()
    await late.reached(2 * writes)
    expect(late.envelopes()).toEqual(ada.envelopes())
    expect(welcome.head).toBe(2 * writes)
    expect(welcome.chain).toEqual(chainOver(docId, ada.envelopes()))
  })

  test('E-4 E-20 who comes back with what it has gets the rest alone; who has another log gets everything', async () => {
    const docId = fresh()
    using ada = member(url, docId)
    await ada.welcome()
    for (const line of ['one', 'two', 'three']) await ada.write(line)
    await ada.reached(3)
    using first = member(url, docId)
    const { incarnation } = await first.welcome()
    await first.reached(3)
    const all = first.envelopes()
    const place = { incarnation, seq: 2, chain: chainOver(docId, all.slice(0, 2)) }
    using back = member(url, docId, { place })
    expect(await back.welcome()).toMatchObject({ resumed: true, from: 2, head: 3 })
    await back.reached(3)
    expect([...back.log.keys()]).toEqual([3])
    const others = [
      { ...place, chain: chainOver(docId, [all[1] as Uint8Array, all[0] as Uint8Array]) },
      { ...place, seq: 9 },
      { ...place, incarnation: incarnation.map((byte) => byte ^ 1) },
    ]
    for (const other of others) {
      using stranger = member(url, docId, { place: other })
      expect(await stranger.welcome()).toMatchObject({ resumed: false, from: 0 })
      await stranger.reached(3)
      expect(stranger.envelopes()).toEqual(all)
    }
    ada.socket.send(helloFrame({ ...place, seq: 1, chain: chainOver(docId, all.slice(0, 1)) }, [], false))
    expect(await ada.welcome()).toMatchObject({ resumed: true, from: 1 })
  })

  test('E-8 an envelope that is sent again is stored once, whoever sends it, whenever; other bytes under its number are refused', async () => {
    const docId = fresh()
    using ada = member(url, docId)
    await ada.welcome()
    const { envelope } = await ada.write('once')
    await ada.acked(1)
    using again = member(url, docId)
    await again.welcome()
    // Twice at once on a new socket, and twice before the first one is committed.
    for (let i = 0; i < 2; i++) again.append(envelope)
    const next = await ada.sender.seal(envelopeKind.update, bytes('twice'))
    for (let i = 0; i < 2; i++) again.append(next)
    await again.acked(4)
    expect(again.all('ack').map(({ seq }) => seq)).toContain(2)
    const forged = envelope.slice()
    forged[forged.length - 1]! ^= 1
    again.append(forged)
    expect(await again.next('nack')).toMatchObject({ cseq: 5, code: 422 })
    await ada.reached(2)
    expect(await ada.read()).toEqual(['once', 'twice'])
  })

  test('E-8 E-22 what is no envelope of the log is given back; what is no frame closes the socket', async () => {
    const docId = fresh()
    using ada = member(url, docId)
    await ada.welcome()
    const good = await ada.sender.seal(envelopeKind.update, bytes('x'))
    const changed = (at: number, value: number) => good.map((byte, i) => (i === at ? value : byte))
    const bad = [
      new Uint8Array(),
      good.slice(0, 40),
      changed(0, 0),
      changed(2, 2),
      changed(2, 3),
      changed(2, 4),
      changed(2, 9),
      changed(3, 128),
      changed(4, 255),
      changed(24, 255),
    ]
    for (const envelope of bad) ada.append(envelope)
    for (let i = 0; i < bad.length; i++) expect(await ada.next('nack')).toMatchObject({ code: 422, cseq: i + 1 })
    ada.append(new Uint8Array(1024 * 1024 + 1).fill(0x55))
    expect(await ada.next('nack')).toMatchObject({ code: 413 })
    const cseq = ada.append(good)
    await ada.acked(cseq)
    for (const frame of [[0x99], [1], [2, 1], [4, 9, 1], [5, 1], [7, 1], [8], [5, 1, 1, 1]]) {
      using hostile = member(url, docId)
      await hostile.welcome()
      hostile.send(Uint8Array.from(frame))
      if (frame[0] === 2) expect((await hostile.next('nack')).code).toBe(422)
      else expect((await hostile.isClosed).code).toBe(4422)
    }
    using impatient = member(url, docId, { silent: true })
    await impatient.isOpen
    impatient.append(good)
    expect((await impatient.isClosed).code).toBe(4422)
  })

  test('R-14 the first write decides what a document is; clients of the other kind are told to stop', async () => {
    const sealed = fresh()
    using ada = member(url, sealed)
    using early = connect(url, sealed)
    await Promise.all([ada.welcome(), early.synced()])
    await ada.write('mine')
    await ada.acked(1)
    await early.closed()
    expect(early.closes[0]?.code).toBe(4409)
    using late = connect(url, sealed)
    await late.closed()
    expect(late.closes[0]?.code).toBe(4409)

    const open = fresh()
    using eve = member(url, open)
    await eve.welcome()
    using bob = connect(url, open)
    await bob.synced()
    bob.doc.getText('t').insert(0, 'ours')
    expect((await eve.isClosed).code).toBe(4409)
    using again = member(url, open)
    expect((await again.isClosed).code).toBe(4409)
    expect(bob.closes).toEqual([])
  })

  test('R-14 of two kinds of clients that write at the same moment one stays', async () => {
    for (let round = 0; round < 5; round++) {
      const docId = fresh()
      using ada = member(url, docId)
      using bob = connect(url, docId)
      await Promise.all([ada.welcome(), bob.synced()])
      const envelope = await ada.sender.seal(envelopeKind.update, bytes('mine'))
      bob.doc.getText('t').insert(0, 'ours')
      ada.append(envelope)
      await until(() => ada.closing !== undefined || bob.closes.length > 0, 'decided')
      await Bun.sleep(50)
      expect([ada.closing?.code, bob.closes[0]?.code].filter((code) => code === 4409).length).toBe(1)
      using after = member(url, docId)
      if (ada.closing) expect((await after.isClosed).code).toBe(4409)
      else expect((await after.welcome()).head).toBe(1)
    }
  })

  test('E-10 what is ephemeral comes to the others and to nobody later, and who is there is known', async () => {
    const docId = fresh()
    using ada = member(url, docId)
    using bob = member(url, docId)
    const mine = await ada.welcome()
    await bob.welcome()
    await until(() => bob.all('roster').length > 0 && ada.all('roster').length > 0, 'there')
    await Bun.sleep(150)
    const cursor = await sealer(docId).seal(envelopeKind.ephemeral, bytes('cursor at 7'))
    ada.send(ephemeralFrame(cursor))
    expect(await bob.next('ephemeral')).toMatchObject({ connection: mine.connection })
    expect(ada.all('ephemeral')).toEqual([])
    const joined = bob.all('roster').flatMap(({ entries }) => entries)
    expect(joined).toContainEqual({ joined: true, connection: mine.connection, principal: '', access: 'write' })
    ada.socket.close()
    await until(
      () => bob.all('roster').some(({ entries }) => entries.some((e) => !e.joined && e.connection === mine.connection)),
      'told who left',
    )
    using late = member(url, docId)
    expect((await late.welcome()).head).toBe(0)
    await Bun.sleep(100)
    expect(late.all('ephemeral')).toEqual([])
  })

  test('E-11 the first key parameters stay, and everybody is told', async () => {
    const docId = fresh()
    using ada = member(url, docId)
    using bob = member(url, docId)
    using open = connect(url, docId)
    expect((await ada.welcome()).keyParams).toBeUndefined()
    await Promise.all([bob.welcome(), open.synced()])
    ada.send(keyParamsFrame(bytes('salt of ada')) as Uint8Array<ArrayBuffer>)
    expect((await bob.next('key-params')).params).toEqual(bytes('salt of ada'))
    await ada.next('key-params')
    await open.closed()
    expect(open.closes[0]?.code).toBe(4409)
    bob.send(keyParamsFrame(bytes('salt of bob')) as Uint8Array<ArrayBuffer>)
    expect((await bob.next('key-params')).params).toEqual(bytes('salt of ada'))
    using late = member(url, docId)
    expect((await late.welcome()).keyParams).toEqual(bytes('salt of ada'))
    using plain = connect(url, docId)
    await plain.closed()
    expect(plain.closes[0]?.code).toBe(4409)
    const raced = fresh()
    const racers = Array.from({ length: 4 }, () => member(url, raced))
    await Promise.all(racers.map((racer) => racer.welcome()))
    racers.forEach((racer, i) => {
      racer.send(keyParamsFrame(bytes(`salt ${i}`)) as Uint8Array<ArrayBuffer>)
    })
    const told = await Promise.all(racers.map((racer) => racer.next('key-params')))
    expect(new Set(told.map(({ params }) => Buffer.from(params).toString())).size).toBe(1)
    for (const racer of racers) racer[Symbol.dispose]()
  })

  test('E-12 FETCH gives any part of the log, and says where it ends', async () => {
    const docId = fresh()
    using ada = member(url, docId)
    await ada.welcome()
    for (let i = 0; i < 20; i++) await ada.write(`line ${i}`)
    await ada.reached(20)
    using bob = member(url, docId)
    await bob.welcome()
    await bob.reached(20)
    bob.heard.length = 0
    bob.send(Uint8Array.from([5, 5, 9]))
    await until(() => bob.all('frames').some(({ frames }) => frames.length === 0), 'the end')
    const part = bob.all('frames').flatMap(({ frames }) => frames.map(({ envelope }) => envelope))
    expect(part).toEqual(ada.envelopes().slice(4, 9))
    expect(bob.all('frames').at(-1)).toMatchObject({ first: 10, frames: [] })
  })

  test('E-7 Yjs and Loro are carried alike: the server does not know the difference', async () => {
    const docId = fresh()
    using ada = member(url, docId)
    await ada.welcome()
    const yjs = new Y.Doc()
    yjs.getText('t').insert(0, 'made with Yjs')
    const loro = new LoroDoc()
    loro.getText('t').insert(0, 'made with Loro')
    const tagged = (tag: number, content: Uint8Array) => new Uint8Array([tag, ...content])
    ada.append(await ada.sender.seal(envelopeKind.update, tagged(1, Y.encodeStateAsUpdate(yjs))))
    ada.append(await ada.sender.seal(envelopeKind.update, tagged(2, loro.export({ mode: 'update' }))))
    await ada.acked(2)
    using bob = member(url, docId)
    await bob.welcome()
    await bob.reached(2)
    const [first, second] = (await opened(docId, bob.envelopes())) as [Uint8Array, Uint8Array]
    const copy = new Y.Doc()
    Y.applyUpdate(copy, first.slice(1))
    expect(copy.getText('t').toString()).toBe('made with Yjs')
    const other = new LoroDoc()
    other.import(second.slice(1))
    expect(other.getText('t').toString()).toBe('made with Loro')
  })

  test('E-13 a client that does not read for a while misses nothing, and costs the others nothing', async () => {
    const docId = fresh()
    using ada = member(url, docId)
    await ada.welcome()
    const filler = crypto.getRandomValues(new Uint8Array(60_000))
    const fill = async (n: number) => {
      let cseq = 0
      for (let i = 0; i < n; i++) {
        cseq = ada.append(await ada.sender.seal(envelopeKind.update, filler))
        if (i % 10 === 9) await ada.acked(cseq)
      }
      await ada.acked(cseq)
    }
    await fill(200)
    const slow = new Ws(`${url}/${docId}`, ['usher.encrypted.v1'])
    const sizes = new Map<number, number>()
    let next = 1
    slow.on('message', (data: Buffer) => {
      const frame = decodeServerFrame(new Uint8Array(data))
      if (frame.type !== 'frames') return
      expect(frame.first).toBeLessThanOrEqual(next)
      for (const [i, { envelope }] of frame.frames.entries()) sizes.set(frame.first + i, envelope.length)
      next = frame.first + frame.frames.length
    })
    await new Promise((resolve) => slow.once('open', resolve))
    slow.send(helloFrame(undefined, [], false))
    slow.pause()
    await fill(60)
    await Bun.sleep(200)
    slow.resume()
    await until(() => next === 261, 'the whole log')
    expect(sizes.size).toBe(260)
    slow.close()
  })
})
