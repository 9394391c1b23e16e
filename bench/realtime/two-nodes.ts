import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { LoadInput, LoadResult } from '../generators/realtime-load.ts'
import { startPostgres } from '../support/postgres.ts'
import { generate } from '../support/processes.ts'
import { redisServer, startRedis } from '../support/redis.ts'
import { type Benchmark, perSecond, times } from '../support/rows.ts'
import { startOurs } from './contenders.ts'
import { scale } from './scale.ts'

const home = '/usr/lib/postgresql'
const versions = existsSync(home) ? readdirSync(home).filter((version) => Number(version) >= 15) : []
const postgresBin = [
  process.env.USHER_BENCH_POSTGRES_BIN,
  process.env.USHER_TEST_POSTGRES_BIN,
  ...versions.map((version) => join(home, version, 'bin')),
].find((bin) => bin && existsSync(join(bin, 'initdb')))

const sockets = scale.size(50, 10)

export const twoNodes: Benchmark = {
  name: 'realtime-two-nodes',
  group: 'realtime',
  method:
    `A room of ${sockets} sockets in which one writes 50 updates a second: all of them at one node, and then half of them at each of two nodes ` +
    'on one PostgreSQL and one Redis, with the same two nodes running both times. Then ten rooms in which two write 100 updates a ' +
    'second each, placed in the same two ways: the share of the schedule that arrived in time. Nodes, PostgreSQL and Redis share one core, so ' +
    'that two nodes have no more of it than one.',
  run: async () => {
    if (!postgresBin || !redisServer)
      return { rows: [], notes: ['Not measured: there is no Redis or no PostgreSQL 15 on this machine.'] }
    await using postgres = await startPostgres(postgresBin)
    await using redis = await startRedis()
    const env = {
      DATABASE_URL: postgres.url,
      REDIS_URL: redis.url,
      USHER_SECRET: 'a secret that both of the nodes hold',
    }
    await using first = await startOurs({ env })
    await using second = await startOurs({ env })
    let room = 0
    const load = (
      ports: number[],
      rooms: number,
      input: Pick<LoadInput, 'messagesPerSecond' | 'writersPerRoom' | 'seconds'>,
    ) =>
      generate<LoadResult>('generators/realtime-load.ts', {
        ...input,
        targets: Array.from({ length: rooms }, () => `nodes-${room++}`).map((name) => ({
          ports,
          room: name,
          path: first.path(name),
        })),
        dialect: 'y-websocket',
        socketsPerRoom: sockets,
        contentBytes: 40,
      } satisfies LoadInput)
    const one = [first.port]
    const both = [first.port, second.port]
    const quiet = { messagesPerSecond: 50, writersPerRoom: 1, seconds: scale.size(5, 1) }
    await load(both, 1, { ...quiet, seconds: 1 })
    const atOne = await load(one, 1, quiet)
    const atBoth = await load(both, 1, quiet)
    const busy = { messagesPerSecond: 100, writersPerRoom: 2, seconds: scale.size(5, 1) }
    const rooms = scale.size(10, 2)
    const busyOne = await load(one, rooms, busy)
    const busyBoth = await load(both, rooms, busy)
    const ratio = busyBoth.deliveriesPerSecond / busyOne.deliveriesPerSecond
    return {
      rows: [
        {
          name: 'latency through two nodes, p50 (half of the receivers are at the other), beside one',
          ours: `${atBoth.p50.toFixed(1)} ms`,
          peer: `${atOne.p50.toFixed(1)} ms`,
          ratio: `+ ${(atBoth.p50 - atOne.p50).toFixed(1)} ms`,
          target: '≤ + 3 ms',
          met: atBoth.p50 - atOne.p50 <= 3,
        },
        {
          name: 'deliveries through two nodes on one core, beside one node',
          ours: perSecond(busyBoth.deliveriesPerSecond),
          peer: perSecond(busyOne.deliveriesPerSecond),
          ratio: times(ratio),
          target: '≥ 0.8x',
          met: ratio >= 0.8,
        },
      ],
      notes: [
        `p99 ${atBoth.p99.toFixed(1)} ms through two nodes, ${atOne.p99.toFixed(1)} ms through one; under load p50 ${busyBoth.p50.toFixed(1)} ms and ` +
          `${busyOne.p50.toFixed(1)} ms. Missing deliveries: ${atBoth.missing + busyBoth.missing}.`,
      ],
    }
  },
}
