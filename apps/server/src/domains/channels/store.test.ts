import { expect, test } from 'bun:test'
import { randomBase62 } from '../../kernel/ids.ts'
import { testInstance } from '../../testing/server.ts'
import { type Append, appendMessages, ensureChannels, findHistory, readAfter, readBefore } from './store.ts'

async function written() {
  const t = await testInstance()
  const { systemSql: sql } = t.server.runtime.database
  const instanceId = t.ctx().instance.id
  const name = `room:${randomBase62(8)}`
  const [channel] = await ensureChannels(sql, [{ instanceId, name }])
  if (!channel) throw new Error('no channel')
  const message = (payload: string): Append => ({
    channelId: channel.id,
    instanceId,
    channel: name,
    name: 'said',
    payload,
    from: { user: null, conn: null },
    key: `~${randomBase62(22)}`,
    digest: '',
    at: Date.now(),
    expiresAt: null,
  })
  return { sql, channel, message }
}

test('C-3 each history of the database has its own name, one for all nodes, and the newest holds', async () => {
  const { sql } = await written()
  const [before] = await sql`select max(n)::float8 as n from channel_histories`
  const line = `test/${randomBase62(8)}`
  try {
    const tokens = await Promise.all([findHistory(sql, line), findHistory(sql, line), findHistory(sql, line)])
    expect(new Set(tokens).size).toBe(1)
    expect(await findHistory(sql, line)).toBe(tokens[0] as string)
    const next = await findHistory(sql, `${line} too`)
    expect(next).not.toBe(tokens[0])
    // Whoever has not seen it yet does not bring back the one before.
    expect(await findHistory(sql, line)).toBe(next)
  } finally {
    await sql`delete from channel_histories where n > ${before.n}`
  }
})

test('C-3 an id that has become another channel’s takes no message of this one', async () => {
  const { sql, channel, message } = await written()
  const other = await written()
  const stale = { ...message('for one'), channelId: other.channel.id }
  const stored = await appendMessages(sql, [
    stale,
    other.message('for the other'),
    { ...stale, key: '~2', instanceId: 'x' },
  ])
  expect(stored.map((one) => one?.offset)).toEqual([undefined, 1, undefined])
  expect((await readAfter(sql, other.channel, 0, 10)).map(({ payload }) => payload)).toEqual(['for the other'])
  expect(await readAfter(sql, channel, 0, 10)).toEqual([])
  expect(await readAfter(sql, { ...channel, id: other.channel.id }, 0, 10)).toEqual([])
  expect(await readBefore(sql, { ...channel, id: other.channel.id }, undefined, 10)).toEqual([])
})
