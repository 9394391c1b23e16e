import { connect, createServer, type Socket } from 'node:net'

export type TcpProxy = AsyncDisposable & {
  port: number
  /** Neither side hears of the other any more, and neither is told: as when a laptop is closed or a cable pulled. */
  freeze: () => void
  thaw: () => void
  /** Ends every connection at once, on both sides, without a goodbye. */
  cut: () => void
}

/** A TCP proxy on loopback in front of a port, for the faults of a network. */
export async function startProxy(target: number, host = '127.0.0.1'): Promise<TcpProxy> {
  const pairs = new Set<[Socket, Socket]>()
  let frozen = false
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ port: target, host, noDelay: true })
    const pair: [Socket, Socket] = [near, far]
    pairs.add(pair)
    const forward = (from: Socket, to: Socket) => {
      from.on('data', (chunk) => {
        if (!to.write(chunk)) from.pause()
      })
      to.on('drain', () => frozen || from.resume())
      from.on('error', () => {})
      from.on('close', () => {
        pairs.delete(pair)
        to.destroy()
      })
    }
    forward(near, far)
    forward(far, near)
    if (frozen) for (const socket of pair) socket.pause()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as { port: number }).port,
    freeze: () => {
      frozen = true
      for (const pair of pairs) for (const socket of pair) socket.pause()
    },
    thaw: () => {
      frozen = false
      for (const pair of pairs) for (const socket of pair) socket.resume()
    },
    cut: () => {
      for (const pair of pairs) for (const socket of pair) socket.resetAndDestroy()
    },
    [Symbol.asyncDispose]: async () => {
      for (const pair of pairs) for (const socket of pair) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
