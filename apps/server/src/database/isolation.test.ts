import { expect, test } from 'bun:test'
import type { SQL } from 'bun'
import { sql } from 'drizzle-orm'
import { connectOwner, testInstance } from '../testing/server.ts'
import { transaction } from './transaction.ts'

type Column = { table: string; name: string; type: string }

/** Some value of a column's type; references need not lead anywhere. */
const someValue: Record<string, string> = {
  text: `md5(random()::text)`,
  'timestamp with time zone': 'now()',
  jsonb: `'{}'`,
  boolean: 'false',
  integer: '1',
  smallint: '1',
  bigint: '(random() * 1e15)::bigint',
  bytea: `'\\x00'`,
  uuid: 'gen_random_uuid()',
}

/** What a table demands of columns that may be null. */
const alsoNeeded: Record<string, Column[]> = {
  api_keys: [{ table: 'api_keys', name: 'user_id', type: 'text' }],
  feature_grants: [{ table: 'feature_grants', name: 'user_id', type: 'text' }],
  vault_documents: [{ table: 'vault_documents', name: 'user_id', type: 'text' }],
}

/** Of the installation: their rows belong to no instance. With one that an instance may not write. */
const rowsOfNobody: Record<string, string> = {
  nodes: `(id, kind, host, pid, version, redis) values ('x', 'server', 'x', 1, 'x', false)`,
  channel_histories: `(line) values ('x')`,
}
const ofNobody = Object.keys(rowsOfNobody)

/** Gives an instance a row in every table, whatever the table is for. */
async function fillEveryTable(owner: SQL, instanceId: string): Promise<string[]> {
  const tables: { name: string }[] = await owner`
    select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition`
  const columns: Column[] = await owner`
    select table_name as table, column_name as name, data_type as type from information_schema.columns
    where table_schema = 'public' and is_nullable = 'NO' and column_default is null and is_identity = 'NO' and is_generated = 'NEVER'`
  await owner.unsafe(`set session_replication_role = replica`)
  for (const { name } of tables) {
    if (name === 'instances' || name === 'applications' || ofNobody.includes(name)) continue // they have rows already
    const needed = [...columns.filter((c) => c.table === name), ...(alsoNeeded[name] ?? [])]
    const values = needed.map((c) => (c.name === 'instance_id' ? `'${instanceId}'` : someValue[c.type]))
    // The server may have made the instance's stream of events meanwhile: that row serves as well.
    await owner.unsafe(
      `insert into ${name} (${needed.map((c) => `"${c.name}"`).join(', ')}) values (${values.join(', ')}) on conflict do nothing`,
    )
  }
  return tables.map((t) => t.name).filter((name) => !ofNobody.includes(name))
}

/** Takes the made-up rows away again: this server goes on serving other tests. */
async function emptyEveryTable(owner: SQL, instanceId: string, tables: string[]) {
  const owned = tables.filter((name) => name !== 'instances' && name !== 'applications')
  await owner.unsafe(owned.map((name) => `delete from ${name} where instance_id = '${instanceId}'`).join(';'))
}

test('in every table, a query without a filter shows nothing of another instance', async () => {
  const a = await testInstance()
  const b = await testInstance()
  const owner = connectOwner(a)
  let tables: string[] = []
  try {
    tables = await fillEveryTable(owner, b.ctx().instance.id)
    expect(tables.length).toBeGreaterThan(15)
    const bystander = b.ctx().instance
    for (const name of tables) {
      const isBs =
        name === 'instances'
          ? `id = '${bystander.id}'`
          : name === 'applications'
            ? `id = '${bystander.applicationId}'`
            : `instance_id = '${bystander.id}'`
      const count = sql.raw(`select (count(*) filter (where ${isBs}))::int as n from ${name}`)
      const [there] = await owner.unsafe(`select count(*)::int as n from ${name} where ${isBs}`)
      const [seen] = await transaction(a.ctx(), (tx) => tx.db.execute(count))
      expect({ name, there: there.n > 0, seen: seen?.n }).toEqual({ name, there: true, seen: 0 })
      // Without an instance, nothing at all is visible.
      const [unset] = await a.server.runtime.database.tenant.unsafe(`select count(*)::int as n from ${name}`)
      expect({ name, unset: unset?.n }).toEqual({ name, unset: 0 })
    }
  } finally {
    await emptyEveryTable(owner, b.ctx().instance.id, tables)
    await owner.close()
  }
}, 60_000)

test('what belongs to the installation is seen by no instance', async () => {
  const t = await testInstance()
  for (const name of ofNobody) {
    const [there] = await t.server.runtime.database.systemSql.unsafe(`select count(*)::int as n from ${name}`)
    expect({ name, there: there.n > 0 }).toEqual({ name, there: true })
    const [seen] = await transaction(t.ctx(), (tx) => tx.db.execute(sql.raw(`select count(*)::int as n from ${name}`)))
    expect({ name, seen: seen?.n }).toEqual({ name, seen: 0 })
    const write = transaction(t.ctx(), (tx) => tx.db.execute(sql.raw(`insert into ${name} ${rowsOfNobody[name]}`)))
    await expect(write).rejects.toMatchObject({ cause: { errno: '42501' } })
  }
})

test('a transaction cannot write a row into another instance', async () => {
  const a = await testInstance()
  const b = await testInstance()
  const write = transaction(a.ctx(), (tx) =>
    tx.db.execute(sql`insert into roles (id, instance_id, key, name, created_at, updated_at)
      values ('role_x', ${b.ctx().instance.id}, 'org:x', 'x', now(), now())`),
  )
  await expect(write).rejects.toMatchObject({ cause: { errno: '42501' } })
})

test('the roles that serve cannot bypass row-level security, and the system role reaches its own tables only', async () => {
  const a = await testInstance()
  const { systemSql } = a.server.runtime.database
  const roles =
    await systemSql`select rolname, rolsuper or rolbypassrls as bypasses from pg_roles where rolname like 'usher\\_%' order by 1`
  expect(roles.map((r: { rolname: string; bypasses: boolean }) => [r.rolname, r.bypasses])).toEqual([
    ['usher_app', false],
    ['usher_search', false],
    ['usher_system', false],
  ])
  const [search] = await systemSql`
    select rolcanlogin as can_log_in, pg_has_role('usher_app', oid, 'member') or pg_has_role('usher_system', oid, 'member') as taken_on
    from pg_roles where rolname = 'usher_search'`
  expect(search).toEqual({ can_log_in: false, taken_on: false })
  for (const table of ['users', 'sessions', 'passwords', 'email_addresses']) {
    await expect(systemSql.unsafe(`select 1 from ${table}`).then(() => 'allowed')).rejects.toMatchObject({
      errno: '42501',
    })
  }
})
