import { expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { postgresBin, startPostgres } from '../support/postgres.ts'
import { temporaryDirectory } from '../support/usher.ts'
import { logOf, missing, writeAcknowledged, writer } from './ledger.ts'
import { connect, generous, startSyncServer, stateOf, until } from './support.ts'

const long = Boolean(process.env.USHER_LONG_TESTS)

type Disk = Disposable & { env: Record<string, string>; data: string; fill: () => void; makeRoom: () => void }

const run = (program: string, ...args: string[]) => spawnSync(program, args, { encoding: 'utf8' })

/** A file system of its own, in memory, with the embedded database on it. It takes the right to mount. */
function smallFileSystem(): Disk {
  const directory = temporaryDirectory('usher-disk-')
  const mounted = run('mount', '-t', 'tmpfs', '-o', 'size=128m,mode=0700', 'usher-test', directory.path)
  if (mounted.status !== 0) throw new Error(mounted.stderr)
  const ballast = join(directory.path, 'ballast')
  return {
    env: {},
    data: join(directory.path, 'usher'),
    fill: () => {
      const file = openSync(ballast, 'w')
      for (let size = 256 * 1024; size >= 4096; ) {
        try {
          writeSync(file, Buffer.alloc(size, 1))
        } catch {
          size /= 2
        }
      }
      closeSync(file)
    },
    makeRoom: () => rmSync(ballast, { force: true }),
    [Symbol.dispose]: () => {
      run('umount', '-l', directory.path)
      directory[Symbol.dispose]()
    },
  }
}

/** Every process of a PostgreSQL. */
function family(pid: number): number[] {
  const threads = readdirSync(`/proc/${pid}/task`)
  const children = threads.flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  )
  return [pid, ...children.flatMap(family)]
}

const canMount = (() => {
  try {
    smallFileSystem()[Symbol.dispose]()
    return true
  } catch {
    return false
  }
})()

/**
 * A writer of what fills a disk, until nothing is acknowledged any more; a look at what is there; room; and then
 * everything goes on.
 */
async function expectToSurvive(disk: Disk) {
  await using server = await startSyncServer({ data: disk.data, env: { ...generous, ...disk.env } })
  const ada = writer(server.wsUrl, 'disk', 'ada')
  using _ = ada
  using bob = connect(server.wsUrl, 'disk')
  await Promise.all([ada.synced(), bob.synced()])
  await writeAcknowledged(ada, 5)
  disk.fill()
  const pages = ada.doc.getArray<string>('pages')
  let quietSince = performance.now()
  for (let seen = ada.acknowledged.size; performance.now() - quietSince < 1500; await Bun.sleep(20)) {
    if (ada.acknowledged.size > seen) {
      seen = ada.acknowledged.size
      quietSince = performance.now()
    }
    if (ada.acknowledged.size < ada.sent()) continue
    // What does not compress, so that it takes room.
    pages.push([randomBytes(100_000).toString('base64')])
    ada.write()
  }
  const acknowledged = [...ada.acknowledged]
  expect(acknowledged.length).toBeLessThan(ada.sent())
  // Others see it, from memory, and whoever comes finds it or is told to come back. Nobody finds an empty document.
  await until(() => logOf(bob.doc).size === ada.sent(), 'received by who is there')
  using late = connect(server.wsUrl, 'disk')
  await until(() => late.client.synced || late.closes.length > 0, 'served or sent away')
  if (late.client.synced) expect(acknowledged.filter((mark) => !logOf(late.doc).has(mark))).toEqual([])
  expect(late.closes.filter(({ code }) => code !== 4503 && code !== 1006)).toEqual([])
  // A document that has never been read since: it is not made new either.
  using other = connect(server.wsUrl, 'another')
  other.doc.getArray('log').push(['offline'])
  await Bun.sleep(300)
  expect([...ada.acknowledged]).toEqual(acknowledged)
  disk.makeRoom()
  await until(() => ada.acknowledged.size === ada.sent() || ada.closes.length > 0, 'acknowledged', 30_000)
  await until(() => ada.client.synced, 'synced')
  await writeAcknowledged(ada, 1)
  expect(server.process.exitCode).toBeNull()
  using reader = connect(server.wsUrl, 'disk')
  await until(() => logOf(reader.doc).size === ada.sent(), 'all stored', 20_000)
  expect(stateOf(reader.doc)).toBe(stateOf(ada.doc))
  expect(reader.doc.getArray('pages').length).toBe(pages.length)
  server.process.kill('SIGKILL')
  await server.process.exited
  await using again = await startSyncServer({ data: disk.data, env: { ...generous, ...disk.env } })
  expect(await missing(again.wsUrl, 'disk', ada.acknowledged)).toEqual([])
}

// Where mounting is not allowed the second test shows the same by a limit on files, so that neither is skipped.
if (canMount)
  test('a full disk acknowledges nothing, empties nothing, and everything goes on when there is room', async () => {
    using disk = smallFileSystem()
    await expectToSurvive(disk)
  }, 90_000)

if (!canMount || long)
  test.skipIf(!postgresBin)(
    'a database that cannot make its files larger loses nothing, and goes on when it can',
    async () => {
      await using postgres = await startPostgres({ walSegmentMb: 1 })
      using data = temporaryDirectory()
      const limit = (bytes: string) => {
        // The soft limit only: raising it again takes no right.
        for (const pid of family(postgres.pid)) run('prlimit', '--pid', String(pid), `--fsize=${bytes}:`)
      }
      await expectToSurvive({
        env: { DATABASE_URL: postgres.url },
        data: data.path,
        fill: () => limit(String(2 * 1024 * 1024)),
        makeRoom: () => limit('unlimited'),
        [Symbol.dispose]: () => {},
      })
    },
    90_000,
  )
