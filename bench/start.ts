import { firstLine, startServer, temporaryDirectory, treeBytes } from './support/processes.ts'
import { median } from './support/rounds.ts'
import { atMost, type Benchmark } from './support/rows.ts'
import { main } from './support/usher.ts'

const rounds = 3
/** After this time an idle server has settled. */
const settleMs = 3000

/** From the launch of the process until it says that it is ready, in milliseconds. */
async function start(command: string[], data: string) {
  const startedAt = performance.now()
  const server = startServer([process.execPath, main, ...command, '--port', '0', '--data', data, '--json'])
  await firstLine(server)
  return { server, ms: performance.now() - startedAt }
}

async function timeOneStart(data: string): Promise<number> {
  const { server, ms } = await start(['start'], data)
  await server[Symbol.asyncDispose]()
  return ms
}

async function idleMegabytes(): Promise<number> {
  using data = temporaryDirectory()
  const { server } = await start(['sync-server', 'start'], data.path)
  await using _server = server
  await Bun.sleep(settleMs)
  return treeBytes(server.pid) / 1e6
}

export const startUp: Benchmark = {
  name: 'start',
  method:
    'Time from launching `usher start --json` to its ready line, measured from outside: first in an empty directory (a PostgreSQL ' +
    'cluster is made, the schema migrated, keys made), then again in the same one. Memory is that of `usher sync-server start` and ' +
    `its PostgreSQL together, ${settleMs / 1000} s after its start, with what processes share counted once.`,
  run: async () => {
    const first: number[] = []
    const second: number[] = []
    for (let round = 0; round < rounds; round++) {
      using data = temporaryDirectory()
      first.push(await timeOneStart(data.path))
      second.push(await timeOneStart(data.path))
    }
    return {
      rows: [
        {
          name: 'first start',
          ours: `${median(first).toFixed(0)} ms`,
          peer: '',
          ratio: '–',
          target: '–',
          met: undefined,
        },
        atMost('second start', median(second), 1000, 'ms'),
        ...(process.platform === 'linux'
          ? [atMost('memory of an idle sync server with its database', await idleMegabytes(), 150, 'MB')]
          : []),
      ],
      notes: [],
    }
  },
}
