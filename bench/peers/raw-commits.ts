/**
 * The statement that a flush of many rooms is, and nothing else: on one connection, one after the other, it advances
 * the heads of so many rooms and inserts a segment into each. Prints frames a second.
 */
import { randomBytes } from 'node:crypto'
import { SQL } from 'bun'

const { path, rooms, frames, seconds } = (await Bun.stdin.json()) as {
  path: string
  rooms: number
  frames: number
  seconds: number
}
const sql = new SQL({ adapter: 'postgres', path, username: 'usher', database: 'postgres', max: 1 })
await sql.unsafe(`
  drop table if exists raw_segments, raw_rooms;
  create table raw_rooms (id bigint primary key, head bigint not null) with (fillfactor = 50);
  create table raw_segments (room_id bigint, last_seq bigint, payload bytea not null, primary key (room_id, last_seq));
  insert into raw_rooms select n, 0 from generate_series(1, ${rooms}) n`)
const perRoom = Math.max(1, Math.round(frames / rooms))
const segment = perRoom * 70
const ids = Array.from({ length: rooms }, (_, i) => i + 1).join()
const payload = randomBytes(rooms * segment)
let commits = 0
const startedAt = performance.now()
while (performance.now() - startedAt < seconds * 1000) {
  await sql`
    with wanted as (select id, n from unnest(string_to_array(${ids}, ',')::bigint[]) with ordinality as t (id, n)),
    locked as (select r.id from raw_rooms r join wanted on wanted.id = r.id order by r.id for update of r),
    heads as (update raw_rooms r set head = head + ${perRoom}::int from locked where r.id = locked.id returning r.id, r.head)
    insert into raw_segments
    select heads.id, heads.head, substring(${payload}::bytea from ((wanted.n - 1) * ${segment}::int + 1)::int for ${segment}::int)
    from heads join wanted on wanted.id = heads.id`
  commits++
}
const took = (performance.now() - startedAt) / 1000
await sql.unsafe('drop table raw_segments, raw_rooms')
console.log(JSON.stringify({ perSecond: (commits * perRoom * rooms) / took }))
process.exit(0)
