import { expect, test } from 'bun:test'
import { testInstance } from '../../apps/server/src/testing/server.ts'
import { channels, chat, signedIn } from './channels-support.ts'

test('C-1 two members share a channel of their organization, in which one may publish; strangers are refused', async () => {
  const t = await testInstance()
  const { channel, ada, bob, eve } = await chat(t)
  const people = await Promise.all([ada, bob, eve].map(({ id }) => signedIn(t, id)))
  const [a, b, e] = await Promise.all(people.map((person) => person.connect()))
  if (!a || !b || !e) throw new Error('no sockets')
  expect(await a.ask({ t: 'sub', ch: channel })).toMatchObject({
    t: 'subbed',
    ch: channel,
    can: ['history', 'presence'],
  })
  expect(await b.ask({ t: 'sub', ch: channel })).toMatchObject({ t: 'subbed', can: ['pub', 'history', 'presence'] })
  expect(await e.ask({ t: 'sub', ch: channel })).toMatchObject({ t: 'err', code: 'forbidden' })
  const ack = await b.ask({ t: 'pub', ch: channel, name: 'message.sent', data: { text: 'hello' } })
  expect(ack).toMatchObject({ t: 'ack', offset: 1 })
  for (const socket of [a, b]) {
    const message = await socket.heard('msg')
    expect(message).toMatchObject({ ch: channel, offset: 1, name: 'message.sent', data: { text: 'hello' } })
    expect(message.from).toMatchObject({ user: bob.id })
  }
  expect(await a.ask({ t: 'pub', ch: channel, name: 'x' })).toMatchObject({ t: 'err', code: 'forbidden' })
  expect(await e.ask({ t: 'pub', ch: channel, name: 'x' })).toMatchObject({ t: 'err', code: 'not_subscribed' })
  expect(e.texts).toEqual([])
  // Somebody of another instance, with a token that is valid there.
  const other = await testInstance()
  const { ada: foreign } = await chat(other)
  const stranger = await signedIn(other, foreign.id)
  const atHome = await stranger.connect()
  expect(await atHome.ask({ t: 'sub', ch: channel })).toMatchObject({ t: 'err', code: 'forbidden' })
  const abroad = channels(t, await stranger.token())
  expect(await abroad.closed).toMatchObject({ code: 4001 })
  for (const socket of [a, b, e, atHome]) socket.socket.close()
})
