import { expect, test } from 'bun:test'
import { connect, generous, until, writer } from '../cluster/support.ts'
import { postgresBin, startPostgres } from '../support/postgres.ts'
import { startProxy } from '../support/proxy.ts'
import { startUsher } from '../support/usher.ts'

test.skipIf(!postgresBin)(
  'connections to a database that vanished without a word are replaced, and tokens are issued meanwhile',
  async () => {
    await using postgres = await startPostgres()
    await using line = await startProxy(postgres.port)
    const url = postgres.url.replace(String(postgres.port), String(line.port))
    await using usher = await startUsher({ env: { DATABASE_URL: url } })
    const { url: origin, secret_key } = usher.ready
    const backend = async (path: string, body: unknown) => {
      const response = await fetch(`${origin}/v1${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secret_key}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(40_000),
      })
      return { status: response.status, body: (await response.json()) as Record<string, string> }
    }
    const { body: ada } = await backend('/users', personOf('ada'))
    const { body: ticket } = await backend('/sign_in_tokens', { user_id: ada.id })
    const signedIn = await fetch(`${origin}/v1/client/sign_ins`, {
      method: 'POST',
      body: new URLSearchParams({ strategy: 'ticket', ticket: ticket.token ?? '' }),
    })
    const cookie =
      signedIn.headers
        .getSetCookie()
        .find((value) => value.startsWith('__client'))
        ?.split(';', 1)[0] ?? ''
    const { response } = (await signedIn.json()) as { response: { created_session_id: string } }
    const mint = async () => {
      const token = await fetch(`${origin}/v1/client/sessions/${response.created_session_id}/tokens`, {
        method: 'POST',
        headers: { cookie },
        signal: AbortSignal.timeout(2000),
      })
      return token.status
    }
    expect(await mint()).toBe(200)

    const pids = await backends(postgres.url)
    expect(pids.length).toBeGreaterThan(4)
    line.forsake()
    const startedAt = performance.now()
    let isBack = false
    // One that was under way is refused, as when connections are cut; whoever comes after that is served.
    const served = Array.from({ length: 12 }, async (_, i) => {
      for (;;) {
        const answer = await backend('/users', personOf(`eve${i}`))
        if (answer.status === 200) return performance.now() - startedAt
        expect(answer.status).toBeGreaterThanOrEqual(500)
        await Bun.sleep(100)
      }
    })
    const all = Promise.all(served).finally(() => {
      isBack = true
    })
    while (!isBack) {
      expect(await mint()).toBe(200)
      await Bun.sleep(200)
    }
    expect(Math.max(...(await all))).toBeLessThan(20_000)
    // None of those that the database still held is left to do later what was asked of it.
    const left = await backends(postgres.url)
    expect(left.filter((pid) => pids.includes(pid))).toEqual([])
    expect(usher.output().stdout + usher.output().stderr).toContain('replaced')
  },
  90_000,
)

const personOf = (name: string) => ({
  email_address: [`${name}+clerk_test@example.com`],
  skip_password_requirement: true,
})

/** Process ids of what the server has open at its database. */
async function backends(url: string): Promise<number[]> {
  const sql = new Bun.SQL(url, { max: 1 })
  try {
    const rows: { pid: number }[] = await sql`
      select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()`
    return rows.map(({ pid }) => pid)
  } finally {
    await sql.close()
  }
}

test.skipIf(!postgresBin)(
  'R-19 documents whose database vanished without a word are stored again, and nothing that was acknowledged is lost',
  async () => {
    await using postgres = await startPostgres()
    await using line = await startProxy(postgres.port)
    const url = postgres.url.replace(String(postgres.port), String(line.port))
    const start = (url: string) =>
      startUsher({ command: ['sync-server', 'start'], env: { ...generous, DATABASE_URL: url } })
    const server = await start(url)
    const writers = ['a', 'b'].map((id) => writer(server.ready.url, id, 20))
    await until(() => writers.every((w) => w.acknowledged.size > 10), 'acknowledged', 20_000)
    line.forsake()
    const before = writers.map((w) => w.acknowledged.size)
    const goOn = () => writers.every((w, i) => w.acknowledged.size > (before[i] as number) + 5)
    expect(await until(goOn, 'acknowledged again', 40_000)).toBeLessThan(20_000)
    for (const w of writers) await w.stop()
    await server.stop()
    await using another = await start(postgres.url)
    for (const w of writers) {
      using reader = connect(another.ready.url, w.client.roomname)
      await reader.synced()
      const kept = () => new Set(reader.log.toArray())
      await until(() => [...w.acknowledged].every((mark) => kept().has(mark)), 'whole')
    }
  },
  90_000,
)
