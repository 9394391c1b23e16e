import { expect, test } from 'bun:test'
import { mintSessionToken } from '../../apps/server/src/domains/sessions/index.ts'
import { world } from '../../apps/server/src/faces/frontend/testing-secrets.ts'
import { enter } from '../../packages/nextjs/src/realtime/enter.ts'
import { createUsherServer } from '../../packages/nextjs/src/realtime/usher-server.ts'
import { until } from './support.ts'

test('K4 a socket of a Next.js application hears of the end of its session within a second, and nobody asks for it', async () => {
  const w = await world()
  const { t } = w
  const asked: string[] = []
  // In front of Usher: it counts what is asked, and can take the socket away.
  const proxied = new Set<WebSocket>()
  let isCut = false
  const front = Bun.serve<{ far: WebSocket }>({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request, server) {
      const { pathname, search } = new URL(request.url)
      if (pathname === '/realtime') {
        if (isCut) return new Response(null, { status: 503 })
        const protocols = (request.headers.get('sec-websocket-protocol') ?? '').split(',').map((p) => p.trim())
        const far = new WebSocket(`ws://127.0.0.1:${t.server.port}/realtime`, {
          headers: { host: t.host },
          protocols,
        } as never)
        await new Promise((resolve) => far.addEventListener('open', resolve))
        proxied.add(far)
        return server.upgrade(request, { data: { far }, headers: { 'sec-websocket-protocol': 'usher.v1' } })
          ? undefined
          : new Response()
      }
      asked.push(pathname)
      return t.fetch(`${pathname}${search}`, { headers: request.headers })
    },
    websocket: {
      open(near) {
        near.data.far.onmessage = ({ data }) => near.send(data)
        near.data.far.onclose = () => near.close()
      },
      message: (near, message) => near.data.far.send(message),
      close: (near) => near.data.far.close(),
    },
  })
  const server = createUsherServer({ secretKey: t.secretKey, apiUrl: `http://127.0.0.1:${front.port}` })
  const token = async () =>
    mintSessionToken(t.ctx(), await w.session(), { organizationId: w.organization.id, lifetime: 600 })
  const cutOff = async (auth: Awaited<ReturnType<typeof enter>>, work: () => Promise<unknown>) => {
    const start = performance.now()
    await work()
    await until(() => auth.ended !== undefined, 'cut', 3000)
    return { reason: auth.ended, ms: performance.now() - start }
  }
  const members = `/v1/organizations/${w.organization.id}/memberships`
  try {
    const first = await enter(server, { token: await token() })
    const second = await enter(server, { token: await token() })
    await Bun.sleep(600)
    asked.length = 0
    await Bun.sleep(1000)
    expect(asked).toEqual([])
    // Without the socket the stream of events is read, until it is back.
    isCut = true
    for (const socket of proxied) socket.close()
    await until(() => asked.filter((path) => path === '/v1/events').length > 2, 'read')
    const byPoll = await cutOff(first, () => t.fetch(`${members}/${w.userId}`, { method: 'DELETE', secretKey: true }))
    expect(byPoll.reason).toBe('forbidden')
    expect(byPoll.ms).toBeLessThan(1500)
    await until(() => second.ended !== undefined, 'cut as well', 2000)
    isCut = false
    const unbound = async () => mintSessionToken(t.ctx(), await w.session(), { organizationId: null, lifetime: 600 })
    const third = await enter(server, { token: await unbound() })
    await until(() => proxied.size > 1, 'back', 15_000)
    await Bun.sleep(600)
    asked.length = 0
    const bySocket = await cutOff(third, () =>
      t.fetch(`/v1/sessions/${w.sessionId}/revoke`, { method: 'POST', secretKey: true }),
    )
    expect(bySocket.reason).toBe('session_ended')
    expect(bySocket.ms).toBeLessThan(1000)
    expect(asked).not.toContain('/v1/events')
  } finally {
    await front.stop(true)
  }
}, 60_000)
