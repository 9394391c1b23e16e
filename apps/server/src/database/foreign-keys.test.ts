import { expect, test } from 'bun:test'
import { testInstance } from '../testing/server.ts'

test('every foreign key has an index, so that deleting what it refers to reads no table', async () => {
  const { systemSql } = (await testInstance()).server.runtime.database
  const keys: { name: string; indexed: boolean }[] = await systemSql`
    select format('%s.%s', k.conrelid::regclass, k.conname) as name, exists (
      select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
      -- The first column of each key is the id of a row: what else is in it only confirms.
      where i.indrelid = k.conrelid and i.indisvalid and i.indkey[0] = k.conkey[1]
        and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) = format('(%I IS NOT NULL)', a.attname))
      ) as indexed
    from pg_constraint k where k.contype = 'f' and k.connamespace = 'public'::regnamespace`
  expect(keys.length).toBeGreaterThan(40)
  expect(keys.filter((key) => !key.indexed).map((key) => key.name)).toEqual([])
})
