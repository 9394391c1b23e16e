import { join } from 'node:path'
import { lineReader, residentBytes, startGenerator, temporaryDirectory } from './support/processes.ts'
import { atMost, type Benchmark } from './support/rows.ts'
import { backend, createUser, startUsher, type Usher } from './support/usher.ts'

const sockets = 5000
/** What the first sockets cost is code and pools, not sockets. */
const warmUp = 500
const socketsPerRoom = 10
const socketsPerUser = 50
/** What the handshakes left behind is collected by then. */
const settleMs = 12_000

/** Addresses of sockets with a token each, for one person and one document. */
async function admit(usher: Usher, count: number, name: string): Promise<string[]> {
  const paths: string[] = []
  for (let user = 0; paths.length < count; user++) {
    const { id } = await createUser(usher, `${name}-${user}`)
    for (let room = 0; room < socketsPerUser / socketsPerRoom; room++) {
      const docId = `${name}-${user}-${room}`
      const { token } = await backend<{ token: string }>(usher, '/sync_tokens', {
        doc_id: docId,
        user_id: id,
        access: 'write',
      })
      for (let i = 0; i < socketsPerRoom; i++) paths.push(`/sync/${docId}?token=${token}`)
    }
  }
  return paths.slice(0, count)
}

export const idleSockets: Benchmark = {
  name: 'idle-sockets',
  method:
    `Resident memory of the server process with ${sockets} more sockets, by their number: each admitted by a token of its document ` +
    `and user (level 3), ${socketsPerRoom} to a document, ${socketsPerUser} to a user, joined and idle for ${settleMs / 1000} s. ${warmUp} sockets ` +
    'are open before the first measurement. The kernel’s buffers are not in it.',
  run: async () => {
    using data = temporaryDirectory()
    // How many may come in a second is not what is measured, and a fast machine opens more.
    await using usher = await startUsher(data.path, { USHER_SYNC_LIMITS: 'upgradesPerSecond=1000000' })
    const early = await admit(usher, warmUp, 'early')
    const late = await admit(usher, sockets, 'late')
    await using generator = startGenerator(join(import.meta.dir, 'generators/idle-sockets.ts'))
    const next = lineReader(generator)
    const open = async (paths: string[]): Promise<number> => {
      generator.child.stdin.write(`${JSON.stringify({ port: usher.port, paths })}\n`)
      await generator.child.stdin.flush()
      const { open } = JSON.parse(await next()) as { open: number }
      await Bun.sleep(settleMs)
      return open
    }
    await open(early)
    const before = residentBytes(usher.pid)
    const count = await open(late)
    const after = residentBytes(usher.pid)
    if (count !== warmUp + sockets) throw new Error(`${count} sockets are open instead of ${warmUp + sockets}`)
    return {
      rows: [atMost('memory of an idle authenticated socket', (after - before) / sockets / 1000, 4, 'KB', 1)],
      notes: [],
    }
  },
}
