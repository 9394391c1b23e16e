import { afterAll, beforeAll } from 'bun:test'
import { freePort, type Postgres, postgresBin, startPostgres } from '../support/postgres.ts'
import { type PostgresProxy, startPostgresProxy } from '../support/postgres-proxy.ts'
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
