import type { SQL } from 'bun'
import { channelLimits } from './limits.ts'
import type { Message, Sender } from './message.ts'

export type StoredChannel = { id: number; epoch: string; head: number }

/** @returns undefined for a channel that nothing was ever written to */
export async function findChannel(sql: SQL, instanceId: string, name: string): Promise<StoredChannel | undefined> {
  const [row] = await sql`
    select id::float8 as id, epoch, head::float8 as head from channels where instance_id = ${instanceId} and name = ${name}`
  return row
}

/** Where channels stand now, of those that exist. */
export async function findHeads(
  sql: SQL,
  names: readonly { instanceId: string; name: string }[],
): Promise<(StoredChannel & { instanceId: string; name: string })[]> {
  return await sql`
    select c.instance_id as "instanceId", c.name, c.id::float8 as id, c.epoch, c.head::float8 as head
    from json_to_recordset(${JSON.stringify(names)}::text::json) as t("instanceId" text, name text)
    join channels c on c.instance_id = t."instanceId" and c.name = t.name`
}

/** Makes channels that are about to be written to; those that exist stay as they are. */
export async function ensureChannels(
  sql: SQL,
  names: readonly { instanceId: string; name: string }[],
): Promise<(StoredChannel & { instanceId: string; name: string })[]> {
  await sql`
    insert into channels (instance_id, name)
    select t."instanceId", t.name from json_to_recordset(${JSON.stringify(names)}::text::json) as t("instanceId" text, name text)
    order by 1, 2 on conflict (instance_id, name) do nothing`
  return findHeads(sql, names)
}

type Row = { seq: number; name: string; payload: string; user_id: string | null; connection: string | null; at: number }

const messageOf = ({ seq, name, payload, user_id, connection, at }: Row): Message => {
  const from: Sender = { user: user_id, conn: connection }
  return { offset: seq, name, payload, from, at }
}

/** Which row, and whose it must be: a database that lost a row may have given its id to another channel. */
type Place = { id: number; instanceId: string; name: string }

/** Messages after an offset, oldest first: as many as fit into a page, and one at least. */
export async function readAfter(
  sql: SQL,
  { id, instanceId, name }: Place,
  after: number,
  limit: number,
): Promise<Message[]> {
  const rows: Row[] = await sql`
    select seq::float8 as seq, name, payload, user_id, connection, round(extract(epoch from at) * 1000)::float8 as at
    from (
      select *, sum(octet_length(payload)) over (order by seq) - octet_length(payload) as before from (
        select * from channel_messages where channel_id = (
          select id from channels where id = ${id} and instance_id = ${instanceId} and name = ${name}) and seq > ${after} order by seq limit ${limit}) page
    ) sized where before < ${channelLimits.pageBytes} order by seq`
  return rows.map(messageOf)
}

/** Messages before an offset (or the newest), oldest first: as many as fit into a page, and one at least. */
export async function readBefore(
  sql: SQL,
  { id, instanceId, name }: Place,
  before: number | undefined,
  limit: number,
): Promise<Message[]> {
  const rows: Row[] = await sql`
    select seq::float8 as seq, name, payload, user_id, connection, round(extract(epoch from at) * 1000)::float8 as at
    from (
      select *, sum(octet_length(payload)) over (order by seq desc) - octet_length(payload) as behind from (
        select * from channel_messages where channel_id = (
          select id from channels where id = ${id} and instance_id = ${instanceId} and name = ${name}) and seq < ${before ?? Number.MAX_SAFE_INTEGER}
        order by seq desc limit ${limit}) page
    ) sized where behind < ${channelLimits.pageBytes} order by seq desc`
  return rows.map(messageOf).reverse()
}

export type Append = {
  channelId: number
  /** Whose row it must be, as of a {@link Place}. */
  instanceId: string
  channel: string
  name: string
  payload: string
  from: Sender
  key: string
  digest: string
  at: number
  /** Milliseconds since 1970; null: never. */
  expiresAt: number | null
}

/** `isRepeated`: it was there already. `isSame`: and with the same content. */
export type Appended = { epoch: string; offset: number; at: number; isRepeated: boolean; isSame: boolean }

/**
 * Appends messages in one statement: locks their channels in the order of their ids (no deadlock with another writer),
 * gives out offsets, inserts. A message whose key is known is not written again.
 *
 * @param appends no two with one channel and one key
 * @returns by place in `appends`; missing: the channel no longer exists
 * @throws a unique violation when another writer used the same key at the same moment; then nothing is written
 */
export async function appendMessages(sql: SQL, appends: readonly Append[]): Promise<(Appended | undefined)[]> {
  const input = appends.map(
    ({ channelId, instanceId, channel, name, payload, from, key, digest, at, expiresAt }, ord) => {
      return {
        ord,
        ch: channelId,
        inst: instanceId,
        channel,
        name,
        payload,
        usr: from.user,
        conn: from.conn,
        key,
        digest,
        at,
        exp: expiresAt,
      }
    },
  )
  const rows: { ord: number; epoch: string; seq: number; at: number; known: boolean; same: boolean }[] = await sql`
    with input as materialized (
      select * from json_to_recordset(${JSON.stringify(input)}::text::json) as t(
        ord int, ch bigint, inst text, channel text, name text, payload text, usr text, conn text, key text, digest text, at float8, exp float8)
    ), locked as materialized (
      select c.id, c.instance_id, c.name from channels c where c.id in (select ch from input) order by c.id for update of c
    ), own as materialized (
      select i.* from input i join locked l on l.id = i.ch and l.instance_id = i.inst and l.name = i.channel
    ), known as materialized (
      select i.ord, i.ch, m.seq, extract(epoch from m.at) * 1000 as at, m.digest = i.digest as same
      from own i join channel_messages m on m.channel_id = i.ch and m.key = i.key
    ), fresh as materialized (
      select i.*, row_number() over (partition by i.ch order by i.ord) as place
      from own i where i.ord not in (select ord from known)
    ), counts as materialized (
      select ch, count(*) as n from fresh group by ch
    ), moved as (
      update channels c set head = c.head + n.n, written_at = now() from counts n join locked l on l.id = n.ch
      where c.id = n.ch returning c.id, c.instance_id, c.epoch, c.head - n.n as base
    ), inserted as (
      insert into channel_messages (channel_id, seq, instance_id, name, payload, user_id, connection, key, digest, at, expires_at)
      select f.ch, m.base + f.place, m.instance_id, f.name, f.payload, f.usr, f.conn, f.key, f.digest,
        to_timestamp(f.at / 1000), to_timestamp(f.exp / 1000)
      from fresh f join moved m on m.id = f.ch
    )
    select f.ord, m.epoch, (m.base + f.place)::float8 as seq, f.at, false as known, true as same
    from fresh f join moved m on m.id = f.ch
    union all
    select k.ord, c.epoch, k.seq::float8, round(k.at)::float8, true, k.same from known k join channels c on c.id = k.ch`
  const results: (Appended | undefined)[] = appends.map(() => undefined)
  for (const { ord, epoch, seq, at, known, same } of rows)
    results[ord] = { epoch, offset: seq, at, isRepeated: known, isSame: same }
  return results
}

/**
 * What names the history that the database is on: it may lack the last messages of the one before, and gives their
 * offsets to others. Whoever sees it first writes it down.
 *
 * @param line as `readDatabaseLine` says it
 */
export async function findHistory(sql: SQL, line: string): Promise<string> {
  const newest = () => sql`select line, token::text as token from channel_histories order by n desc limit 1`
  const [known] = await newest()
  if (known?.line === line) return known.token
  await sql`insert into channel_histories (line) values (${line}) on conflict (line) do nothing`
  const [made] = await newest()
  return made.token
}
