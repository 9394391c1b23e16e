import { createSocket } from 'node:dgram'

export type TestDns = {
  /** `127.0.0.1:port`, for `USHER_DNS_SERVERS` and `createDns`. */
  address: string
  /** Values of TXT records by name, each as the parts that it was published in; changed as a test goes on. */
  records: Map<string, string[][]>
  /** Names that were asked for. */
  asked: string[]
  /** Answers nothing, as a server that is away. */
  silent: boolean
  close: () => void
}

const TXT = 16

/** A name server on loopback that knows TXT records (RFC 1035 §4) and says of all other names that there are none. */
export async function startDns(): Promise<TestDns> {
  const socket = createSocket('udp4')
  const dns: TestDns = { address: '', records: new Map(), asked: [], silent: false, close: () => socket.close() }
  socket.on('message', (query, from) => {
    const { name, type, end } = questionOf(query)
    dns.asked.push(name)
    if (dns.silent) return
    const values = type === TXT ? (dns.records.get(name) ?? []) : []
    const header = Buffer.alloc(12)
    query.copy(header, 0, 0, 2)
    header.writeUInt16BE(dns.records.has(name) ? 0x8180 : 0x8183, 2)
    header.writeUInt16BE(1, 4)
    header.writeUInt16BE(values.length, 6)
    socket.send(Buffer.concat([header, query.subarray(12, end), ...values.map(recordOf)]), from.port, from.address)
  })
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  dns.address = `127.0.0.1:${socket.address().port}`
  return dns
}

function questionOf(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += length + 1
  }
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 }
}

function recordOf(parts: string[]): Buffer {
  const data = Buffer.concat(
    parts.map((part) => Buffer.concat([Buffer.from([part.length]), Buffer.from(part, 'latin1')])),
  )
  // The name is a pointer to that of the question; class IN, a second to live.
  const head = Buffer.from([0xc0, 0x0c, 0, TXT, 0, 1, 0, 0, 0, 1, data.length >> 8, data.length & 255])
  return Buffer.concat([head, data])
}
