import { expect, test } from 'bun:test'
import { z } from 'zod'
import { testInstance } from '../../apps/server/src/testing/server.ts'
import { connectRealtime, defineChannels, type EventsOf } from '../../packages/sync/src/index.ts'
import { chat, signedIn } from './channels-support.ts'
import { until, withHeaders } from './support.ts'

const defined = defineChannels({
  chat: {
    pattern: 'org:{org_id}:chat:*',
    publish: { permission: 'org:chat:write' },
    history: 'durable',
    events: {
      'message.sent': z.object({ text: z.string().max(10) }),
      'message.seen': z.object({ upTo: z.number().int() }),
    },
  },
  jobs: { pattern: 'user:{user_id}:jobs' },
})
type Chat = EventsOf<typeof defined, 'chat'>

test('C-2 one definition gives the types of the client and what the server checks', async () => {
  const t = await testInstance()
  const { channel, bob } = await chat(t)
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { channels: defined.settings })
  const person = await signedIn(t, bob.id)
  const realtime = connectRealtime({
    url: `ws://127.0.0.1:${t.server.port}/realtime`,
    getToken: () => person.token(),
    WebSocket: withHeaders({ host: t.host }) as never,
  })
  const room = realtime.channel<Chat>(channel)
  const texts: string[] = []
  room.on('message', (message) => {
    if (message.name === 'message.sent') texts.push(message.data.text)
    // @ts-expect-error there is no such event
    if (message.name === 'message.gone') throw new Error('heard what cannot be said')
  })
  await until(() => room.state.status === 'joined', 'joined')
  await room.publish('message.sent', { text: 'hello' })
  await until(() => texts.length > 0, 'heard')
  expect(texts).toEqual(['hello'])
  await expect(room.publish('message.sent', { text: 'much too long' })).rejects.toMatchObject({ code: 'invalid_data' })
  // @ts-expect-error a text is needed
  await expect(room.publish('message.sent', { words: 'x' })).rejects.toMatchObject({ code: 'invalid_data' })
  // @ts-expect-error there is no such event
  await expect(room.publish('message.gone', {})).rejects.toMatchObject({ code: 'unknown_event' })
  realtime.destroy()
  const silent = { '~standard': { version: 1 as const, vendor: 'none' } }
  expect(() => defineChannels({ x: { pattern: 'org:{org_id}:x:*', events: { e: silent } } })).toThrow(TypeError)
}, 60_000)
