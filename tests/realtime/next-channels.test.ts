import { expect, test } from 'bun:test'
import { createUsherServer, subscribeChannel } from '../../packages/nextjs/src/realtime/index.ts'
import { startUsher } from '../support/usher.ts'

type Said = { n: number }

test('a channel as a subscription: what was missed, in order and each once, then what is said', async () => {
  await using usher = await startUsher()
  const { url, secret_key: secretKey } = usher.ready
  const server = createUsherServer({ secretKey, apiUrl: url })
  const channel = 'user:user_1:notifications'
  const say = async (n: number) => {
    const response = await fetch(`${url}/v1/channels/${encodeURIComponent(channel)}/messages`, {
      method: 'POST',
      headers: { authorization: `Bearer ${secretKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'said', data: { n } }),
    })
    expect(response.ok).toBe(true)
  }
  const read = (options: { lastEventId?: string; history?: number }, count: number) =>
    (async () => {
      const controller = new AbortController()
      const heard: { id: string; n: number }[] = []
      for await (const [id, event] of subscribeChannel<Said>(channel, {
        ...options,
        server,
        signal: controller.signal,
      })) {
        heard.push({ id, n: event.data.n })
        if (heard.length === count) controller.abort()
      }
      return heard
    })()

  for (let n = 1; n <= 130; n++) await say(n)
  const recent = await read({ history: 10 }, 10)
  expect(recent.map(({ n }) => n)).toEqual([121, 122, 123, 124, 125, 126, 127, 128, 129, 130])

  // From the fifth on: more than one page of the past, and what is said meanwhile, for two readers of one socket.
  const [first] = await read({ history: 100 }, 1)
  const fifth = first?.id.replace(/:\d+$/, ':5') ?? ''
  const readers = [read({ lastEventId: fifth }, 128), read({ lastEventId: fifth }, 128)]
  for (let n = 131; n <= 133; n++) await say(n)
  const expected = Array.from({ length: 128 }, (_, i) => i + 6)
  for (const heard of await Promise.all(readers)) expect(heard.map(({ n }) => n)).toEqual(expected)

  // Where a history is another one, its newest messages come; a channel nobody has spoken in waits.
  expect((await read({ lastEventId: 'another:7' }, 100)).at(-1)?.n).toBe(133)
})
