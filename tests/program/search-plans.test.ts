import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { SQL } from 'bun'
import { loadConfig } from '../../apps/server/src/config.ts'
import { type RunningServer, serve } from '../../apps/server/src/serve.ts'
import { seededId, seedTenants } from '../../bench/support/seed-tenants.ts'
import { postgresBin, startPostgres } from '../support/postgres.ts'
import { temporaryDirectory } from '../support/usher.ts'

/** Enough that reading a table from end to end is never the cheapest way to find a few rows. */
const size = { organizations: 2_000, users: 24_000 }
const tables = ['users', 'user_search', 'email_addresses', 'memberships', 'organizations']
/** A node of a plan as `explain (format json)` writes it. */
type Node = { 'Node Type': string; 'Relation Name'?: string; 'Index Name'?: string; Plans?: Node[] }
type Statement = { query: string; values: unknown[] }
type Instance = { id: string; secretKey: string }

/** A running server with many tenants, in this process, so that what it asks its database can be heard. */
type Place = { server: RunningServer; owner: SQL; instance: Instance; stop: () => Promise<void> }

async function embedded(): Promise<Place> {
  const data = temporaryDirectory()
  const server = await serve(loadConfig({ LOG_LEVEL: 'fatal' }, { port: '0', dataDir: data.path }), { upkeep: false })
  const path = `${data.path}/run/.s.PGSQL.5432`
  const owner = new SQL({ adapter: 'postgres', path, username: 'usher', database: 'postgres', max: 1 })
  return fill(server, owner, async () => data[Symbol.dispose]())
}

/** As a hosting company gives it: the database is the server's, the cluster is not. */
async function ownedBySomebodyElse(): Promise<Place> {
  const data = temporaryDirectory()
  const postgres = await startPostgres()
  const operator = new SQL({ url: postgres.url, max: 1 })
  await operator`create role tenant_of_the_host login createrole`
  await operator`create database usher owner tenant_of_the_host`
  await operator.close()
  const url = postgres.url.replace(/\/postgres$/, '/usher')
  const DATABASE_URL = url.replace('operator@', 'tenant_of_the_host@')
  const config = loadConfig({ LOG_LEVEL: 'fatal', DATABASE_URL }, { port: '0', dataDir: data.path })
  const server = await serve(config, { upkeep: false })
  return fill(server, new SQL({ url, max: 1 }), async () => {
    await postgres[Symbol.asyncDispose]()
    data[Symbol.dispose]()
  })
}

async function fill(server: RunningServer, owner: SQL, end: () => Promise<void>): Promise<Place> {
  const host = `localhost:${server.port}`
  const instance = await server.runtime.instances.create({ name: 'many', environment: 'development', host })
  await seedTenants(owner, instance.id, size)
  const stop = async () => {
    await owner.close()
    await server.stop()
    await end()
  }
  return { server, owner, instance, stop }
}

/** Runs something and hands back the statements that the server sent meanwhile for its tenants. */
async function listen({ server }: Place, work: () => Promise<unknown>): Promise<Statement[]> {
  const { tenant } = server.runtime.database
  const heard: Statement[] = []
  const begin = tenant.begin
  const overhear = (connection: SQL): SQL =>
    new Proxy(connection, {
      get: (target, key) => {
        if (key !== 'unsafe') return Reflect.get(target, key)
        return (query: string, values: unknown[] = []) => {
          heard.push({ query, values })
          return target.unsafe(query, values)
        }
      },
    })
  tenant.begin = ((options: string, task: (connection: SQL) => Promise<unknown>) =>
    begin.call(tenant, options, (connection) => task(overhear(connection)))) as typeof begin
  try {
    await work()
  } finally {
    tenant.begin = begin
  }
  return heard.filter(({ query }) => /^\s*(select|insert|update|delete|with)\b/i.test(query))
}

/** Every node of the plans of statements, as the role plans them that serves. */
async function planNodes({ server, instance }: Place, statements: Statement[]): Promise<Node[]> {
  const nodes: Node[] = []
  const visit = (node: Node) => {
    nodes.push(node)
    node.Plans?.forEach(visit)
  }
  await server.runtime.database.tenant.begin(async (connection) => {
    await connection`select set_config('usher.instance_id', ${instance.id}, true)`
    for (const { query, values } of statements) {
      const [row] = await connection.unsafe(`explain (format json) ${query}`, values)
      const plan = typeof row['QUERY PLAN'] === 'string' ? JSON.parse(row['QUERY PLAN']) : row['QUERY PLAN']
      visit(plan[0].Plan)
    }
  })
  return nodes
}

const scanned = (nodes: Node[]) => [
  ...new Set(nodes.filter((n) => n['Node Type'] === 'Seq Scan').map((n) => n['Relation Name'] ?? '')),
]

const places = [
  { name: 'the embedded PostgreSQL', open: embedded, skip: false },
  { name: 'a PostgreSQL 15 whose superuser is somebody else', open: ownedBySomebodyElse, skip: !postgresBin },
]

for (const { name, open, skip } of places) {
  describe.skipIf(skip)(`with ${size.users.toLocaleString('en')} users in ${name}`, () => {
    let place: Place
    beforeAll(async () => {
      place = await open()
    }, 240_000)
    afterAll(() => place?.stop(), 30_000)

    const send = async (path: string, init: RequestInit = {}) => {
      const authorization = `Bearer ${place.instance.secretKey}`
      const headers = { authorization, 'content-type': 'application/json', ...init.headers }
      const response = await fetch(`http://127.0.0.1:${place.server.port}/v1${path}`, { ...init, headers })
      const body = await response.json()
      if (!response.ok) throw new Error(`${path}: ${response.status} ${JSON.stringify(body)}`)
      return { body, response }
    }
    const post = (path: string, body: unknown) => send(path, { method: 'POST', body: JSON.stringify(body) })

    test('the planner knows how many rows there are, and would read a table for a search that no index serves', async () => {
      const rows: { name: string; n: number }[] = await place.owner`
        select relname as name, reltuples::int as n from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace`
      const counts = new Map(rows.map((row) => [row.name, row.n]))
      for (const table of tables) expect(counts.get(table)).toBeGreaterThanOrEqual(2_000)
      const query = 'select id from users where first_name ilike $1'
      expect(scanned(await planNodes(place, [{ query, values: ['%ada%'] }]))).toEqual(['users'])
    })

    const organization = (n: number) => seededId(place.owner, 'org', n)
    /** What is asked, and the index that it has to go by. */
    const asked: [string, () => Promise<unknown>, string][] = [
      ['listing users', () => send('/users?limit=20&offset=40'), 'users_created'],
      ['listing users by activity', () => send('/users?limit=20&order_by=-last_active_at'), 'users_last_active'],
      ['counting users', () => send('/users/count'), 'user_search_instance'],
      ['users by part of a last name', () => send('/users?query=langova'), 'user_search_document'],
      ['users by a first name that many have', () => send('/users?query=Ada'), 'user_search_document'],
      ['users by what most addresses have', () => send('/users?query=.example'), 'user_search_pkey'],
      ['users by a domain', () => send('/users?query=.example&offset=1000'), 'user_search_document'],
      ['users by part of an address', () => send('/users?email_address_query=ngova1'), 'user_search_document'],
      ['users by part of a number', () => send('/users?phone_number_query=1501'), 'user_search_document'],
      ['users by part of a username', () => send('/users?username_query=ada_2'), 'user_search_document'],
      ['counting users by part of a name', () => send('/users/count?name_query=a%20Lan'), 'user_search_document'],
      ['listing organizations', () => send('/organizations?limit=20&offset=40'), 'organizations_created'],
      ['organizations by part of a name', () => send('/organizations?query=ova%20La'), 'organizations_document'],
      [
        'listing members of the largest organization',
        async () => send(`/organizations/${await organization(0)}/memberships?limit=20`),
        'memberships_created',
      ],
      [
        'members of the largest organization by part of a name',
        async () => send(`/organizations/${await organization(0)}/memberships?query=langova`),
        'user_search_document',
      ],
      [
        'members of a small organization by part of a name',
        async () => send(`/organizations/${await organization(7)}/memberships?query=langova`),
        'user_search_pkey',
      ],
      [
        'inviting',
        async () =>
          post(`/organizations/${await organization(0)}/invitations`, {
            email_address: 'new+clerk_test@example.com',
            role: 'org:member',
          }),
        'organizations_pkey',
      ],
    ]
    for (const [what, work, index] of asked)
      test(`${what} reads no table from end to end`, async () => {
        const nodes = await planNodes(place, await listen(place, work))
        expect(scanned(nodes).filter((table) => tables.includes(table))).toEqual([])
        expect(nodes.map((node) => node['Index Name'])).toContain(index)
      })

    test('switching the active organization reads no table from end to end', async () => {
      const person = await seededId(place.owner, 'user', 41)
      const { body } = await post('/sign_in_tokens', { user_id: person })
      const form = (path: string, fields: Record<string, string>, cookie = '') =>
        fetch(`http://localhost:${place.server.port}/v1${path}`, {
          method: 'POST',
          body: new URLSearchParams(fields),
          headers: { cookie },
        })
      const signedIn = await form('/client/sign_ins', { strategy: 'ticket', ticket: body.token })
      const cookie = signedIn.headers.getSetCookie().find((value) => value.startsWith('__client')) ?? ''
      const { response } = (await signedIn.json()) as { response: { created_session_id: string } }
      const [at] = await place.owner`select organization_id as id from memberships where user_id = ${person} limit 1`
      const statements = await listen(place, async () => {
        const path = `/client/sessions/${response.created_session_id}/touch`
        const touched = await form(path, { active_organization_id: at.id }, cookie.split(';', 1)[0])
        expect(touched.status).toBe(200)
      })
      expect(statements.length).toBeGreaterThan(2)
      expect(scanned(await planNodes(place, statements)).filter((table) => tables.includes(table))).toEqual([])
    })

    test('signing in with a password, alone and with others, reads no table from end to end', async () => {
      const people = ['ann', 'ben', 'cat', 'dan'].map((name) => `${name}+clerk_test@example.com`)
      const password = 'a long enough password 1'
      for (const address of people) await post('/users', { email_address: [address], password })
      const signIn = async (identifier: string) => {
        const url = `http://localhost:${place.server.port}/v1/client/sign_ins`
        const answer = await fetch(url, { method: 'POST', body: new URLSearchParams({ identifier, password }) })
        expect(await answer.json()).toMatchObject({ response: { status: 'complete' } })
      }
      for (const together of [people.slice(0, 1), people]) {
        const statements = await listen(place, () => Promise.all(together.map(signIn)))
        expect(statements.filter(({ query }) => /update users/.test(query)).length).toBeGreaterThan(0)
        const nodes = await planNodes(place, statements)
        expect(scanned(nodes).filter((table) => tables.includes(table))).toEqual([])
        expect(nodes.map((node) => node['Index Name'])).toContain('users_pkey')
      }
    })

    test('verifying and listing API keys reads no table from end to end', async () => {
      const { owner, instance } = place
      // A key for each person, and one for each membership of the first 5,000: of them a tenth are of one organization.
      const key = (
        subject: string,
        rows: string,
      ) => `insert into api_keys (id, instance_id, ${subject}, name, secret_hash,
          creator_membership_id, made_by_member, scopes, created_at, updated_at)
        select 'apikey_' || md5(k.id), '${instance.id}', k.subject, k.id, md5(k.id), k.membership, k.membership is not null, '[]',
          now(), now() from (${rows}) k`
      await owner.unsafe(key('user_id', 'select id, id as subject, null as membership from users'))
      const members =
        'select id, organization_id as subject, id as membership from memberships order by created_at limit 5000'
      await owner.unsafe(key('organization_id', members))
      const hash = new Bun.CryptoHasher('sha256').update('ak_01234567890123456789').digest('hex')
      await owner`update api_keys set secret_hash = ${hash}, made_by_member = false
        where id = (select id from api_keys where creator_membership_id is not null order by id limit 1)`
      await owner.unsafe('analyze api_keys')
      const guarded = [...tables, 'api_keys']
      for (const [what, work, index] of [
        [
          'verify',
          () => post('/api_keys/verify', { secret: 'ak_01234567890123456789' }),
          /^api_keys_secret_hash_unique$/,
        ],
        [
          'of a person',
          async () => send(`/api_keys?subject=${await seededId(owner, 'user', 41)}`),
          /^api_keys_(name|created)$/,
        ],
        [
          'of many',
          async () => send(`/api_keys?subject=${await organization(0)}&query=orgmem`),
          /^api_keys_(name|created)$/,
        ],
      ] as const) {
        const statements = await listen(place, work as () => Promise<unknown>)
        const nodes = await planNodes(place, statements)
        expect([what, scanned(nodes).filter((table) => guarded.includes(table))]).toEqual([what, []])
        expect([what, nodes.some((node) => index.test(node['Index Name'] ?? ''))]).toEqual([what, true])
        if (what === 'verify') expect(statements).toHaveLength(1)
      }
      await owner`delete from api_keys`
    })

    test('what is found is what names, addresses and numbers have in them', async () => {
      const find = async (query: string, and = '') =>
        (await send(`/users?limit=500&query=${encodeURIComponent(query)}${and}`)).body as { id: string }[]
      const expected = async (text: string, order = 'created_at desc, id desc'): Promise<string[]> => {
        const query = `
          select id from users u where concat_ws(' ', first_name, last_name) ilike $1 or username ilike $1
            or exists (select from email_addresses e where e.user_id = u.id and email_address ilike $1)
            or exists (select from phone_numbers p where p.user_id = u.id and phone_number ilike $1)
          order by ${order} limit 500`
        const rows = await place.owner.unsafe(query, [`%${text.replace(/[\\%]/g, '\\$&')}%`])
        return rows.map((row: { id: string }) => row.id)
      }
      // Found by few, by thousands (the list is walked), by one or two letters, by nobody.
      for (const text of [
        'langova1',
        'Ada Lang',
        '1@lang.',
        '@mail.example',
        'ADA',
        '.example',
        'an',
        'x',
        '+4915',
        'qxz',
        '100%',
      ])
        expect({ text, found: (await find(text)).map(({ id }) => id) }).toEqual({ text, found: await expected(text) })
      const byActivity = await find('.example', '&order_by=-last_active_at')
      expect(byActivity.map(({ id }) => id)).toEqual(
        await expected('.example', 'last_active_at desc nulls last, id desc'),
      )
      const [first] = await place.owner`select id from users where first_name = 'Ada' limit 1`
      expect((await find(first.id)).map(({ id }) => id)).toEqual([first.id])
    })

    test('members are found by the same, and all of them are counted', async () => {
      for (const n of [0, 7])
        for (const text of ['langova', 'ADA', 'Ada ', '.example', 'an', 'qxz']) {
          const id = await organization(n)
          const query = `
            select m.id from memberships m join user_search s using (user_id)
            where m.organization_id = $1 and s.document like lower($2) order by m.created_at desc, m.id`
          const rows: { id: string }[] = await place.owner.unsafe(query, [id, `%${text}%`])
          const path = `/organizations/${id}/memberships?limit=10&offset=3&query=${encodeURIComponent(text)}`
          const { body } = await send(path)
          const found = { text, n, total: body.total_count, ids: body.data.map((m: { id: string }) => m.id) }
          expect(found).toEqual({ text, n, total: rows.length, ids: rows.slice(3, 13).map((row) => row.id) })
        }
    })

    test('organizations are found by their name and address', async () => {
      for (const text of ['ova La', 'ORG-19', 'an', 'qxz']) {
        const query = 'select id from organizations where name ilike $1 or slug ilike $1 order by created_at desc, id'
        const rows: { id: string }[] = await place.owner.unsafe(query, [`%${text}%`])
        const { body } = await send(`/organizations?limit=500&query=${encodeURIComponent(text)}`)
        const found = { text, total: body.total_count, ids: body.data.map((o: { id: string }) => o.id) }
        expect(found).toEqual({ text, total: rows.length, ids: rows.slice(0, 500).map((row) => row.id) })
      }
      const sizes = (await send('/organizations?limit=5&order_by=-members_count')).body.data
      const most: { n: number }[] = await place.owner`
        select count(*)::int as n from memberships group by organization_id order by 1 desc limit 5`
      expect(sizes.map((o: { members_count: number }) => o.members_count)).toEqual(most.map((row) => row.n))
    })
  })
}
