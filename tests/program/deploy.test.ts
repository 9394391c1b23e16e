import { expect, test } from 'bun:test'
import { request } from 'node:https'
import { startDeployedNginx } from '../support/deployed-nginx.ts'
import { nginxPath } from '../support/nginx.ts'
import { freePort } from '../support/postgres.ts'

type Answer = { status: number; body: string }

function ask(port: number, path: string, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const host = headers.host ?? `auth.acme.test:${port}`
    const options = { port, path, rejectUnauthorized: false, headers: { ...headers, host } }
    const call = request({ host: '127.0.0.1', servername: 'auth.acme.test', ...options }, async (response) => {
      let body = ''
      for await (const part of response) body += part
      resolve({ status: response.statusCode ?? 0, body })
    })
    call.on('error', reject)
    call.end()
  })
}

test.skipIf(!nginxPath)('nginx takes the configuration that is shipped, and it does what it says', async () => {
  const seen: { upgrade: string | null; forwardedFor: string | null; host: string | null }[] = []
  using server = Bun.serve({
    port: 0,
    fetch(request, server) {
      const { headers } = request
      seen.push({
        upgrade: headers.get('upgrade'),
        forwardedFor: headers.get('x-forwarded-for'),
        host: headers.get('host'),
      })
      if (server.upgrade(request)) return undefined
      return new Response(new URL(request.url).pathname)
    },
    websocket: { message: (socket, message) => void socket.send(message) },
  })
  const port = await freePort()
  const node = server.port as number
  const hosts = { usher: 'auth.acme.test', app: 'app.acme.test' }
  await using nginx = await startDeployedNginx({ port, hosts, usher: [node], app: node })
  expect(await ask(port, '/v1/client?__clerk_db_jwt=confided', { 'x-forwarded-for': '203.0.113.9' })).toEqual({
    status: 200,
    body: '/v1/client',
  })
  expect(seen).toEqual([{ upgrade: null, forwardedFor: '127.0.0.1', host: `auth.acme.test:${port}` }])

  // What the server shows its neighbours is not for the world, and other names are nobody's.
  expect((await ask(port, '/metrics')).status).toBe(404)
  await expect(ask(port, '/', { host: 'localhost' })).rejects.toThrow()

  for (const [host, path] of [
    [hosts.usher, '/sync/org_1/note?token=confided'],
    [hosts.usher, '/realtime?token=confided'],
    [hosts.app, '/api/trpc?connectionParams=1'],
    [hosts.app, '/api/presence?ticket=confided'],
  ]) {
    const socket = new WebSocket(`wss://127.0.0.1:${port}${path}`, {
      headers: { host: `${host}:${port}` },
      tls: { rejectUnauthorized: false },
    } as unknown as string[])
    const echoed = new Promise((resolve, reject) => {
      socket.onopen = () => socket.send('hello')
      socket.onmessage = ({ data }) => resolve(data)
      socket.onclose = ({ code }) => reject(new Error(`${path} was closed with ${code}`))
    })
    expect(await echoed).toBe('hello')
    socket.close()
  }
  for (const end = Date.now() + 5000; !nginx.accessLog().includes('/api/presence'); await Bun.sleep(20))
    if (Date.now() > end) throw new Error('the last socket is not in the log')
  expect(nginx.accessLog()).toContain('"GET /v1/client" 200')
  expect(nginx.accessLog() + nginx.errorLogs()).not.toContain('confided')
})
