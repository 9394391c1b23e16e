import { expect, test } from 'bun:test'
import { testInstance } from '../../apps/server/src/testing/server.ts'
import { channels, chat, signedIn } from './channels-support.ts'
import { until } from './support.ts'

const total = process.env.USHER_LONG_TESTS ? 100_000 : 20_000
const seed = Number(process.env.USHER_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31))

/** Small, and the same for the same seed. */
function random(seed: number) {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

type Place = { epoch: string; offset: number }

/** A subscriber that is cut off again and again, and checks every message: each offset is the one before and one more. */
class Reader {
  readonly heard: string[] = []
  faults: string[] = []
  reconnects = -1
  private place: Place | undefined
  private socket: WebSocket | undefined
  private stopped = false

  private readonly open: () => WebSocket
  private readonly channel: string

  constructor(open: () => WebSocket, channel: string) {
    this.open = open
    this.channel = channel
  }

  /** Resolves when the subscription holds. */
  connect(): Promise<void> {
    this.reconnects++
    const socket = this.open()
    this.socket = socket
    return new Promise((resolve) => {
      socket.onopen = () =>
        socket.send(JSON.stringify({ t: 'sub', id: 1, ch: this.channel, ...(this.place && { since: this.place }) }))
      socket.onmessage = ({ data }) => {
        if (this.socket !== socket) return
        const frame = JSON.parse(data as string)
        if (frame.t === 'subbed') {
          if (this.place && !frame.recovered) this.faults.push(`not recovered at ${this.place.offset}`)
          this.place = { epoch: frame.epoch, offset: frame.offset }
          resolve()
        } else if (frame.t === 'msg') {
          const place = this.place as Place
          if (frame.offset !== place.offset + 1) this.faults.push(`${frame.offset} after ${place.offset}`)
          this.place = { epoch: frame.epoch ?? place.epoch, offset: frame.offset }
          this.heard.push(frame.data)
        } else if (frame.t !== 'expiring') this.faults.push(JSON.stringify(frame))
      }
      socket.onclose = () => {
        if (this.socket === socket && !this.stopped) void this.connect()
      }
    })
  }

  cut(): void {
    ;(this.socket as unknown as { terminate(): void }).terminate()
  }

  stop(): void {
    this.stopped = true
    this.socket?.close()
  }
}

test(`C-3 ${total} messages of two publishers reach readers that are cut off again and again, in order, none lost, none twice`, async () => {
  const t = await testInstance()
  const { organizationId, ada } = await chat(t)
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, {
    channels: { types: [{ pattern: 'org:{org_id}:load:*', history: 'durable' }] },
  })
  const channel = `org:${organizationId}:load:1`
  const person = await signedIn(t, ada.id)
  const token = Buffer.from(await person.token()).toString('base64url')
  const connect = (bearer: string) =>
    new WebSocket(`ws://127.0.0.1:${t.server.port}/realtime`, {
      headers: { host: t.host },
      protocols: ['usher.v1', `bearer.${bearer}`],
    } as never)
  const readers = [1, 2, 3].map(() => new Reader(() => connect(token), channel))
  await Promise.all(readers.map((reader) => reader.connect()))

  const publishers = [0, 1].map(() => channels(t, t.secretKey))
  const acked: Map<string, number>[] = []
  const next = random(seed)
  // In turns: a fast machine is done after a second, and each reader has to be cut off by then.
  let turn = Math.floor(next() * readers.length)
  const cutter = setInterval(() => readers[turn++ % readers.length]?.cut(), 60 + 60 * next())
  const start = performance.now()
  try {
    await Promise.all(
      publishers.map(async (publisher, p) => {
        await publisher.ask({ t: 'sub', ch: channel })
        const acks = new Map<string, number>()
        acked.push(acks)
        const faults: unknown[] = []
        publisher.socket.onmessage = ({ data }) => {
          const frame = JSON.parse(data as string)
          if (frame.t === 'ack') acks.set(frame.id, frame.offset)
          else if (frame.t === 'err') faults.push(frame)
        }
        for (let n = 0; n < total / 2; n++) {
          const id = `${p}:${n}`
          publisher.say({ t: 'pub', id, ch: channel, name: 'n', data: id, key: id })
          if (n % 500 === 499) await until(() => acks.size > n - 1500, 'acknowledged', 30_000)
        }
        await until(() => acks.size === total / 2, 'acknowledged', 60_000)
        expect(faults).toEqual([])
      }),
    )
  } finally {
    clearInterval(cutter)
  }
  const publishedMs = performance.now() - start
  await until(() => readers.every((reader) => reader.heard.length >= total), 'all heard', 60_000)
  const ms = performance.now() - start
  for (const reader of readers) reader.stop()
  for (const publisher of publishers) publisher.socket.close()
  console.log(
    `seed ${seed}: ${total} messages acknowledged in ${Math.round(publishedMs)} ms, heard by ${readers.length} readers with ` +
      `${readers.reduce((sum, reader) => sum + reader.reconnects, 0)} reconnects in ${Math.round(ms)} ms`,
  )

  // What was acknowledged as number n is number n, for everybody.
  const order = new Array<string>(total)
  for (const acks of acked) for (const [id, offset] of acks) order[offset - 1] = id
  expect(new Set(order).size).toBe(total)
  for (const reader of readers) {
    expect(reader.faults).toEqual([])
    expect(reader.heard.length).toBe(total)
    expect(reader.heard.every((id, i) => id === order[i])).toBe(true)
    expect(reader.reconnects).toBeGreaterThan(0)
  }
  // Each publisher's own order stands.
  for (const p of [0, 1]) {
    const own = order.filter((id) => id.startsWith(`${p}:`)).map((id) => Number(id.slice(2)))
    expect(own.every((n, i) => n === i)).toBe(true)
  }
}, 180_000)
