import { expect, test } from 'bun:test'
import { randomBase62 } from '../../kernel/ids.ts'
import { testInstance } from '../../testing/server.ts'
import { type Append, appendMessages, beginHistory, ensureChannels, findChannel, readAfter } from './store.ts'

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
  return {
    sql,
    instanceId,
    name,
    channel,
    message,
    epoch: async () => (await findChannel(sql, instanceId, name))?.epoch,
  }
}

test('C-3 another history of the database is another epoch of each channel, once however many nodes notice it', async () => {
  const { sql, channel, epoch } = await written()
  const line = `test/${randomBase62(8)}`
  await Promise.all([beginHistory(sql, line), beginHistory(sql, line), beginHistory(sql, line)])
  const next = await epoch()
  expect(next).not.toBe(channel.epoch)
  await beginHistory(sql, line)
  expect(await epoch()).toBe(next as string)
  await beginHistory(sql, `${line} too`)
  expect(await epoch()).not.toBe(next)
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
  expect((await readAfter(sql, other.channel.id, 0, 10)).map(({ payload }) => payload)).toEqual(['for the other'])
  expect(await readAfter(sql, channel.id, 0, 10)).toEqual([])
})
