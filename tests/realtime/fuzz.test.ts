import { expect, test } from 'bun:test'
import { fuzz } from '../fuzz/walk-update.ts'

const seconds = process.env.USHER_LONG_TESTS ? 300 : 6
const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)

test(
  `R-6 the validator and yjs agree on updates of clients and on hostile ones, for ${seconds} s from seed ${seed}`,
  () => {
    const counts = fuzz(seed, seconds * 1000)
    console.log(`seed ${seed}: ${JSON.stringify(counts)}`)
    expect(counts.real).toBeGreaterThan(100)
    expect(counts.accepted).toBeGreaterThan(20)
  },
  (seconds + 60) * 1000,
)
