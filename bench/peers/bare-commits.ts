/**
 * The least that a durable server can do in Bun: what arrives is handed to the room and kept; while the statement of
 * `raw-commits.ts` is under way the next one gathers; an author hears its frame when it is stored. Nothing is checked,
 * nobody is admitted, nothing can be read again.
 */
import { type ServerWebSocket, SQL } from 'bun'

type Socket = ServerWebSocket<string>

const sql = new SQL({
  adapter: 'postgres',
  path: process.env.POSTGRES,
  username: 'usher',
  database: 'postgres',
  max: 1,
})
await sql.unsafe(`
  drop table if exists bare_segments, bare_rooms;
  create table bare_rooms (id bigint primary key, head bigint not null) with (fillfactor = 50);
  create table bare_segments (room_id bigint, last_seq bigint, payload bytea not null, primary key (room_id, last_seq))`)
const rooms = new Map<string, number>()
let waiting: { socket: Socket; frame: Buffer }[] = []
let isFlushing = false

async function flush() {
  isFlushing = true
  while (waiting.length > 0) {
    const entries = waiting
    waiting = []
    const byRoom = new Map<number, Buffer[]>()
    for (const { socket, frame } of entries) {
      const id = rooms.get(socket.data) as number
      const frames = byRoom.get(id)
      if (frames) frames.push(frame)
      else byRoom.set(id, [frame])
    }
    const lists = [...byRoom.values()]
    const lengths = lists.map((frames) => frames.reduce((sum, { length }) => sum + length, 0))
    let at = 1
    const starts = lengths.map((length) => {
      at += length
      return at - length
    })
    const counts = lists.map(({ length }) => length)
    const list = (numbers: Iterable<number>) => `{${[...numbers].join()}}`
    await sql`
      with wanted as (
        select * from unnest(${list(byRoom.keys())}::text::bigint[], ${list(counts)}::text::int[],
          ${list(starts)}::text::int[], ${list(lengths)}::text::int[]) as t (id, n, start, length)),
      locked as (select r.id from bare_rooms r join wanted on wanted.id = r.id order by r.id for update of r),
      heads as (update bare_rooms r set head = head + n from locked join wanted on wanted.id = locked.id
        where r.id = locked.id returning r.id, r.head, start, length)
      insert into bare_segments select id, head, substring(${Buffer.concat(lists.flat())}::bytea from start for length) from heads`
    for (const { socket, frame } of entries) socket.cork(() => socket.send(frame))
  }
  isFlushing = false
}

Bun.serve({
  port: Number(process.env.PORT),
  hostname: '127.0.0.1',
  fetch: async (request, server) => {
    const room = new URL(request.url).pathname
    if (!rooms.has(room)) {
      rooms.set(room, rooms.size + 1)
      await sql`insert into bare_rooms values (${rooms.get(room) as number}, 0)`
    }
    return server.upgrade(request, { data: room }) ? undefined : new Response(null, { status: 400 })
  },
  websocket: {
    data: '' as string,
    open(socket) {
      socket.subscribe(socket.data)
    },
    message(socket, message) {
      // Nothing but updates: it answers no question about the document.
      if (typeof message === 'string' || message[0] !== 0 || message[1] !== 2) return
      socket.publish(socket.data, message)
      waiting.push({ socket, frame: message })
      if (!isFlushing && waiting.length === 1) setImmediate(flush)
    },
  },
})
