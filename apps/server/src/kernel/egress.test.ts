import { afterAll, expect, test } from 'bun:test'
import { createEgress, isPublicAddress } from './egress.ts'

const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  fetch(request) {
    const { pathname } = new URL(request.url)
    if (pathname === '/away') return Response.redirect('http://169.254.169.254/latest/meta-data', 302)
    if (pathname === '/loop') return Response.redirect('/loop', 302)
    if (pathname === '/near') return Response.redirect('/said', 302)
    if (pathname === '/neighbour')
      return Response.redirect(request.url.replace('127.0.0.1', 'localhost').replace(pathname, '/said'), 302)
    if (pathname === '/said') return new Response(request.headers.get('authorization') ?? 'nothing')
    if (pathname === '/slow') return new Promise(() => {})
    if (pathname === '/large') return new Response('x'.repeat(3_000_000))
    return new Response(`hello ${request.headers.get('host')}`)
  },
})
afterAll(() => server.stop(true))
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'fetched',
    (error) => error.code ?? error.message,
  )

test('J5 no address of the server’s own network is public, however it is written', () => {
  const inside =
    '127.0.0.1 127.9.9.9 0.0.0.0 10.1.2.3 100.64.0.1 100.100.100.200 169.254.169.254 172.16.0.1 192.168.1.1 198.18.0.1 224.0.0.1 255.255.255.255 ' +
    ':: ::1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 64:ff9b::a9fe:a9fe 2002:7f00:1:: 2001::1 fd00::1 fe80::1 ff02::1 fec0::1'
  for (const address of inside.split(' ')) expect(`${address} ${isPublicAddress(address)}`).toBe(`${address} false`)
  for (const address of ['8.8.8.8', '1.1.1.1', '2606:4700:4700::1111']) expect(isPublicAddress(address)).toBe(true)
  expect(isPublicAddress('localhost')).toBe(false)
})

test('J5 URLs that lead inside, or to something that is no web server, are refused before anything is sent', async () => {
  const inside = async () => [{ address: '10.0.0.5', family: 4 }]
  const egress = createEgress({ resolver: inside })
  for (const url of [
    'https://internal.example/',
    'https://127.0.0.1/',
    'https://2130706433/',
    'https://0x7f.1/',
    'https://017700000001/',
    'https://[::1]/',
    'https://[::ffff:169.254.169.254]/',
    'https://user:pw@example.com/',
    'http://example.com/',
    'https://example.com:22/',
    'https://example.com:25/',
    'https://example.com:6379/',
    'gopher://example.com/',
    'file:///etc/passwd',
    'unix:///var/run/docker.sock',
    'not a url',
  ])
    expect(`${url} ${await codeOf(egress(url))}`).toBe(`${url} egress_refused`)
})

test('J5 one inner address among public ones is enough to refuse, and a second answer of the resolver is never asked for', async () => {
  const mixed = createEgress({
    resolver: async () => [
      { address: '8.8.8.8', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ],
  })
  expect(await codeOf(mixed('https://example.com/'))).toBe('egress_refused')
  let asked = 0
  const rebinding = createEgress({
    allow: [`rebind.example:${server.port}`],
    resolver: async () => {
      asked += 1
      return [{ address: '127.0.0.1', family: 4 }]
    },
  })
  const answer = await rebinding(`http://rebind.example:${server.port}/`)
  expect(answer.text).toBe(`hello rebind.example:${server.port}`)
  expect(asked).toBe(1)
})

test('J5 a redirect is checked as the first URL was; loops, slowness and size have ends', async () => {
  const egress = createEgress({ allow: [`127.0.0.1:${server.port}`] })
  const at = (path: string) => `http://127.0.0.1:${server.port}${path}`
  expect((await egress(at('/'))).text).toStartWith('hello')
  expect(await codeOf(egress(at('/away')))).toBe('egress_refused')
  expect(await codeOf(egress(at('/loop')))).toBe('too many redirects')
  expect(await codeOf(egress(at('/slow'), { timeoutMs: 200 }))).toBe('the host of the URL took too long')
  expect(await codeOf(egress(at('/large')))).toBe('the answer is too large')
  const silent = createEgress({ resolver: () => new Promise(() => {}) })
  expect(await codeOf(silent('https://example.com/', { timeoutMs: 50 }))).toBe('the host of the URL could not be found')
  // Neighbouring ports are not part of what was allowed.
  expect(await codeOf(egress('http://127.0.0.1:1/'))).toBe('egress_refused')
})

test('J5 a redirect to somebody else takes no credentials along', async () => {
  const egress = createEgress({ allow: [`127.0.0.1:${server.port}`, `localhost:${server.port}`] })
  const ask = async (path: string) => {
    const headers = { Authorization: 'Bearer of-a-person' }
    return (await egress(`http://127.0.0.1:${server.port}${path}`, { headers })).text
  }
  expect([await ask('/said'), await ask('/near'), await ask('/neighbour')]).toEqual([
    'Bearer of-a-person',
    'Bearer of-a-person',
    'nothing',
  ])
})

test('an operator can open a range for providers inside their own network', async () => {
  const egress = createEgress({ allow: ['127.0.0.0/8'] })
  // The range says where to; the port and the scheme are still those of the web.
  expect(await codeOf(egress(`http://127.0.0.1:${server.port}/`))).toBe('egress_refused')
  expect(await codeOf(egress('https://127.0.0.1:8443/'))).not.toBe('egress_refused')
})
