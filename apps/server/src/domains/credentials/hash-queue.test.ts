import { expect, test } from 'bun:test'
import { availableParallelism } from 'node:os'
import { type HashCost, hashCost, useHashCost } from './hash-cost.ts'
import { argon2idHash, threadsWithin, verifyHash } from './hash-queue.ts'

test('A7 of many passwords that are checked at once each gets its own answer', async () => {
  const passwords = Array.from({ length: 6 }, (_, i) => `a long enough password ${i}`)
  const hashes = await Promise.all(passwords.map(argon2idHash))
  expect(new Set(hashes).size).toBe(passwords.length)
  const checks = Array.from({ length: 48 }, (_, i) => ({ of: i % 6, with: Math.floor(i / 6) % 6 }))
  const answers = await Promise.all(
    checks.map((check) =>
      verifyHash({ hasher: 'argon2id', hash: hashes[check.of] as string }, passwords[check.with] as string),
    ),
  )
  expect(answers).toEqual(checks.map((check) => check.of === check.with))
})

test('a hash that cannot be read fails alone, and one of another system is verified by itself', async () => {
  const hash = await argon2idHash('a long enough password')
  const sha256 = new Bun.CryptoHasher('sha256').update('a long enough password').digest('hex')
  const kinds = [
    { hasher: 'argon2id', hash, fits: true },
    { hasher: 'argon2id', hash: '$argon2id$broken', fits: false },
    { hasher: 'sha256', hash: sha256, fits: true },
    { hasher: 'argon2id', hash: hash.replace(/m=\d+/, 'm=9999999'), fits: false },
  ]
  const all = Array.from({ length: 32 }, (_, i) => kinds[i % kinds.length] as (typeof kinds)[number])
  const answers = await Promise.all(all.map((kind) => verifyHash(kind, 'a long enough password')))
  expect(answers).toEqual(all.map(({ fits }) => fits))
})

test('as many hash at once as there are cores, where memory allows', () => {
  const before = hashCost()
  const MiB = 1024
  try {
    useHashCost({ memoryKiB: 64 * MiB, passes: 3 })
    expect(threadsWithin({ cores: 2, budgetKiB: 6000 * MiB })).toBe(2)
    expect(threadsWithin({ cores: 64, budgetKiB: 128 * MiB })).toBe(2)
    expect(threadsWithin({ cores: 4, budgetKiB: 32 * MiB })).toBe(1)
    useHashCost({ memoryKiB: 19 * MiB, passes: 2 })
    expect(threadsWithin({ cores: 64, budgetKiB: 128 * MiB })).toBe(6)
  } finally {
    useHashCost(before)
  }
})

test('the more a hash costs, the fewer may wait, and whoever comes then is told so', async () => {
  const before = hashCost()
  // Said to have cost as much as ours, and no digest that could be verified: these are answered at once.
  const refused = async ({ memoryKiB, passes }: HashCost) => {
    useHashCost({ memoryKiB, passes })
    const stored = { hasher: 'argon2id', hash: `$argon2id$m=${memoryKiB},t=${passes},broken` }
    const all = await Promise.allSettled(Array.from({ length: 300 }, () => verifyHash(stored, 'x')))
    return all.filter((one) => one.status === 'rejected').map(({ reason }) => reason)
  }
  try {
    expect(await refused({ memoryKiB: 65_536, passes: 3 })).toEqual([])
    const late = await refused({ memoryKiB: 262_144, passes: 20 })
    expect(late.length).toBeGreaterThan(300 - 20 * availableParallelism())
    expect(late.length).toBeLessThan(300 - 10)
    for (const error of late) expect(error).toMatchObject({ code: 'unavailable', details: { retryAfterSeconds: 15 } })
  } finally {
    useHashCost(before)
  }
})
