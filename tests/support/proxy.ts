import { connect, createServer, type Socket } from 'node:net'

export type TcpProxy = AsyncDisposable & {
  port: number
  /** Neither side hears of the other any more, and neither is told: as when a laptop is closed or a cable pulled. */
  freeze: () => void
  /** Only what is said in one direction arrives: to the port (`there`) or back from it. */
  hold: (direction: 'there' | 'back') => void
  thaw: () => void
  /** Both ends of what is connected now never hear of each other again, and are not told: their host is gone. Others connect. */
  forsake: () => void
  /** Ends every connection at once, on both sides, without a goodbye. */
  cut: () => void
  /** From now on connections lead to another port. Those that exist are cut. */
  lead: (target: number) => void
}

/** A TCP proxy on loopback in front of a port, for the faults of a network. */
export async function startProxy(target: number, host = '127.0.0.1'): Promise<TcpProxy> {
  const pairs = new Set<[Socket, Socket]>()
  const forsaken = new Set<Socket>()
  const held = { there: false, back: false }
  let port = target
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ port, host, noDelay: true })
    const pair: [Socket, Socket] = [near, far]
    pairs.add(pair)
    const forward = (from: Socket, to: Socket, direction: keyof typeof held) => {
      from.on('data', (chunk) => {
        if (!to.write(chunk)) from.pause()
      })
      to.on('drain', () => held[direction] || from.resume())
      from.on('error', () => {})
      from.on('close', () => {
        pairs.delete(pair)
        to.destroy()
      })
      if (held[direction]) from.pause()
    }
    forward(near, far, 'there')
    forward(far, near, 'back')
  })
  const set = (there: boolean, back: boolean) => {
    Object.assign(held, { there, back })
    for (const [near, far] of pairs) {
      if (there) near.pause()
      else near.resume()
      if (back) far.pause()
      else far.resume()
    }
  }
  const cut = () => {
    for (const pair of pairs) for (const socket of pair) socket.resetAndDestroy()
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as { port: number }).port,
    forsake: () => {
      for (const socket of [...pairs].flat()) {
        socket.removeAllListeners()
        socket.on('error', () => {}).on('data', () => {})
        forsaken.add(socket)
      }
      pairs.clear()
    },
    freeze: () => set(true, true),
    hold: (direction) => set(direction === 'there', direction === 'back'),
    thaw: () => set(false, false),
    cut,
    lead: (target) => {
      port = target
      cut()
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of [...[...pairs].flat(), ...forsaken]) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
