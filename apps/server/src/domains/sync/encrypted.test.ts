import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import { randomBase62 } from '../../kernel/ids.ts'
import { testInstance, testServer } from '../../testing/server.ts'
import { advanceEpoch } from './advance-epoch.ts'
import { type Access, Connection, type Socket } from './connection.ts'
import { SyncEngine } from './engine.ts'
import { extendChain, startChain } from './envelope.ts'
import { FrameReader, varUint } from './protocol.ts'

/** An envelope without a secret in it: what is inside is the clients' business. */
function envelope(session: number, counter: number, { kind = 1, epoch = 0, fill = session } = {}): Uint8Array {
  const bytes = new Uint8Array(32 + 16 + 8).fill(fill)
  bytes.set([0x55, 0x31, kind, 0, 0, 0, 0, epoch])
  bytes.fill(session, 8, 24)
  new DataView(bytes.buffer).setBigUint64(24, BigInt(counter))
  return bytes
}

/** A node: an engine of its own, and sockets that only write down what they are given. */
async function node(instanceId: string) {
  const { runtime } = await testServer()
  const { database, log } = runtime
  const engine = new SyncEngine({ sql: database.systemSql, connect: database.connectSystem, log, lanes: 1 })
  const topics = new Map<string, Set<(frame: Uint8Array) => void>>()
  engine.publish = (topic, frame) => {
    for (const send of topics.get(topic) ?? []) send(frame)
  }
  const join = async (docId: string, { access = 'write' as Access, userId = 'user_a' } = {}) => {
    const log: Uint8Array[] = []
    const acks: number[][] = []
    const nacks: number[][] = []
    const epochs: number[] = []
    let closed: number | undefined
    const send = (data: Uint8Array | string) => {
      if (typeof data === 'string') return 0
      const reader = new FrameReader(data.subarray(1))
      if (data[0] === 0x82) {
        let seq = reader.uint()
        for (let left = reader.uint(); left > 0; left--) {
          reader.uint()
          reader.uint()
          log[seq++] = reader.block().slice()
        }
      } else if (data[0] === 0x83) acks.push([reader.uint(), reader.uint()])
      else if (data[0] === 0x84) nacks.push([reader.uint(), reader.uint()])
      else if (data[0] === 0x89) epochs.push(reader.uint())
      return data.length
    }
    const socket: Socket = {
      readyState: WebSocket.OPEN,
      send,
      close: (code) => {
        closed = code
      },
      terminate: () => {},
      subscribe: (topic) => topics.set(topic, (topics.get(topic) ?? new Set()).add(send)),
      unsubscribe: (topic) => topics.get(topic)?.delete(send),
      publish: (topic, bytes) => {
        for (const other of topics.get(topic) ?? []) if (other !== send) other(bytes)
        return bytes.length
      },
      cork: (callback) => callback(),
      getBufferedAmount: () => 0,
      pause: () => {},
      resume: () => {},
    }
    const principal = {
      instanceId,
      kind: 'session' as const,
      userId,
      sessionId: undefined,
      organizationId: undefined,
      permissionVersion: undefined,
    }
    const limits = { ...engine.limits, messagesBurst: 1e6, bytesBurst: 1e9 }
    const connection = new Connection(principal, docId, { access, granted: access }, limits, performance.now())
    connection.subprotocol = 'usher.encrypted.v1'
    engine.attach(connection, socket)
    const hello = Uint8Array.from([1, 1, ...new Uint8Array(16), 0, ...new Uint8Array(32), 0, 0])
    engine.receive(connection, hello)
    await until(() => connection.subscribed || closed !== undefined)
    let cseq = 0
    return {
      connection,
      acks,
      nacks,
      epochs,
      get log() {
        return log.slice(1)
      },
      get closed() {
        return closed
      },
      say: (bytes: Uint8Array) => {
        engine.receive(connection, Uint8Array.from([2, ...varUint(++cseq), ...bytes]))
        return cseq
      },
      answered: (n: number) => until(() => (acks.at(-1)?.[0] ?? 0) >= n || nacks.some(([c]) => c === n)),
    }
  }
  return {
    engine,
    sql: database.systemSql,
    join,
    look: (docId: string) => Promise.all(engine.findRooms(instanceId, docId).map((room) => engine.catchUp(room))),
    [Symbol.asyncDispose]: () => engine.stop(),
  }
}

async function until(condition: () => boolean) {
  for (let i = 0; i < 1000 && !condition(); i++) await Bun.sleep(5)
  expect(condition()).toBe(true)
}

test('E-8 two envelopes under one number, through two nodes: one is stored, the other given back, and the log is whole', async () => {
  const t = await testInstance()
  await using a = await node(t.ctx().instance.id)
  await using b = await node(t.ctx().instance.id)
  for (let i = 0; i < 5; i++) {
    const docId = `forked-${randomBase62(6)}`
    const [ada, bob] = [await a.join(docId), await b.join(docId, { userId: 'user_b' })]
    const first = [ada.say(envelope(9, 0, { fill: 1 })), bob.say(envelope(9, 0, { fill: 2 }))]
    await ada.answered(first[0] as number)
    await bob.answered(first[1] as number)
    expect([...ada.nacks, ...bob.nacks].length).toBe(1)
    const next = [ada.say(envelope(1, 0)), bob.say(envelope(2, 0))]
    await ada.answered(next[0] as number)
    await bob.answered(next[1] as number)
    await Promise.all([a.look(docId), b.look(docId)])
    expect([ada.closed, bob.closed]).toEqual([undefined, undefined])
    expect(ada.log.length).toBe(3)
    expect(ada.log).toEqual(bob.log)
    const damaged = [a, b].flatMap(({ engine }) => engine.findRooms(t.ctx().instance.id, docId).map((r) => r.damaged))
    expect(damaged).toEqual([false, false])
    expect(ada.connection.uncommittedFrames + bob.connection.uncommittedFrames).toBe(0)
  }
})

test('E-4 E-8 two nodes that write one log at once have one order and one chain, and store what both were sent once', async () => {
  const t = await testInstance()
  await using a = await node(t.ctx().instance.id)
  await using b = await node(t.ctx().instance.id)
  const docId = `hot-${randomBase62(6)}`
  const [ada, bob] = [await a.join(docId), await b.join(docId, { userId: 'user_b' })]
  let last = [0, 0]
  for (let i = 0; i < 60; i++) {
    // Every third one reaches both nodes: its author lost one connection and did not hear the answer.
    const shared = envelope(3, i)
    last = [ada.say(i % 3 === 0 ? shared : envelope(1, i)), bob.say(i % 3 === 0 ? shared : envelope(2, i))]
    if (i % 5 === 0) await Bun.sleep(Math.random() * 4)
  }
  await ada.answered(last[0] as number)
  await bob.answered(last[1] as number)
  await Promise.all([a.look(docId), b.look(docId)])
  expect(ada.log.length).toBe(100)
  expect(ada.log).toEqual(bob.log)
  expect(new Set(ada.log.map((bytes) => Buffer.from(bytes).toString('hex'))).size).toBe(100)
  expect([...ada.nacks, ...bob.nacks]).toEqual([])
  const chain = ada.log.reduce((sofar, bytes, i) => extendChain(sofar, i + 1, bytes), startChain(docId))
  const [row] = await a.sql`select head::float8 as head, chain from sync_rooms where key = ${docId}`
  expect(row.head).toBe(100)
  expect(Buffer.compare(row.chain, chain)).toBe(0)
})

test('E-9 of two rotations at once one wins; what was sealed under the old key is given back from then on', async () => {
  const t = await testInstance()
  await using a = await node(t.ctx().instance.id)
  await using b = await node(t.ctx().instance.id)
  const docId = `turns-${randomBase62(6)}`
  const [ada, bob] = [await a.join(docId), await b.join(docId, { userId: 'user_b' })]
  ada.say(envelope(1, 0))
  await ada.answered(1)
  await b.look(docId)
  const rotate = (session: number, from: number) =>
    transaction(t.ctx(), (tx) =>
      advanceEpoch(tx, { docId, from, keyRecord: envelope(session, 0, { kind: 4, epoch: from }) }),
    )
  const results = await Promise.allSettled([rotate(7, 0), rotate(8, 0)])
  expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  for (const result of results) {
    if (result.status === 'fulfilled') expect(result.value).toEqual({ epoch: 1, seq: 2 })
    else expect(result.reason).toMatchObject({ code: 'conflict' })
  }
  // Neither node has heard of it: the append itself finds out.
  const late = [ada.say(envelope(1, 1)), bob.say(envelope(2, 0))]
  await ada.answered(late[0] as number)
  await bob.answered(late[1] as number)
  expect([ada.nacks, bob.nacks]).toEqual([[[2, 409]], [[1, 409]]])
  expect([ada.epochs, bob.epochs]).toEqual([[1], [1]])
  ada.say(envelope(4, 0, { epoch: 1 }))
  ada.say(envelope(5, 0, { epoch: 2 }))
  await ada.answered(4)
  await b.look(docId)
  expect(ada.nacks.at(-1)).toEqual([4, 409])
  expect(ada.log).toEqual(bob.log)
  expect(ada.log.map((bytes) => [bytes[2], bytes[7]])).toEqual([
    [1, 0],
    [4, 0],
    [1, 1],
  ])
  const chain = ada.log.reduce((sofar, bytes, i) => extendChain(sofar, i + 1, bytes), startChain(docId))
  const [row] = await a.sql`select chain, key_epoch from sync_rooms where key = ${docId}`
  expect(Buffer.compare(row.chain, chain)).toBe(0)
  expect(row.key_epoch).toBe(1)
})

test('E-9 a writer and a rotation at the same moment leave no envelope of the old epoch behind the record', async () => {
  const t = await testInstance()
  await using a = await node(t.ctx().instance.id)
  for (let round = 0; round < 6; round++) {
    const docId = `race-${randomBase62(6)}`
    const ada = await a.join(docId)
    ada.say(envelope(1, 0))
    await ada.answered(1)
    let last = 0
    const rotation = Bun.sleep(round).then(() =>
      transaction(t.ctx(), (tx) => advanceEpoch(tx, { docId, from: 0, keyRecord: envelope(7, 0, { kind: 4 }) })),
    )
    for (let i = 1; i < 30; i++) {
      last = ada.say(envelope(1, i))
      await Bun.sleep(0)
    }
    const { seq } = await rotation
    await ada.answered(last)
    await a.look(docId)
    const { log } = ada
    expect(log.slice(seq).length).toBe(0)
    expect(log[seq - 1]?.[2]).toBe(4)
    // Each was either stored before the record or given back, and nothing of them was lost on the way.
    expect(log.length - 1 + ada.nacks.length).toBe(30)
  }
})

test('E-9 a document that nobody has written to begins with a rotation, or with the first epoch and no other', async () => {
  const t = await testInstance()
  await using a = await node(t.ctx().instance.id)
  const docId = `new-${randomBase62(6)}`
  const ada = await a.join(docId)
  const record = envelope(7, 0, { kind: 4, epoch: 2 })
  expect(await transaction(t.ctx(), (tx) => advanceEpoch(tx, { docId, from: 2, keyRecord: record }))).toEqual({
    epoch: 3,
    seq: 1,
  })
  await a.look(docId)
  expect(ada.log).toEqual([record])
  expect(ada.epochs).toEqual([3])
  for (const wrong of [envelope(7, 1, { kind: 1, epoch: 3 }), envelope(7, 1, { kind: 4, epoch: 1 }), new Uint8Array(9)])
    await expect(
      transaction(t.ctx(), (tx) => advanceEpoch(tx, { docId, from: 3, keyRecord: wrong })),
    ).rejects.toMatchObject({ code: 'form_param_value_invalid' })
  const other = `later-${randomBase62(6)}`
  const bob = await a.join(other)
  bob.say(envelope(1, 0, { epoch: 5 }))
  await bob.answered(1)
  bob.say(envelope(1, 1))
  await bob.answered(2)
  bob.say(envelope(1, 2, { epoch: 4 }))
  await bob.answered(3)
  expect([bob.log.length, bob.nacks]).toEqual([
    1,
    [
      [1, 409],
      [3, 409],
    ],
  ])
})

test('E-9 a plaintext document has no epochs, and another instance’s document is not found', async () => {
  const [t, other] = [await testInstance(), await testInstance()]
  await using a = await node(t.ctx().instance.id)
  const docId = `mine-${randomBase62(6)}`
  const ada = await a.join(docId)
  ada.say(envelope(1, 0))
  await ada.answered(1)
  const keyRecord = envelope(7, 0, { kind: 4 })
  // The same id in another instance is another document.
  expect(await transaction(other.ctx(), (tx) => advanceEpoch(tx, { docId, from: 0, keyRecord }))).toMatchObject({
    seq: 1,
  })
  await a.look(docId)
  expect([ada.log.length, ada.epochs]).toEqual([1, []])
  await a.sql`update sync_rooms set kind = 'yjs' where key = ${docId} and instance_id = ${t.ctx().instance.id}`
  await expect(transaction(t.ctx(), (tx) => advanceEpoch(tx, { docId, from: 0, keyRecord }))).rejects.toMatchObject({
    code: 'conflict',
  })
})

test('R-15 a reader appends nothing, and neither does a writer from the frame on with which the right ends', async () => {
  const t = await testInstance()
  await using a = await node(t.ctx().instance.id)
  const docId = `read-${randomBase62(6)}`
  const [reader, writer] = [await a.join(docId, { access: 'read' }), await a.join(docId)]
  reader.say(envelope(1, 0))
  writer.say(envelope(2, 0))
  await writer.answered(1)
  a.engine.setAccess(writer.connection, 'read')
  writer.say(envelope(2, 1))
  expect([reader.nacks, writer.nacks]).toEqual([[[1, 403]], [[2, 403]]])
  expect(reader.log).toEqual([envelope(2, 0)])
})

test('E-4 a log whose chain does not fit is served up to nothing more than it is, and not written to', async () => {
  const t = await testInstance()
  const docId = `broken-${randomBase62(6)}`
  await using a = await node(t.ctx().instance.id)
  const ada = await a.join(docId)
  for (let i = 0; i < 3; i++) await ada.answered(ada.say(envelope(1, i)))
  await a.sql`update sync_rooms set chain = sha256('another') where key = ${docId}`
  await using b = await node(t.ctx().instance.id)
  expect((await b.join(docId)).closed).toBe(4503)
  const reader = await b.join(docId, { access: 'read' })
  expect(reader.log.length).toBe(3)
  // The node that has it in memory finds out as soon as it looks.
  await a.look(docId)
  expect(ada.closed).toBe(4503)
})
