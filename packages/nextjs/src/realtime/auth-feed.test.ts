import { expect, test } from 'bun:test'
import { AuthFeed } from './auth-feed.ts'
import { LiveAuth } from './live-auth.ts'
import { createUsherServer } from './usher-server.ts'

/** The stream of events and the socket, as far as the feed uses them. */
function startUsher() {
  const frames: string[] = []
  const state = { asked: 0, slowMs: 0, open: 0 }
  const server = Bun.serve({
    port: 0,
    async fetch(request, server) {
      if (server.upgrade(request, { headers: { 'sec-websocket-protocol': 'usher.v1' } })) return undefined
      state.asked++
      await Bun.sleep(state.slowMs)
      return Response.json({ data: [], has_more: false, cursor: 1 })
    },
    websocket: {
      open: () => void state.open++,
      close: () => void state.open--,
      message(socket, message) {
        const { t, ch } = JSON.parse(String(message))
        if (t === 'ping') return
        frames.push(`${t} ${ch}`)
        if (t === 'sub') socket.send(JSON.stringify({ t: 'subbed', ch }))
      },
    },
  })
  const settings = { secretKey: 'sk_test_secret', apiUrl: `http://localhost:${server.port}` }
  return { frames, state, usher: createUsherServer(settings), [Symbol.dispose]: () => server.stop(true) }
}

const authOf = (userId: string) =>
  new LiveAuth({ userId, sessionId: null, organizationId: null, role: null, permissions: [] }, Date.now() + 60_000)

async function until(isSo: () => boolean) {
  for (const end = Date.now() + 5000; !isSo(); await Bun.sleep(5))
    if (Date.now() > end) throw new Error('it was not so within 5 s')
}

test('a person is watched as long as anybody of them is there, and nobody who went while they came', async () => {
  using running = startUsher()
  const { frames, state, usher } = running
  const feed = new AuthFeed(usher)
  const ada = authOf('ada')
  await feed.add(ada)
  await until(() => frames.includes('sub user:ada:auth'))
  const again = authOf('ada')
  await feed.add(again)
  ada.end('closed')
  const bob = authOf('bob')
  const coming = feed.add(bob)
  bob.end('closed')
  await coming
  await feed.add(authOf('carol'))
  again.end('closed')
  await until(() => frames.length >= 3)
  expect(frames).toEqual(['sub user:ada:auth', 'sub user:carol:auth', 'unsub user:ada:auth'])
  expect(state.open).toBe(1)
})

test('a feed whose only person went while it began is at rest again', async () => {
  using running = startUsher()
  const { state, usher, frames } = running
  state.slowMs = 100
  const feed = new AuthFeed(usher)
  const ada = authOf('ada')
  const coming = feed.add(ada)
  ada.end('closed')
  await coming
  await until(() => state.open === 0)
  const { asked } = state
  await Bun.sleep(600)
  expect({ asked: state.asked, frames }).toEqual({ asked, frames: [] })
})
