import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'

import { nginxPath } from '../support/nginx.ts'
import { freePort } from '../support/postgres.ts'
import { temporaryDirectory } from '../support/usher.ts'

export { Y }

/** A real nginx that spreads what comes over several nodes, as docs/several-nodes.md says. */
export async function startBalancer(nodes: number[]): Promise<AsyncDisposable & { url: string; port: number }> {
  const directory = temporaryDirectory('usher-balancer-')
  const file = (name: string) => join(directory.path, name)
  const port = await freePort()
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  writeFileSync(
    file('nginx.conf'),
    `${process.getuid?.() === 0 ? 'user root;\n' : ''}daemon off;
worker_processes 1;
pid ${file('nginx.pid')};
events {}
http {
  access_log off;
${temporary.map((name) => `  ${name}_temp_path ${file(name)};`).join('\n')}
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  upstream usher {
${nodes.map((node) => `    server 127.0.0.1:${node} max_fails=1 fail_timeout=1s;`).join('\n')}
  }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://usher;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      # A request that reached a node is not sent again unless it changes nothing. A node that goes answers such
      # requests with 503, by which nginx learns that it goes.
      proxy_set_header X-Usher-Proxy-Retries 503;
      proxy_next_upstream error timeout http_503;
      proxy_connect_timeout 2s;
      proxy_read_timeout 1h;
    }
  }
}
`,
  )
  const child = Bun.spawn([nginxPath, '-p', directory.path, '-c', file('nginx.conf'), '-e', file('error.log')], {
    stdio: ['ignore', 'ignore', 'ignore'],
  })
  await until(
    () =>
      fetch(`http://127.0.0.1:${port}/healthz`).then(
        () => true,
        () => false,
      ),
    'nginx there',
  )
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM')
      await child.exited
      directory[Symbol.dispose]()
    },
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
  USHER_SYNC_LIMITS:
    'messagesPerSecond=1000000,messagesBurst=1000000,bytesPerSecond=1000000000,bytesBurst=1000000000,upgradesPerIpPerSecond=10000,upgradesPerIpBurst=10000',
}

/** A stock client that shares nothing beside the server. */
export function connect(url: string, docId: string, params: Record<string, string> = {}) {
  const doc = new Y.Doc()
  const client = new WebsocketProvider(url, docId, doc, { params, disableBc: true, maxBackoffTime: 500 })
  return {
    doc,
    client,
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
