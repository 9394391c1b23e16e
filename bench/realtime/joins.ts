import { join } from 'node:path'
import type { JoinJob, JoinResult } from '../generators/realtime-join.ts'
import { lineReader, residentBytes, startGenerator, temporaryDirectory } from '../support/processes.ts'
import { atMost, type Benchmark, compare, type Row } from '../support/rows.ts'
import { Y } from '../support/yjs.ts'
import { updateMessage, varString } from '../support/yjs-updates.ts'
import { type Contender, startBareBun, startHocuspocus, startOurs, startYWebsocket } from './contenders.ts'
import { frame } from './dialects.ts'
import { atMostTimes } from './measures.ts'
import { scale } from './scale.ts'

/** Something that opens sockets as it is told. */
function joiner() {
  const generator = startGenerator(join(import.meta.dir, '../generators/realtime-join.ts'))
  const next = lineReader(generator)
  return {
    run: async (job: JoinJob): Promise<JoinResult> => {
      generator.child.stdin.write(`${JSON.stringify(job)}\n`)
      await generator.child.stdin.flush()
      return JSON.parse(await next()) as JoinResult
    },
    [Symbol.asyncDispose]: () => generator[Symbol.asyncDispose](),
  }
}
type Joiner = ReturnType<typeof joiner>

type Filling = {
  /** What puts the document into a room, of a thousand edits each. */
  updates: Uint8Array[]
  /** A socket that has so many bytes has the document. */
  bytes: number
}

/** A document as people make it: text typed in many places, or (from 2 MB on) records. */
function makeDocument(bytes: number): Filling {
  const doc = new Y.Doc()
  const updates: Uint8Array[] = []
  doc.on('update', (update: Uint8Array) => updates.push(update))
  const text = doc.getText('t')
  const records = doc.getMap('records')
  let made = 0
  for (let edit = 0; made < bytes; ) {
    doc.transact(() => {
      for (let i = 0; i < 1000 && made < bytes; i++, edit++) {
        if (bytes < 2e6) {
          text.insert((edit * 7919) % (text.length + 1), 'some words of a person ')
          made += 23
        } else {
          records.set(`record-${edit}`, { title: `Record ${edit}`, done: edit % 2 === 0, text: 'words '.repeat(12) })
          made += 130
        }
      }
    })
  }
  return { updates, bytes: Math.floor(Y.encodeStateAsUpdate(doc).length * 0.95) }
}

function framesOf({ updates }: Filling, one: Contender, room: string): string {
  const frames = updates.map((update) => {
    const message = updateMessage(update)
    return frame(one.dialect === 'hocuspocus' ? Buffer.concat([Buffer.from(varString(room)), message]) : message)
  })
  return Buffer.concat(frames).toString('base64')
}

/** Fills rooms, and leaves a socket in each: peers forget a room that nobody is in. */
async function fill(joins: Joiner, one: Contender, rooms: string[], filling: Filling) {
  await joins.run({
    port: one.port,
    dialect: one.dialect,
    joins: rooms.map((room) => ({ path: one.path(room), room, say: framesOf(filling, one, room) })),
    atOnce: 10,
    bytes: 0,
    keep: true,
  })
  // What was said last is stored by then, and folded.
  await Bun.sleep(filling.bytes > 2e6 ? 5000 : 1000)
}

const jobFor = (one: Contender, rooms: string[], count: number, atOnce: number, bytes: number): JoinJob => ({
  port: one.port,
  dialect: one.dialect,
  joins: Array.from({ length: count }, (_, i) => rooms[i % rooms.length] as string).map((room) => ({
    room,
    path: one.path(room),
  })),
  atOnce,
  bytes,
  keep: true,
})

export const storm: Benchmark = {
  name: 'realtime-storm',
  group: 'realtime',
  method:
    `${scale.size(5000, 100)} sockets return to ${scale.size(50, 5)} documents of 20 KB, ${scale.size(1000, 50)} at a time, and ask for everything; the time ends when the last has its document, the ` +
    'p99 is from a socket’s own first packet. One socket in each document keeps the peers from forgetting it.',
  run: async () => {
    const rooms = Array.from({ length: scale.size(50, 5) }, (_, i) => `storm-${i}`)
    const filling = makeDocument(20_000)
    const measure = async (start: () => Promise<Contender>) => {
      await using one = await start()
      await using joins = joiner()
      await fill(joins, one, rooms, filling)
      return await joins.run(jobFor(one, rooms, scale.size(5000, 100), scale.size(1000, 50), filling.bytes))
    }
    const ours = await measure(() => startOurs())
    const rows: Row[] = []
    for (const [name, start, time, tail] of [
      ['y-websocket 2.1', startYWebsocket, 0.2, 0.15],
      ['Hocuspocus 4.7', startHocuspocus, undefined, undefined],
    ] as const) {
      const theirs = await measure(start)
      rows.push(
        atMostTimes(
          `${scale.size(5000, 100)} sockets return, beside ${name}: time`,
          ours.seconds,
          theirs.seconds,
          time,
          's',
          2,
        ),
        atMostTimes(
          `${scale.size(5000, 100)} sockets return, beside ${name}: p99`,
          ours.p99,
          theirs.p99,
          tail,
          'ms',
          0,
        ),
      )
    }
    return { rows, notes: [] }
  },
}

export const opening: Benchmark = {
  name: 'realtime-open',
  group: 'realtime',
  method:
    'A document (1 MB of text, typed in 43,000 places; 20 MB of records), opened by a socket that has nothing, one after the other: warm (median of ten, others are in the room) and cold ' +
    '(the first socket in it after a restart of our server, which has opened another one, an empty one, before; PostgreSQL holds it; the peers have no cold opening that keeps anything, so ' +
    'theirs is the warm one). Memory is what the server grew by from its start to the last opening, by the length of the document.',
  run: async () => {
    const rows: Row[] = []
    for (const megabytes of scale.tiny ? [1] : [1, 20]) {
      const filling = makeDocument(megabytes * 1_000_000)
      const { bytes } = filling
      const measure = async (start: () => Promise<Contender>) => {
        await using one = await start()
        await using joins = joiner()
        const idle = residentBytes(one.pid)
        await fill(joins, one, ['large'], filling)
        const opened = await joins.run(jobFor(one, ['large'], 10, 1, bytes))
        return { ...opened, grown: residentBytes(one.pid) - idle }
      }
      using data = temporaryDirectory()
      const warm = await measure(() => startOurs({ data: data.path }))
      await using again = await startOurs({ data: data.path })
      await using joins = joiner()
      // Cold is the document, not the server's own code.
      await joins.run(jobFor(again, ['another'], 1, 1, 0))
      await Bun.sleep(500)
      const idle = residentBytes(again.pid)
      const cold = await joins.run(jobFor(again, ['large'], 1, 1, bytes))
      const grown = residentBytes(again.pid) - idle
      const peers = {
        'y-websocket 2.1': await measure(startYWebsocket),
        'Hocuspocus 4.7': await measure(startHocuspocus),
      }
      for (const [name, theirs] of Object.entries(peers))
        rows.push(
          atMostTimes(`opening ${megabytes} MB, warm, beside ${name}`, warm.p50, theirs.p50, 0.1, 'ms'),
          atMostTimes(`opening ${megabytes} MB, cold, beside ${name}, warm`, cold.p50, theirs.p50, 0.25, 'ms'),
          atMostTimes(
            `memory with ${megabytes} MB open, beside ${name}`,
            warm.grown / 1e6,
            theirs.grown / 1e6,
            undefined,
            'MB',
            0,
          ),
        )
      rows.push(atMost(`memory after opening ${megabytes} MB cold, by its length`, grown / bytes, 3, 'times', 1))
    }
    return { rows, notes: [] }
  },
}

export const admission: Benchmark = {
  name: 'realtime-sockets',
  group: 'realtime',
  method:
    'Sockets that open and stay, with a static token at ours: how many a second (fifty at a time), and the resident memory of the server ' +
    'process by their number, 5 s later. The benchmark `idle-sockets` has the same with a signed token for each document and user.',
  run: async () => {
    const token = 'a-static-token-of-the-benchmark!'
    const count = scale.size(4000, 200)
    const measure = async (start: () => Promise<Contender>, query = '') => {
      await using one = await start()
      await using joins = joiner()
      const rooms = Array.from({ length: count / 10 }, (_, i) => `idle-${i}`)
      const job = jobFor(one, rooms, count, 50, 0)
      job.joins = job.joins.map(({ path, room }) => ({ room, path: path + query }))
      const warmUp = count / 10
      await joins.run({ ...job, joins: job.joins.slice(0, warmUp) })
      await Bun.sleep(1000)
      const before = residentBytes(one.pid)
      const opened = await joins.run({ ...job, joins: job.joins.slice(warmUp) })
      await Bun.sleep(scale.size(5000, 500))
      const sockets = count - warmUp
      return { perSecond: sockets / opened.seconds, kilobytes: (residentBytes(one.pid) - before) / sockets / 1000 }
    }
    const ours = await measure(() => startOurs({ env: { USHER_SYNC_TOKEN: token } }), `?token=${token}`)
    const bare = await measure(startBareBun)
    const yWebsocket = await measure(startYWebsocket)
    const hocuspocus = await measure(startHocuspocus)
    return {
      rows: [
        compare('sockets opened, beside bare Bun', ours.perSecond, bare.perSecond, 0.6),
        atMost('memory of an idle socket', ours.kilobytes, 4, 'KB', 1),
        atMostTimes(
          'memory of an idle socket, beside y-websocket 2.1',
          ours.kilobytes,
          yWebsocket.kilobytes,
          0.35,
          'KB',
        ),
        atMostTimes(
          'memory of an idle socket, beside Hocuspocus 4.7',
          ours.kilobytes,
          hocuspocus.kilobytes,
          0.15,
          'KB',
        ),
      ],
      notes: [],
    }
  },
}
