/** Bytes as they are on the wire, for what no client says. */

export const varUint = (n: number): number[] => (n < 128 ? [n] : [(n % 128) | 128, ...varUint(Math.floor(n / 128))])

/** The y-websocket message that carries an update. */
export const updateMessage = (update: Uint8Array): Uint8Array<ArrayBuffer> =>
  Uint8Array.from([0, 2, ...varUint(update.length), ...update])

export const emptyStep1 = Uint8Array.from([0, 0, 1, 0])

/** A WebSocket frame of a client. Every part of its head can be told, right or wrong. */
export function webSocketFrame(
  payload: Uint8Array,
  { opcode = 2, fin = true, rsv = 0, masked = true, length = payload.length } = {},
): Buffer {
  const first = (fin ? 0x80 : 0) | (rsv << 4) | opcode
  const mask = masked ? 0x80 : 0
  const head = Buffer.alloc(length < 126 ? 2 : length < 65536 ? 4 : 10)
  head[0] = first
  head[1] = mask | (length < 126 ? length : length < 65536 ? 126 : 127)
  if (head.length === 4) head.writeUInt16BE(length, 2)
  if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2)
  // A mask of zeros is a mask.
  return Buffer.concat([head, Buffer.alloc(masked ? 4 : 0), payload])
}

/** The request that opens a WebSocket. */
export const upgradeRequest = (path: string, headers: Record<string, string> = {}): string =>
  [
    `GET ${path} HTTP/1.1`,
    'Host: 127.0.0.1',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString('base64')}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    '\r\n',
  ].join('\r\n')
