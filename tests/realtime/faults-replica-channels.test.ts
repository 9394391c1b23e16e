import { expect, test } from 'bun:test'
import { postgresBin, startPostgres } from '../support/postgres.ts'
import { startPostgresProxy } from '../support/postgres-proxy.ts'
import { startUsher, temporaryDirectory } from '../support/usher.ts'
import { follow } from './behind-proxy.ts'
import { named, type Text } from './named.ts'
import { until } from './support.ts'

const ch = 'user:user_1:notifications'

/** A socket of the application's server, and what it is told in its channel. */
async function subscriber(url: string, token: string) {
  const socket = named(`${url.replace(/^http/, 'ws')}/realtime`, { token })
  await socket.opened
  let ids = 0
  const ask = async (frame: Text): Promise<Text> => {
    const id = ++ids
    socket.say({ ...frame, ch, id })
    await until(() => socket.texts.some((text) => text.id === id), `answered ${JSON.stringify(frame)}`, 20_000)
    return socket.texts.find((text) => text.id === id) as Text
  }
  return { ...socket, ask, heard: () => socket.texts.filter(({ t }) => t === 'msg').map(({ data }) => data) }
}

test.skipIf(!postgresBin)(
  'C-3 a replica that is promoted without the last messages gives their numbers out again, and nobody takes them for the same',
  async () => {
    const postgres = await startPostgres()
    const proxy = await startPostgresProxy(postgres.port)
    const held = { postgres, proxy }
    using data = temporaryDirectory()
    const usher = await startUsher({
      data: data.path,
      args: ['--port', '0'],
      env: { DATABASE_URL: postgres.url.replace(String(postgres.port), String(proxy.port)) },
    })
    const { url, secret_key: key } = usher.ready
    const replica = await follow(held)
    const stays = await subscriber(url, key)
    const { epoch } = await stays.ask({ t: 'sub' })
    expect(epoch).toBe('')
    const say = (data: string) => stays.ask({ t: 'pub', name: 'said', data })
    const first = await say('kept 1')
    await say('kept 2')
    await replica.holdBack()
    for (const data of ['lost 3', 'lost 4', 'lost 5']) expect(await say(data)).toMatchObject({ t: 'ack' })
    const before = { epoch: first.epoch, offset: 5 }
    await until(() => stays.heard().length === 5, 'heard')
    await replica.promote()

    const back = await subscriber(url, key)
    const ended = () => stays.texts.find(({ t }) => t === 'role')
    await until(() => ended() !== undefined, 'told that it is lost', 20_000)
    expect(ended()).toMatchObject({ ch, ended: true, code: 'lost' })
    const again = await stays.ask({ t: 'sub', since: before })
    expect(again).toMatchObject({ t: 'subbed', recovered: false, offset: 2 })
    expect(again.epoch).not.toBe(first.epoch)
    for (const data of ['new 3', 'new 4', 'new 5', 'new 6'])
      expect(await say(data)).toMatchObject({ t: 'ack', epoch: again.epoch })
    await until(() => stays.heard().length === 9, 'heard')
    expect(stays.heard().slice(5)).toEqual(['new 3', 'new 4', 'new 5', 'new 6'])
    // Somebody who was away meanwhile, and for whom the numbers would fit.
    expect(await back.ask({ t: 'sub', since: before })).toMatchObject({ recovered: false })
    expect(await back.ask({ t: 'history', limit: 10 })).toMatchObject({ t: 'history' })

    for (const socket of [stays, back]) socket.socket.close()
    await usher.stop()
    // Another start on the same history begins nothing anew.
    const later = await startUsher({
      data: data.path,
      args: ['--port', '0'],
      env: { DATABASE_URL: held.postgres.url },
    })
    const late = await subscriber(later.ready.url, key)
    expect(await late.ask({ t: 'sub', since: { epoch: again.epoch, offset: 4 } })).toMatchObject({ recovered: true })
    late.socket.close()
    await later.stop()
    await proxy[Symbol.asyncDispose]()
    await held.postgres[Symbol.asyncDispose]()
  },
  90_000,
)
