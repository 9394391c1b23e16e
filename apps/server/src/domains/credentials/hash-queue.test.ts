import { expect, test } from 'bun:test'
import { hashCost, threadsWithin, useHashCost } from './hash-cost.ts'
import { argon2idHash, verifyHash } from './hash-queue.ts'

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
  const GiB = 1024 * 1024
  try {
    useHashCost({ memoryKiB: 65_536, passes: 3 })
    expect(threadsWithin({ cores: 2, memoryKiB: 24 * GiB })).toBe(2)
    expect(threadsWithin({ cores: 64, memoryKiB: GiB / 2 })).toBe(2)
    expect(threadsWithin({ cores: 4, memoryKiB: GiB / 8 })).toBe(1)
    useHashCost({ memoryKiB: 19_456, passes: 2 })
    expect(threadsWithin({ cores: 64, memoryKiB: GiB / 2 })).toBe(6)
  } finally {
    useHashCost(before)
  }
})
