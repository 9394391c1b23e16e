import { spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SQL } from 'bun'
import { loadConfig } from '../config.ts'
import type { Actor, Ctx } from '../kernel/ctx.ts'
import { randomBase62 } from '../kernel/ids.ts'
import { createCtx } from '../runtime.ts'
import { type RunningServer, serve } from '../serve.ts'

let running: Promise<RunningServer> | undefined

/**
 * One real server on a free port for all tests of this process, on an embedded PostgreSQL of its own (or on
 * `USHER_TEST_DATABASE_URL`). It goes with the process.
 */
export function testServer(): Promise<RunningServer> {
  running ??= startTestServer()
  return running
}

async function startTestServer(): Promise<RunningServer> {
  const dataDir = mkdtempSync(join(tmpdir(), 'usher-test-'))
  const config = loadConfig(
    {
      LOG_LEVEL: process.env.LOG_LEVEL ?? 'fatal',
      DATABASE_URL: process.env.USHER_TEST_DATABASE_URL,
      USHER_ROUTE_LOG: process.env.USHER_ROUTE_LOG,
      // Tests set thousands of passwords, and what they show is the same at the least cost.
      USHER_PASSWORD_COST: 'm=19456,t=2',
    },
    { port: '0', dataDir },
  )
  // Its queries would be counted by tests that count queries.
  const server = await serve(config, { upkeep: false })
  // Test runners end without a word to us, or are killed: a process of its own waits for that and clears up.
  const postmaster = join(dataDir, 'postgres', 'postmaster.pid')
  const cleanUp = `while kill -0 ${process.pid}; do sleep 1; done; kill -QUIT $(head -n 1 '${postmaster}'); sleep 1; rm -rf '${dataDir}'`
  spawn('sh', ['-c', cleanUp], { detached: true, stdio: 'ignore' }).unref()
  return server
}

export type TestInstance = {
  server: RunningServer
  url: string
  /** Host by which the server tells this instance from others. */
  host: string
  publishableKey: string
  secretKey: string
  /** The context of a caller in this instance; the clock can be moved by `advance`. */
  ctx: (actor?: Actor) => Ctx
  /** Moves this instance's clock for contexts made by `ctx`. */
  advance: (ms: number) => void
  /** Calls the running server as this instance. */
  fetch: (path: string, init?: RequestInit & { secretKey?: boolean }) => Promise<Response>
}

/** A fresh instance of its own for a test: nothing of another test is in it. */
export async function testInstance(environment: 'development' | 'production' = 'development'): Promise<TestInstance> {
  const server = await testServer()
  const { runtime } = server
  const name = `t${randomBase62(10).toLowerCase()}`
  const host = `${name}.localhost:${server.port}`
  const made = await runtime.instances.create({ name, environment, host })
  let offset = 0
  return {
    server,
    url: `http://localhost:${server.port}`,
    host,
    publishableKey: made.publishableKey,
    secretKey: made.secretKey,
    ctx: (actor = { type: 'backend' }) => {
      const instance = runtime.instances.find(made.id)
      if (!instance) throw new Error('the test instance is gone')
      return { ...createCtx(runtime, instance, actor), now: () => new Date(Date.now() + offset) }
    },
    advance: (ms) => {
      offset += ms
    },
    fetch: (path, { secretKey, ...init } = {}) => {
      const headers = new Headers(init.headers)
      if (secretKey) headers.set('authorization', `Bearer ${made.secretKey}`)
      if (!headers.has('host')) headers.set('host', host)
      return fetch(`http://127.0.0.1:${server.port}${path}`, { redirect: 'manual', ...init, headers })
    },
  }
}

/** The owner of the tables, whom row-level security does not bind. Whoever asks for it closes it. */
export function connectOwner({ server }: Pick<TestInstance, 'server'>): SQL {
  const { databaseUrl, dataDir } = server.runtime.config
  const path = join(dataDir, 'run', '.s.PGSQL.5432')
  return databaseUrl
    ? new SQL({ url: databaseUrl, max: 1 })
    : new SQL({ adapter: 'postgres', path, username: 'usher', database: 'postgres', max: 1 })
}
