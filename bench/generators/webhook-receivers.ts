/**
 * Receivers of webhooks on ports of their own. Reads one line, the number of each kind; prints their ports; then answers
 * `stats` with what has come so far. What it counts says whether anything is lost, and whether the order was kept.
 */
type Kind = 'live' | 'slow' | 'refusing' | 'silent'
export type ReceiversInput = {
  live: number
  slow: number
  refusing: number
  silent: number
  slowMs: number
  events: number
}
export type ReceiverStats = {
  kind: Kind
  /** Requests. */
  requests: number
  /** Events that were accepted, each once. */
  accepted: number
  /** Events that came after a later one about the same subject. */
  outOfOrder: number
}

const lines = console[Symbol.asyncIterator]()
const input = JSON.parse((await lines.next()).value as string) as ReceiversInput

function receiver(kind: Kind) {
  const stats: ReceiverStats = { kind, requests: 0, accepted: 0, outOfOrder: 0 }
  let behaves = kind === 'live' || kind === 'slow'
  // By sequence; the receivers are told of nothing but these events.
  const seen = new Uint8Array(input.events * 2)
  const last = new Map<string, number>()
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    idleTimeout: 0,
    async fetch(request) {
      stats.requests += 1
      const body = await request.text()
      if (!behaves && kind === 'refusing') return new Response(null, { status: 500 })
      if (!behaves && kind === 'silent') return new Promise<Response>(() => {})
      if (kind === 'slow') await Bun.sleep(input.slowMs)
      const sequence = Number(body.slice(body.lastIndexOf('"sequence":') + 11).match(/^\d+/)?.[0])
      if (seen[sequence] === 0) {
        seen[sequence] = 1
        stats.accepted += 1
        const from = body.indexOf('"id":"') + 6
        const subject = body.slice(from, body.indexOf('"', from))
        if ((last.get(subject) ?? 0) > sequence) stats.outOfOrder += 1
        else last.set(subject, sequence)
      }
      return new Response(null, { status: 204 })
    },
  })
  return {
    stats,
    kind,
    port: server.port as number,
    mend: () => {
      behaves = true
    },
  }
}

const kinds = ['live', 'slow', 'refusing', 'silent'] as const
const receivers = kinds.flatMap((kind) => Array.from({ length: input[kind] }, () => receiver(kind)))
console.log(JSON.stringify(receivers.map(({ kind, port }) => ({ kind, port }))))
for await (const line of lines) {
  if (line === 'mend') for (const one of receivers) one.mend()
  console.log(JSON.stringify(receivers.map(({ stats }) => stats)))
}
