import { expect, test } from 'bun:test'
import { sql } from 'drizzle-orm'
import { testInstance } from '../testing/server.ts'
import { transaction } from './transaction.ts'

test('in every table, a query without a filter shows nothing of another instance', async () => {
  const a = await testInstance()
  const b = await testInstance()
  const tables = await a.server.runtime.database.systemSql`
    select relname as name, relrowsecurity and relforcerowsecurity as isolated
    from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')`
  expect(tables.length).toBeGreaterThan(15)
  for (const { name, isolated } of tables) {
    expect({ name, isolated }).toEqual({ name, isolated: true })
    const owner =
      name === 'instances' ? 'id' : name === 'applications' ? '(select application_id from instances)' : 'instance_id'
    const mine = name === 'applications' ? sql.raw(`id = ${owner}`) : sql`${sql.raw(owner)} = ${a.ctx().instance.id}`
    const [row] = await transaction(a.ctx(), (tx) =>
      tx.db.execute(
        sql`select count(*)::int as seen, (count(*) filter (where not (${mine})))::int as foreign from ${sql.identifier(name)}`,
      ),
    )
    expect({ name, foreign: row?.foreign }).toEqual({ name, foreign: 0 })
  }
  const [roles] = await transaction(b.ctx(), (tx) => tx.db.execute(sql`select count(*)::int as n from roles`))
  expect(roles?.n).toBe(2)
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
