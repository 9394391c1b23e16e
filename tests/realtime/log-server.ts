import { extendChain, startChain } from '@usher/sync/crypto'
import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'

/** What a server of encrypted documents holds of one room; a test lies with it. */
export type FakeRoom = {
  incarnation: Uint8Array
  envelopes: Uint8Array[]
  epoch: number
  params: Uint8Array
  sockets: Set<Bun.ServerWebSocket<Data>>
  /** Code that the next appends are refused with, and when to try again. */
  nack: { code: number; times: number; retryAfterMs?: number }
  /** How many were refused. */
  nacked: number
  /** Nothing is acknowledged, or given back, while it is true. */
  mute: boolean
  access: 0 | 1
}
type Data = { docId: string; ref: number }

/** A server of encrypted documents that does what a test wants: also what a real one never would. */
export function startLogServer() {
  const rooms = new Map<string, FakeRoom>()
  let refs = 0
  const room = (docId: string): FakeRoom => {
    const found = rooms.get(docId) ?? {
      incarnation: crypto.getRandomValues(new Uint8Array(16)),
      envelopes: [],
      epoch: 0,
      params: new Uint8Array(),
      sockets: new Set(),
      nack: { code: 0, times: 0 },
      nacked: 0,
      mute: false,
      access: 1 as const,
    }
    rooms.set(docId, found)
    return found
  }
  const frame = (write: (encoder: encoding.Encoder) => void) => encoding.encode(write)
  const uints = (encoder: encoding.Encoder, ...values: number[]) => {
    for (const value of values) encoding.writeVarUint(encoder, value)
  }
  const frames = (first: number, envelopes: Uint8Array[]) =>
    frame((encoder) => {
      encoding.writeUint8(encoder, 0x82)
      uints(encoder, first, envelopes.length)
      for (const envelope of envelopes) {
        uints(encoder, 0, Date.now())
        encoding.writeVarUint8Array(encoder, envelope)
      }
    })

  async function hello(socket: Bun.ServerWebSocket<Data>, decoder: decoding.Decoder) {
    const mine = room(socket.data.docId)
    decoding.readVarUint(decoder)
    const incarnation = decoding.readUint8Array(decoder, 16)
    const lastSeq = decoding.readVarUint(decoder)
    const chain = decoding.readUint8Array(decoder, 32)
    const chains = [startChain(socket.data.docId)]
    chains.push(...(await extendChain(chains[0] as Uint8Array, 1, mine.envelopes)))
    const same = (a: Uint8Array | undefined, b: Uint8Array) => a !== undefined && Buffer.compare(a, b) === 0
    const resumed = lastSeq > 0 && same(incarnation, mine.incarnation) && same(chains[lastSeq], chain)
    const from = resumed ? lastSeq : 0
    socket.send(
      frame((encoder) => {
        encoding.writeUint8(encoder, 0x81)
        uints(encoder, 1)
        encoding.writeUint8Array(encoder, mine.incarnation)
        uints(encoder, mine.envelopes.length)
        encoding.writeUint8Array(encoder, chains.at(-1) as Uint8Array)
        uints(encoder, from, resumed ? 1 : 0, 0, mine.epoch, mine.access, 1_000_000, 64_000_000, 262_144, Date.now())
        uints(encoder, socket.data.ref)
        encoding.writeVarUint8Array(encoder, mine.params)
      }),
    )
    if (mine.envelopes.length > from) socket.send(frames(from + 1, mine.envelopes.slice(from)))
    mine.sockets.add(socket)
  }

  function append(socket: Bun.ServerWebSocket<Data>, cseq: number, envelope: Uint8Array) {
    const mine = room(socket.data.docId)
    if (mine.mute) return
    const answer = (type: number, ...values: number[]) =>
      socket.send(
        frame((encoder) => {
          encoding.writeUint8(encoder, type)
          uints(encoder, ...values)
        }),
      )
    if (mine.nack.times > 0) {
      mine.nack.times--
      mine.nacked++
      return answer(0x84, cseq, mine.nack.code, mine.nack.retryAfterMs ?? 10)
    }
    const epoch = new DataView(envelope.buffer, envelope.byteOffset).getUint32(4)
    if (epoch < mine.epoch) return answer(0x84, cseq, 409, 0)
    const at = mine.envelopes.findIndex((other) => Buffer.compare(other, envelope) === 0)
    if (at >= 0) return answer(0x83, cseq, at + 1)
    mine.envelopes.push(envelope)
    for (const other of mine.sockets) other.send(frames(mine.envelopes.length, [envelope]))
    answer(0x83, cseq, mine.envelopes.length)
  }

  const server = Bun.serve<Data>({
    port: 0,
    hostname: '127.0.0.1',
    fetch(request, server) {
      const docId = decodeURIComponent(new URL(request.url).pathname.slice('/sync/'.length))
      const headers = { 'sec-websocket-protocol': 'usher.encrypted.v1' }
      return server.upgrade(request, { data: { docId, ref: ++refs }, headers })
        ? undefined
        : new Response('', { status: 400 })
    },
    websocket: {
      message(socket, message) {
        if (typeof message === 'string') return
        const bytes = new Uint8Array(message)
        const decoder = decoding.createDecoder(bytes)
        const mine = room(socket.data.docId)
        switch (decoding.readUint8(decoder)) {
          case 0x01:
            hello(socket, decoder)
            return
          case 0x02:
            append(socket, decoding.readVarUint(decoder), bytes.slice(decoder.pos))
            return
          case 0x03:
            for (const other of mine.sockets)
              if (other !== socket)
                other.send(
                  frame((encoder) => {
                    encoding.writeUint8(encoder, 0x85)
                    uints(encoder, socket.data.ref)
                    encoding.writeUint8Array(encoder, bytes.slice(1))
                  }),
                )
            return
          case 0x08:
            if (mine.params.length === 0) mine.params = bytes.slice(1)
            socket.send(
              frame((encoder) => {
                encoding.writeUint8(encoder, 0x8c)
                encoding.writeUint8Array(encoder, mine.params)
              }),
            )
        }
      },
      close(socket) {
        const { sockets } = room(socket.data.docId)
        sockets.delete(socket)
        const left = frame((encoder) => {
          encoding.writeUint8(encoder, 0x8a)
          uints(encoder, 1, 0, socket.data.ref, 0, 1)
        })
        for (const other of sockets) other.send(left)
      },
    },
  })
  return {
    url: `ws://127.0.0.1:${server.port}/sync`,
    room,
    /** Sockets end as they do when a server dies. */
    cut: (docId: string) => {
      for (const socket of room(docId).sockets) socket.terminate()
    },
    setEpoch(docId: string, epoch: number) {
      room(docId).epoch = epoch
      for (const socket of room(docId).sockets)
        socket.send(
          frame((encoder) => {
            encoding.writeUint8(encoder, 0x89)
            uints(encoder, epoch, 0)
          }),
        )
    },
    stop: () => server.stop(true),
  }
}
