import { emptyStep1, updateMessage, varString, varUint } from '../support/yjs-updates.ts'

export type Dialect = 'y-websocket' | 'hocuspocus' | 'socket.io' | 'encrypted'

/** A client's frame; the mask is zero: legal, and it costs the generator nothing. */
export function frame(payload: Uint8Array, opcode: 1 | 2 = 2): Buffer {
  const { length } = payload
  const head = Buffer.alloc(length < 126 ? 6 : length < 65_536 ? 8 : 14)
  head[0] = 0x80 | opcode
  head[1] = 0x80 | (length < 126 ? length : length < 65_536 ? 126 : 127)
  if (head.length === 8) head.writeUInt16BE(length, 2)
  if (head.length === 14) head.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([head, payload])
}

const text = (words: string) => frame(Buffer.from(words), 1)

/** Further header lines of the upgrade. */
export const protocolOf = (dialect: Dialect): string =>
  dialect === 'encrypted' ? 'Sec-WebSocket-Protocol: usher.encrypted.v1\r\n' : ''

/** What a client says at first: who it is, where it wants to be, and that it has nothing. */
export function hello(dialect: Dialect, room: string): Buffer {
  switch (dialect) {
    case 'y-websocket':
      return frame(emptyStep1)
    case 'hocuspocus':
      return Buffer.concat([
        frame(Uint8Array.from([...varString(room), 2, 0, ...varString('')])),
        frame(Uint8Array.from([...varString(room), ...emptyStep1])),
      ])
    case 'socket.io':
      return text('40')
    case 'encrypted':
      return frame(Uint8Array.from([1, 1, ...new Uint8Array(16), 0, ...new Uint8Array(32), 0, 0]))
  }
}

/** What a client says once it was let in, where that takes an answer first. */
export function afterWelcome(dialect: Dialect, room: string, received: Buffer): Buffer | undefined {
  if (dialect !== 'socket.io' || !received.includes('40{"sid"')) return undefined
  return text(`42["join",${JSON.stringify(room)}]`)
}

/** An update in the dialect, with a place of `content.length` bytes somewhere in it that can be overwritten. */
export function publish(
  dialect: Dialect,
  room: string,
  content: Buffer,
  writer: { client: number; clock: number; counter: number; session: Buffer },
): Buffer {
  switch (dialect) {
    case 'socket.io':
      return text(`42["m",${JSON.stringify(room)},"${content}"]`)
    case 'encrypted': {
      const header = Buffer.alloc(32)
      header.set([0x55, 0x31, 1, 0])
      header.set(writer.session, 8)
      header.writeBigUInt64BE(BigInt(writer.counter), 24)
      return frame(Buffer.concat([Buffer.from([2, ...varUint(writer.counter + 1)]), header, content, Buffer.alloc(16)]))
    }
    default: {
      const { client, clock } = writer
      const parent = clock === 0 ? [4, 1, 1, 't'.charCodeAt(0)] : [0x84, ...varUint(client), ...varUint(clock - 1)]
      const head = [1, 1, ...varUint(client), ...varUint(clock), ...parent, ...varUint(content.length)]
      const update = Buffer.concat([Buffer.from(head), content, Buffer.from([0])])
      const message = updateMessage(update)
      return frame(dialect === 'hocuspocus' ? Buffer.concat([Buffer.from(varString(room)), message]) : message)
    }
  }
}
