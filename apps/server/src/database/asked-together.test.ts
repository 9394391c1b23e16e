import { expect, test } from 'bun:test'
import { testInstance } from '../testing/server.ts'
import { askedTogether, transaction, transactionTogether } from './index.ts'

/** Doubles numbers, and notes which were asked for in one statement. */
function doubling() {
  const asked: (readonly number[])[] = []
  const double = askedTogether<number, number>(async ({ connection }, numbers) => {
    asked.push([...numbers])
    const rows: { n: number; doubled: number }[] = await connection.unsafe(
      'select n, 2 * n + 0 * (1 / (n - 13)) as doubled from unnest($1::text::int[]) n order by n desc',
      [`{${numbers}}`],
    )
    return numbers.map((number) => rows.find(({ n }) => n === number)?.doubled ?? Number.NaN)
  })
  return { asked, double }
}

test('what is asked in the same moment of one transaction is one statement, and each gets its own answer', async () => {
  const t = await testInstance()
  const { asked, double } = doubling()
  const together = (n: number) =>
    transactionTogether(t.ctx(), async (tx) => [await double(tx, n), await double(tx, n + 100)], { reads: true })
  expect(await Promise.all([together(3), together(1), together(3)])).toEqual([
    [6, 206],
    [2, 202],
    [6, 206],
  ])
  expect(asked).toEqual([
    [3, 1, 3],
    [103, 101, 103],
  ])
})

test('other transactions ask for themselves', async () => {
  const t = await testInstance()
  const { asked, double } = doubling()
  const alone = (n: number) => transaction(t.ctx(), (tx) => double(tx, n))
  expect(await Promise.all([alone(3), alone(1)])).toEqual([6, 2])
  expect(asked.sort()).toEqual([[1], [3]])
})

test('a statement that fails is told to all who asked by it, and to nobody after them', async () => {
  const t = await testInstance()
  const { double } = doubling()
  let outcomes: PromiseSettledResult<number>[] = []
  const failed = transaction(t.ctx(), async (tx) => {
    outcomes = await Promise.allSettled([double(tx, 13), double(tx, 2)])
  })
  // What fails in PostgreSQL ends its transaction.
  await failed.catch(() => {})
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(await transaction(t.ctx(), (tx) => double(tx, 2))).toBe(4)
})
