import { expect, test } from 'bun:test'
import { createSyncTokenForBackend } from '../../apps/server/src/domains/sync/index.ts'
import { testInstance } from '../../apps/server/src/testing/server.ts'
import { channels } from './channels-support.ts'
import { named, somebody, type Text } from './named.ts'
import { raw, startSyncServer, until } from './support.ts'

const asker = (socket: ReturnType<typeof named>) => {
  let ids = 0
  return async (frame: Text): Promise<Text> => {
    const id = ++ids
    socket.say({ ...frame, id })
    await until(() => socket.texts.some((text) => text.id === id), `answered ${JSON.stringify(frame)}`)
    return socket.texts.splice(
      socket.texts.findIndex((text) => text.id === id),
      1,
    )[0] as Text
  }
}

test('C-1 C-6 a document has a channel of its own on its own socket: readers hear, writers speak, envelopes pass as they are', async () => {
  const t = await testInstance()
  const userId = await somebody(t)
  const docId = 'projects/7:plan'
  const headers = { host: t.host }
  const url = `ws://127.0.0.1:${t.server.port}/sync/${docId}`
  const grant = async (access: 'read' | 'write') =>
    (await createSyncTokenForBackend(t.ctx(), { docId, userId, access, expiresInSeconds: 60 })).token
  using writer = named(url, { headers, token: await grant('write') })
  using reader = named(url, { headers, token: await grant('read') })
  const stock = raw(`${url}?token=${await grant('write')}`, { headers })
  await Promise.all([writer.opened, reader.opened, stock.opened])
  const [w, r] = [asker(writer), asker(reader)]
  const ch = `doc:${docId}`
  expect(await w({ t: 'sub', presence: true })).toMatchObject({ t: 'subbed', ch, can: ['pub', 'history', 'presence'] })
  expect(await r({ t: 'sub', ch })).toMatchObject({ t: 'subbed', ch, can: ['history', 'presence'] })
  expect(await r({ t: 'sub', ch: 'doc:other' })).toMatchObject({ t: 'err', code: 'malformed' })
  const envelope = { v: 1, bytes: Buffer.from(crypto.getRandomValues(new Uint8Array(64))).toString('base64url') }
  expect(await w({ t: 'pub', name: 'cursor', data: envelope })).toMatchObject({ t: 'ack', offset: 1 })
  for (const socket of [writer, reader])
    expect(await socket.heard('msg')).toMatchObject({ ch, name: 'cursor', data: envelope, from: { user: userId } })
  expect(await r({ t: 'pub', name: 'cursor', data: envelope })).toMatchObject({ t: 'err', code: 'forbidden' })
  // Nothing in text for who named no subprotocol, whatever is said.
  expect(stock.frames.every((frame) => frame.length > 0 && frame[0] !== 0x7b)).toBe(true)
  stock.socket.close()
  // The application's server is in it by its name; nobody else is, but through the document.
  const backend = channels(t, t.secretKey)
  expect(await backend.ask({ t: 'sub', ch })).toMatchObject({ t: 'subbed', offset: 1 })
  expect(await backend.ask({ t: 'pub', ch, name: 'saved' })).toMatchObject({ t: 'ack', offset: 2 })
  expect(await reader.heard('msg')).toMatchObject({ name: 'saved', from: { user: null } })
  backend.socket.close()
}, 60_000)

test('C-1 without an identity plane a document has its channel too', async () => {
  await using server = await startSyncServer({ args: ['--port', '0'] })
  const [a, b] = [named(`${server.wsUrl}/board`), named(`${server.wsUrl}/board`)]
  await Promise.all([a.opened, b.opened])
  const [one, two] = [asker(a), asker(b)]
  expect(await one({ t: 'sub', presence: true, data: { name: 'A' } })).toMatchObject({ t: 'subbed', ch: 'doc:board' })
  expect(await two({ t: 'sub' })).toMatchObject({ can: ['pub', 'history', 'presence'] })
  await two({ t: 'pub', name: 'hello', data: 1 })
  expect(await a.heard('msg')).toMatchObject({ name: 'hello', from: { user: null } })
  expect((await a.heard('presence')).join).toMatchObject([{ user: null, data: { name: 'A' } }])
  for (const socket of [a, b]) socket.socket.close()
}, 60_000)
