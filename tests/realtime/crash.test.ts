import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryDirectory } from '../support/usher.ts'
import { connect, generous, startSyncServer, until, Y } from './support.ts'

const rounds = Number(process.env.CRASHES ?? (process.env.USHER_LONG_TESTS ? 200 : 12))
const port = () => {
  const probe = Bun.serve({ port: 0, fetch: () => new Response() })
  const { port } = probe
  probe.stop(true)
  return String(port)
}

/**
 * A writer that keeps a ledger: which of its updates came back. The echo is the acknowledgement, so whatever came back
 * must be there after any crash.
 */
function writer(url: string, docId: string) {
  const doc = new Y.Doc()
  const connection = connect(url, docId, { doc })
  const { client } = connection
  const acknowledged: string[] = []
  let sent = 0
  let stopped = false
  const watch = () => {
    const socket = client.ws
    if (!socket || (socket as { watched?: boolean }).watched) return
    ;(socket as { watched?: boolean }).watched = true
    const receive = socket.onmessage
    socket.onmessage = (event) => {
      const frame = new Uint8Array(event.data as ArrayBuffer)
      // 0 2: an update. Our own comes back as `key:value` in a text; a difference in a snapshot is no acknowledgement.
      if (frame[0] === 0 && frame[1] === 2 && frame.length < 300) {
        for (const [mark] of Buffer.from(frame)
          .toString('latin1')
          .matchAll(new RegExp(`w${doc.clientID}-\\d+;`, 'g')))
          acknowledged.push(mark)
      }
      receive?.call(socket, event)
    }
  }
  const write = async () => {
    while (!stopped) {
      watch()
      doc.getArray<string>('log').push([`w${doc.clientID}-${sent++};`])
      await Bun.sleep(2)
    }
  }
  const done = write()
  return {
    acknowledged,
    connection,
    stop: async () => {
      stopped = true
      await done
      connection[Symbol.dispose]()
    },
  }
}

test(`${rounds} times kill -9 under load, of the server, its PostgreSQL and both, loses no acknowledged update`, async () => {
  using data = temporaryDirectory()
  const args = ['--port', port()]
  const start = () => startSyncServer({ data: data.path, args, env: generous })
  const docs = ['one', 'two', 'three']
  const ledger = new Map<string, Set<string>>(docs.map((id) => [id, new Set()]))
  let server = await start()
  // A round that fails must not leave a server behind.
  await using _ = {
    [Symbol.asyncDispose]: async () => {
      if (server.process.exitCode === null) await server.stop()
    },
  }
  let acknowledgements = 0
  for (let round = 0; round < rounds; round++) {
    const writers = docs.flatMap((id) => [0, 1, 2].map(() => ({ id, ...writer(server.wsUrl, id) })))
    await until(() => writers.some((w) => w.acknowledged.length > 20), 'acknowledged', 20_000)
    await Bun.sleep(Math.random() * 200)
    const postmaster = Number(readFileSync(join(data.path, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0])
    const target = round % 3
    if (target !== 0) process.kill(postmaster, 'SIGKILL')
    if (target !== 1) server.process.kill('SIGKILL')
    if (target === 1) {
      // The server goes on, launches its database again and acknowledges what waited.
      const before = writers.map((w) => w.acknowledged.length)
      await until(
        () => writers.every((w, i) => w.acknowledged.length > (before[i] as number) + 5),
        'acknowledged again',
        30_000,
      )
      server.process.kill('SIGKILL')
    }
    await server.process.exited
    for (const w of writers) {
      await w.stop()
      for (const mark of w.acknowledged) ledger.get(w.id)?.add(mark)
      acknowledgements += w.acknowledged.length
    }
    server = await start()
    for (const id of docs) {
      using reader = connect(server.wsUrl, id)
      await reader.synced()
      const kept = new Set(reader.doc.getArray<string>('log').toArray())
      const lost = [...(ledger.get(id) as Set<string>)].filter((mark) => !kept.has(mark))
      expect({ round, id, lost: lost.length, first: lost[0] }).toEqual({ round, id, lost: 0, first: undefined })
    }
  }
  console.log(`${acknowledgements} acknowledged updates, none lost`)
  expect(await server.stop()).toBe(0)
}, 600_000)
