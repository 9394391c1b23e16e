import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'

import { startDeployedNginx } from '../support/deployed-nginx.ts'
import { freePort } from '../support/postgres.ts'

export { Y }

/** The nginx that is shipped, in front of several nodes. */
export async function startBalancer(nodes: number[]) {
  const port = await freePort()
  const nginx = await startDeployedNginx({ port, hosts: { usher: 'localhost', app: 'app.localhost' }, usher: nodes })
  return {
    url: `https://localhost:${port}`,
    wsUrl: `wss://localhost:${port}/sync`,
    [Symbol.asyncDispose]: () => nginx[Symbol.asyncDispose](),
  }
}

/** Of a test's own authority. */
export const tls = { rejectUnauthorized: false }

/** A WebSocket that trusts the nginx of a test. */
class TrustingWebSocket extends WebSocket {
  constructor(url: string | URL, protocols?: string | string[]) {
    super(url, { tls, ...(protocols?.length && { protocols }) } as never)
  }
}

export async function until(condition: () => boolean | Promise<boolean>, what: string, ms = 10_000): Promise<number> {
  const startedAt = performance.now()
  while (!(await condition())) {
    if (performance.now() - startedAt > ms) throw new Error(`not ${what} within ${ms} ms`)
    await Bun.sleep(5)
  }
  return performance.now() - startedAt
}

/** Limits under which a test may talk as fast as it can. */
export const generous = {
  USHER_SECRET: 'a secret that all of the nodes hold',
  USHER_SYNC_LIMITS:
    'messagesPerSecond=1000000,messagesBurst=1000000,bytesPerSecond=1000000000,bytesBurst=1000000000,upgradesPerIpPerSecond=10000,upgradesPerIpBurst=10000',
}

/** A stock client that shares nothing beside the server. */
export function connect(url: string, docId: string, params: Record<string, string> = {}) {
  const doc = new Y.Doc()
  const client = new WebsocketProvider(url, docId, doc, {
    params,
    disableBc: true,
    ...(url.startsWith('wss:') && { WebSocketPolyfill: TrustingWebSocket }),
  })
  const closes: number[] = []
  client.on('connection-close', (event) => {
    if (event) closes.push(event.code)
  })
  return {
    doc,
    client,
    closes,
    text: doc.getText('t'),
    log: doc.getArray<string>('log'),
    synced: () => until(() => client.synced, 'synced'),
    [Symbol.dispose]: () => {
      client.destroy()
      doc.destroy()
    },
  }
}

/**
 * A client that writes without a pause and keeps a ledger: the echo of an update is its acknowledgement, so whatever came
 * back must be there after anything that may happen.
 */
export function writer(url: string, docId: string, everyMs = 4) {
  const connection = connect(url, docId)
  const { doc, client, log } = connection
  const acknowledged = new Set<string>()
  const acknowledgedAt: number[] = []
  const watched = new WeakSet<object>()
  let sent = 0
  let stopped = false
  const own = new RegExp(`w${doc.clientID}-\\d+;`, 'g')
  const watch = () => {
    const socket = client.ws
    if (!socket || watched.has(socket)) return
    watched.add(socket)
    const receive = socket.onmessage
    socket.onmessage = (event) => {
      const frame = new Uint8Array(event.data as ArrayBuffer)
      // 0 2: an update; a longer one is a difference to a state, which acknowledges nothing.
      if (frame[0] === 0 && frame[1] === 2 && frame.length < 300) {
        for (const [mark] of Buffer.from(frame).toString('latin1').matchAll(own)) {
          acknowledged.add(mark)
          acknowledgedAt.push(performance.now())
        }
      }
      receive?.call(socket, event)
    }
  }
  const done = (async () => {
    while (!stopped) {
      watch()
      log.push([`w${doc.clientID}-${sent++};`])
      await Bun.sleep(everyMs)
    }
  })()
  const stop = async () => {
    stopped = true
    await done
    connection[Symbol.dispose]()
  }
  return { ...connection, acknowledged, acknowledgedAt, stop, [Symbol.asyncDispose]: stop }
}

/** The longest time between two of the moments that lie in a span. */
export function longestPause(moments: readonly number[], from: number, to: number): number {
  const inside = [from, ...moments.filter((at) => at > from && at < to), to]
  return Math.max(...inside.slice(1).map((at, i) => at - (inside[i] as number)))
}
