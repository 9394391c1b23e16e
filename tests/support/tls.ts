import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { createServer, type TLSSocket } from 'node:tls'
import { temporaryDirectory } from './usher.ts'

export type TlsFront = Disposable & { port: number }

/**
 * TLS in front of a plain server on loopback, as a reverse proxy does it. Its certificate is of its own making.
 *
 * @param target port of the plain server, which may be started later
 */
export async function startTlsFront(target: number): Promise<TlsFront> {
  using directory = temporaryDirectory('usher-tls-')
  const file = (name: string) => join(directory.path, name)
  const made = spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'],
    ...['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'],
    ...['-keyout', file('key.pem'), '-out', file('cert.pem')],
  ])
  if (made.status !== 0) throw new Error(`openssl failed: ${made.stderr}`)
  const sockets = new Set<TLSSocket>()
  const options = { key: readFileSync(file('key.pem')), cert: readFileSync(file('cert.pem')) }
  const server = createServer(options, (socket) => {
    sockets.add(socket)
    const upstream = connect(target, '127.0.0.1')
    socket.pipe(upstream).pipe(socket)
    const end = () => {
      sockets.delete(socket)
      socket.destroy()
      upstream.destroy()
    }
    for (const side of [socket, upstream]) side.on('error', end).on('close', end)
  })
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.dispose]: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
