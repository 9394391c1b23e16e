import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

/** What this process counts, in Prometheus' text format at `/metrics`. */
export const metrics = new Registry()
// The delay of the event loop is measured by waking it up: every 10 ms, unless it is told otherwise, is half of an idle server.
collectDefaultMetrics({ register: metrics, eventLoopMonitoringPrecision: 100 })

/** Labels are few and fixed: a path or an id in here would grow without bound and tell who does what. */
export const requestSeconds = new Histogram({
  name: 'usher_http_request_seconds',
  help: 'Time to answer a request',
  labelNames: ['face', 'method', 'status'] as const,
  buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
  registers: [metrics],
})

export const refusals = new Counter({
  name: 'usher_refusals_total',
  help: 'Requests and sockets that were refused, by error code',
  labelNames: ['code'] as const,
  registers: [metrics],
})

/** `outcome`: `accepted`, or how it failed. */
export const webhookAttempts = new Counter({
  name: 'usher_webhook_attempts_total',
  help: 'Attempts to deliver an event to an endpoint',
  labelNames: ['outcome'] as const,
  registers: [metrics],
})

/** The two realtime planes: documents at `/sync`, channels at `/realtime`. */
export type Plane = 'sync' | 'realtime'

const plane = ['plane'] as const

/** A gauge that is read when it is asked for: `watchPlane` says where. */
const planeGauge = (name: string, help: string, read: (stats: PlaneStats) => number) =>
  new Gauge({
    name,
    help,
    labelNames: plane,
    registers: [metrics],
    collect() {
      this.reset()
      for (const { label, stats } of watched) this.inc({ plane: label }, read(stats()))
    },
  })

/** `rooms`: documents or channels in memory. */
export type PlaneStats = { connections: number; rooms: number }
const watched = new Set<{ label: Plane; stats: () => PlaneStats }>()

/** Says where the numbers of a plane are read; several servers of one process add up. @returns ends it */
export function watchPlane(label: Plane, stats: () => PlaneStats): () => void {
  const entry = { label, stats }
  watched.add(entry)
  return () => {
    watched.delete(entry)
  }
}

planeGauge('usher_realtime_connections', 'Sockets that are open', (stats) => stats.connections)
planeGauge('usher_realtime_rooms', 'Documents or channels in memory', (stats) => stats.rooms)

/**
 * Frames of documents: tens of thousands a second, so that they are counted in plain numbers and added up when somebody
 * asks.
 */
const syncFrames = { in: { frames: 0, bytes: 0 }, out: { frames: 0, bytes: 0 } }

/** @param frames how many sockets a frame of so many bytes goes to, or comes from */
export function countSyncFrames(direction: 'in' | 'out', frames: number, bytes: number): void {
  const counted = syncFrames[direction]
  counted.frames += frames
  counted.bytes += frames * bytes
}

function addUp(counter: Counter<'plane' | 'direction'>, what: 'frames' | 'bytes') {
  for (const direction of ['in', 'out'] as const) {
    counter.inc({ plane: 'sync', direction }, syncFrames[direction][what])
    syncFrames[direction][what] = 0
  }
}

/** `direction`: `in` from clients; `out` to each of them. */
export const realtimeFrames: Counter<'plane' | 'direction'> = new Counter({
  name: 'usher_realtime_frames_total',
  help: 'Frames received from clients and handed to their sockets',
  labelNames: ['plane', 'direction'] as const,
  registers: [metrics],
  collect() {
    addUp(realtimeFrames, 'frames')
  },
})

export const realtimeBytes: Counter<'plane' | 'direction'> = new Counter({
  name: 'usher_realtime_bytes_total',
  help: 'Bytes of those frames',
  labelNames: ['plane', 'direction'] as const,
  registers: [metrics],
  collect() {
    addUp(realtimeBytes, 'bytes')
  },
})

export const realtimeAcks = new Counter({
  name: 'usher_realtime_acks_total',
  help: 'Changes that were acknowledged: they are durable',
  labelNames: plane,
  registers: [metrics],
})

export const realtimeCommitSeconds = new Histogram({
  name: 'usher_realtime_commit_seconds',
  help: 'Time of one commit of changes of many rooms',
  labelNames: plane,
  buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2],
  registers: [metrics],
})

/** `reason`: a name of the table of close codes, or `client`. */
export const realtimeCloses = new Counter({
  name: 'usher_realtime_closes_total',
  help: 'Sockets that were closed, by reason',
  labelNames: ['plane', 'reason'] as const,
  registers: [metrics],
})

/** `via`: a client's socket, or the application's server by the API. */
export const channelMessages = new Counter({
  name: 'usher_channel_messages_total',
  help: 'Messages published in channels',
  labelNames: ['via'] as const,
  registers: [metrics],
})

/** Frames of channels that go out, to each of so many sockets. */
export function countChannelFrames(sockets: number, bytes: number): void {
  realtimeFrames.inc({ plane: 'realtime', direction: 'out' }, sockets)
  realtimeBytes.inc({ plane: 'realtime', direction: 'out' }, sockets * bytes)
}
