import { afterAll, beforeAll } from 'bun:test'
import { SQL } from 'bun'
import { freePort, type Postgres, postgresBin, startPostgres } from '../support/postgres.ts'
import { type PostgresProxy, startPostgresProxy } from '../support/postgres-proxy.ts'
import { startProxy } from '../support/proxy.ts'
import { temporaryDirectory } from '../support/usher.ts'
import { generous, type SyncServerProcess, startSyncServer } from './support.ts'

/**
 * A server for all tests of a file, whose conversation with its database goes through a proxy: it can be stopped at any
 * statement, cut, and led to another database. A test that ends one of them puts its successor in the place.
 */
export async function serverBehindProxy() {
  const data = temporaryDirectory()
  const port = await freePort()
  const held = {
    start: () =>
      startSyncServer({
        data: data.path,
        args: ['--port', String(port)],
        env: {
          ...generous,
          DATABASE_URL: held.postgres.url.replace(String(held.postgres.port), String(held.proxy.port)),
        },
      }),
  } as { postgres: Postgres; proxy: PostgresProxy; server: SyncServerProcess; start: () => Promise<SyncServerProcess> }
  beforeAll(async () => {
    if (!postgresBin) return
    held.postgres = await startPostgres()
    held.proxy = await startPostgresProxy(held.postgres.port)
    held.server = await held.start()
  }, 60_000)
  afterAll(async () => {
    if (!postgresBin) return
    await held.server.stop()
    await held.proxy[Symbol.asyncDispose]()
    await held.postgres[Symbol.asyncDispose]()
    data[Symbol.dispose]()
  })
  return held
}

/** A replica that follows until it is held back, and takes the place of its primary without what it has missed. */
export async function follow(held: { postgres: Postgres; proxy: PostgresProxy }) {
  const line = await startProxy(held.postgres.port)
  const replica = await held.postgres.startReplica(line.port)
  const [primarySql, replicaSql] = [held.postgres, replica].map(({ url }) => new SQL(url, { max: 1 })) as [SQL, SQL]
  return {
    /** What was committed so far it has, and nothing of what comes now. */
    holdBack: async () => {
      const [{ at }] = await primarySql`select pg_current_wal_lsn()::text as at`
      for (const end = Date.now() + 10_000; ; await Bun.sleep(20)) {
        const [{ has }] = await replicaSql`select pg_last_wal_replay_lsn() >= ${at}::text::pg_lsn as has`
        if (has) break
        if (Date.now() > end) throw new Error('the replica does not follow')
      }
      line.freeze()
    },
    untilFolded: async (docId: string) => {
      for (const end = Date.now() + 20_000; ; await Bun.sleep(50)) {
        const [{ seq }] = await primarySql`select snapshot_seq::int as seq from sync_rooms where key = ${docId}`
        if (seq > 0) return
        if (Date.now() > end) throw new Error('it was not folded')
      }
    },
    promote: async () => {
      await held.postgres.kill('SIGKILL')
      held.proxy.retarget(replica.port)
      await replicaSql`select pg_promote()`
      held.proxy.cut()
      await Promise.all([primarySql, replicaSql].map((sql) => sql.close({ timeout: 0 }).catch(() => {})))
      await held.postgres[Symbol.asyncDispose]()
      await line[Symbol.asyncDispose]()
      held.postgres = replica
    },
  }
}
