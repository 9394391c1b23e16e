import { SQL } from 'bun'
import type { LatencyInput, LatencyResult } from './generators/http-latency.ts'
import { startPostgres } from './support/postgres.ts'
import { generate, temporaryDirectory } from './support/processes.ts'
import type { Benchmark, Row } from './support/rows.ts'
import { beginnings, endings, firstNames, type Size, seededId, seedTenants } from './support/seed-tenants.ts'
import { connectOwner, signInAs, startUsher, type Usher } from './support/usher.ts'

/** What the targets are for. */
const large: Size = { organizations: 1_000, users: 100_000 }
/** What a start-up has: shows what of the time comes from the size. */
const small: Size = { organizations: 10, users: 100 }
const limitMs = 50

type Request = LatencyInput['requests'][number]
/** `lanes`: how many are asked at once, for information only. */
type Operation = { name: string; requests: Request[]; lanes?: number }

const rounds = 200
const repeat = (make: (n: number) => Request): Request[] => Array.from({ length: rounds }, (_, n) => make(n))
const pick = <T>(values: readonly T[], n: number): T => values[n % values.length] as T
const text = (value: string) => encodeURIComponent(value)

/** What people type who look for somebody: a beginning, the middle or all of a name. */
const partOfName = (n: number) => {
  const [first, beginning, ending] = [pick(firstNames, n * 31), pick(beginnings, n * 7), pick(endings, n * 5)]
  return pick(
    [beginning + ending, first, `${first} ${beginning}`, (beginning + ending).slice(1, 6), first.slice(0, 3), ending],
    n,
  )
}

/** Every operation with requests of its own, no two of them the same. */
async function operationsOf(usher: Usher, owner: SQL): Promise<Operation[]> {
  const secret = { authorization: `Bearer ${usher.ready.secret_key}` }
  const get = (path: string): Request => ({ method: 'GET', path: `/v1${path}`, headers: secret })
  const [largest, another] = [await seededId(owner, 'org', 0), await seededId(owner, 'org', 7)]
  // In two organizations, and an administrator of one.
  const person = await seededId(owner, 'user', 41)
  const places: { organization_id: string }[] =
    await owner`select organization_id from memberships where user_id = ${person}`
  const { cookie, sessionId } = await signInAs(usher, person)
  const form = { 'content-type': 'application/x-www-form-urlencoded', cookie }
  const switching = (n: number): Request => ({
    method: 'POST',
    path: `/v1/client/sessions/${sessionId}/touch`,
    headers: form,
    body: `active_organization_id=${pick(places, n).organization_id}`,
  })
  const inviting = (n: number): Request => ({
    method: 'POST',
    path: `/v1/organizations/${n % 2 === 0 ? largest : another}/invitations`,
    headers: { ...secret, 'content-type': 'application/json' },
    body: JSON.stringify({ email_address: `new${n}+clerk_test@example.com`, role: 'org:member' }),
  })
  const orders = ['-created_at', '-last_active_at', '-last_sign_in_at', 'created_at']
  const listing = (n: number) => get(`/users?limit=20&offset=${(n % 20) * 20}&order_by=${pick(orders, n)}`)
  const searching = (n: number) => get(`/users?limit=20&query=${text(partOfName(n))}`)
  const finding = (n: number) => get(`/organizations/${largest}/memberships?limit=20&query=${text(partOfName(n))}`)
  return [
    { name: 'listing users', requests: repeat(listing) },
    { name: 'counting all users', requests: repeat(() => get('/users/count')) },
    { name: 'users by part of a name', requests: repeat(searching) },
    {
      name: 'users by part of an e-mail address',
      requests: repeat((n) => {
        const typed = pick([pick(firstNames, n), `${pick(beginnings, n)}.example`, `${pick(endings, n)}${n}@`], n)
        return get(`/users?limit=20&email_address_query=${text(typed)}`)
      }),
    },
    {
      name: 'users by part of a phone number',
      requests: repeat((n) => get(`/users?limit=20&query=${1000 + ((n * 7919) % 9000)}`)),
    },
    {
      name: 'users by one or two letters',
      requests: repeat((n) => get(`/users?limit=20&query=${text(pick(endings, n).slice(0, 1 + (n % 2)))}`)),
    },
    {
      name: 'users whom nobody is',
      requests: repeat((n) => get(`/users?limit=20&query=${text(pick(['qxz', 'nobody', 'xq', 'ß'], n))}${n}`)),
    },
    {
      name: 'counting users by part of a name',
      requests: repeat((n) => get(`/users/count?query=${text(partOfName(n))}`)),
    },
    {
      name: 'listing organizations',
      requests: repeat((n) => get(`/organizations?limit=20&offset=${(n % 20) * 20}`)),
    },
    {
      name: 'organizations by number of members',
      requests: repeat((n) => get(`/organizations?limit=20&offset=${(n % 20) * 20}&order_by=-members_count`)),
    },
    {
      name: 'organizations by part of a name',
      requests: repeat((n) =>
        get(`/organizations?limit=20&query=${text(pick([pick(beginnings, n), `${pick(endings, n)} `, 'Labs 1'], n))}`),
      ),
    },
    {
      name: 'listing members of the largest organization',
      requests: repeat((n) => get(`/organizations/${largest}/memberships?limit=20&offset=${(n % 20) * 20}`)),
    },
    { name: 'members of the largest organization by name', requests: repeat(finding) },
    {
      name: 'members of another organization by name',
      requests: repeat((n) => get(`/organizations/${another}/memberships?limit=20&query=${text(partOfName(n))}`)),
    },
    { name: 'switching the active organization', requests: repeat(switching) },
    { name: 'inviting', requests: repeat(inviting) },
    {
      name: 'listing and searching, four at once',
      requests: repeat((n) => pick([listing, searching, finding], n)(n)),
      lanes: 4,
    },
  ]
}

type Measured = { name: string; lanes: number } & LatencyResult

/** Starts a server, fills it, and asks. */
async function measure(size: Size, postgres?: { url: string }): Promise<Measured[]> {
  using data = temporaryDirectory()
  await using usher = await startUsher(data.path, postgres && { DATABASE_URL: postgres.url })
  await using owner = postgres ? new SQL({ url: postgres.url, max: 1 }) : connectOwner(data.path)
  const [instance] = await owner`select id from instances`
  await seedTenants(owner, instance.id, size)
  return await measureRunning(usher, owner)
}

async function measureRunning(usher: Usher, owner: SQL): Promise<Measured[]> {
  const measured: Measured[] = []
  for (const { name, requests, lanes = 1 } of await operationsOf(usher, owner)) {
    const input: LatencyInput = { port: usher.port, warmUp: 20, lanes, requests }
    measured.push({ name, lanes, ...(await generate<LatencyResult>('generators/http-latency.ts', input)) })
  }
  return measured
}

const shown = ({ p50, p95 }: LatencyResult) => `${p50.toFixed(1)}, ${p95.toFixed(1)} ms`

function rowOf(at: string, ours: Measured, few: Measured | undefined): Row {
  return {
    name: `${ours.name}${at}: p50, p95`,
    ours: shown(ours),
    peer: few ? shown(few) : '',
    ratio: few ? `${(ours.p95 / few.p95).toFixed(1)}x` : `${(ours.p95 / limitMs).toFixed(2)} of the limit`,
    target: ours.lanes === 1 ? `p95 ≤ ${limitMs} ms` : '–',
    met: ours.lanes === 1 ? ours.p95 <= limitMs : undefined,
  }
}

export const multiTenant: Benchmark = {
  name: 'multi-tenant',
  method:
    `${large.organizations.toLocaleString('en')} organizations and ${large.users.toLocaleString('en')} users in one instance (120,000 memberships, ` +
    'a tenth of them in one organization; 120,000 addresses, 10,000 phone numbers, 40,000 invitations), and each operation asked for 180 times ' +
    'through HTTP, one request at a time unless said otherwise, with other words and pages each time and after 20 that do not count. The column of the ' +
    'peer has the same requests on a server with 10 organizations and 100 users, and the ratio is of the p95. `USHER_BENCH_POSTGRES_BIN` names the directory of ' +
    'another PostgreSQL’s programs, which is then measured too, with its own defaults.',
  run: async () => {
    const few = await measure(small)
    const rows = (await measure(large)).map((row, i) => rowOf('', row, few[i]))
    const bin = process.env.USHER_BENCH_POSTGRES_BIN
    if (bin) {
      await using postgres = await startPostgres(bin)
      const at = `, PostgreSQL ${postgres.version}`
      rows.push(...(await measure(large, postgres)).map((row) => rowOf(at, row, undefined)))
    }
    return { rows, notes: [] }
  },
}
