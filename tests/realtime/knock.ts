import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'

/** Where a credential stands when somebody knocks at a socket's door. */
export type Place = 'query' | 'subprotocol' | 'message' | 'elsewhere'
export const places: Place[] = ['query', 'subprotocol', 'message', 'elsewhere']

type Knock = {
  port: number
  host: string
  path: string
  credential: string
  place: Place
  origin?: string
  headers?: Record<string, string>
}

let addresses = 0

/**
 * Asks for a socket from an address of its own, so that no refusal of before counts, and says a word that everybody who
 * is in gets an answer to.
 *
 * @returns `open`, `http <status>` or `closed <code>`
 */
export function knock({ port, host, path, credential, place, origin, headers = {} }: Knock): Promise<string> {
  const n = ++addresses
  const socket = connect({ port, host: '127.0.0.1', localAddress: `127.77.${(n >> 8) & 255}.${n & 255}` })
  const bearer = place === 'subprotocol' ? `, bearer.${Buffer.from(credential).toString('base64url')}` : ''
  const value = encodeURIComponent(credential)
  const query = {
    query: `?token=${value}`,
    elsewhere: `?ticket=${value}&access_token=${value}&key=${value}&__clerk_ticket=${value}&__clerk_db_jwt=${value}`,
  }
  const lines = Object.entries({
    host,
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': randomBytes(16).toString('base64'),
    'sec-websocket-protocol': `usher.v1${bearer}`,
    ...(origin !== undefined && { origin }),
    ...(place === 'elsewhere' && {
      authorization: `Bearer ${credential}`,
      'x-api-key': credential,
      'clerk-secret-key': credential,
      cookie: ['__session', '__client', '__refresh', '__clerk_db_jwt', 'token'].map((c) => `${c}=${value}`).join('; '),
    }),
    ...headers,
  }).map(([name, text]) => `${name}: ${text}\r\n`)
  socket.write(`GET ${path}${place in query ? query[place as 'query'] : ''} HTTP/1.1\r\n${lines.join('')}\r\n`)

  return new Promise((resolve) => {
    let isUpgraded = false
    let heard = Buffer.alloc(0)
    const end = (how: string) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(how)
    }
    const timer = setTimeout(() => end('silent'), 15_000)
    socket.on('error', () => end('gone'))
    socket.on('close', () => end('gone'))
    socket.on('data', (bytes: Buffer) => {
      heard = Buffer.concat([heard, bytes])
      if (!isUpgraded) {
        const at = heard.indexOf('\r\n\r\n')
        if (at < 0) return
        const status = heard.toString('latin1', 9, 12)
        if (status !== '101') return end(`http ${status}`)
        isUpgraded = true
        heard = heard.subarray(at + 4)
        if (place === 'message') socket.write(textFrame({ t: 'auth', token: credential }))
        else socket.write(textFrame({ t: 'ping' }))
      }
      for (;;) {
        const [first = 0, second = 0] = heard
        const start = second === 126 ? 4 : second === 127 ? 10 : 2
        const length = second === 126 ? heard.readUInt16BE(2) : second
        if (heard.length < start + (heard.length < 2 ? 2 : length)) return
        const payload = heard.subarray(start, start + length)
        heard = heard.subarray(start + length)
        if (first === 0x88) return end(`closed ${payload.readUInt16BE(0)}`)
        const { t } = first === 0x81 ? JSON.parse(payload.toString()) : { t: '' }
        if (t === 'pong' || t === 'authed') return end('open')
      }
    })
  })
}

/** A masked text frame of less than 64 KB; the mask is zeros. */
function textFrame(value: object): Buffer {
  const body = Buffer.from(JSON.stringify(value))
  const head = body.length < 126 ? [0x80 | body.length] : [0x80 | 126, body.length >> 8, body.length & 255]
  return Buffer.concat([Buffer.from([0x81, ...head, 0, 0, 0, 0]), body])
}
