import { expect, test } from 'bun:test'
import { newId, randomBase62, randomDigits } from './ids.ts'
import { newToken } from './secrets.ts'

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** How far counts are from equal ones, in standard deviations of a fair draw (chi-squared, normal approximation). */
function unevenness(counts: ArrayLike<number>): number {
  const values = Array.from(counts)
  const expected = values.reduce((sum, n) => sum + n, 0) / values.length
  const chi = values.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0)
  const freedom = values.length - 1
  return Math.abs(chi - freedom) / Math.sqrt(2 * freedom)
}

test('D16 a million ids are all different, in no order, and every character is as likely everywhere', () => {
  const n = 1_000_000
  const seen = new Set<string>()
  const counts = new Uint32Array(62)
  const places = [0, 13, 26].map(() => new Uint32Array(62))
  let rises = 0
  let before = ''
  for (let i = 0; i < n; i += 1) {
    const id = newId('session')
    seen.add(id)
    if (id > before) rises += 1
    before = id
    for (let at = 5; at < 32; at += 1) {
      const code = alphabet.indexOf(id[at] as string)
      counts[code] = (counts[code] as number) + 1
    }
    ;[5, 18, 31].forEach((at, k) => {
      const place = places[k] as Uint32Array
      const code = alphabet.indexOf(id[at] as string)
      place[code] = (place[code] as number) + 1
    })
  }
  expect(seen.size).toBe(n)
  // Of a random sequence half of the steps go up; an id made from a clock or a counter goes up each time.
  expect(Math.abs(rises - n / 2) / Math.sqrt(n / 12)).toBeLessThan(6)
  for (const all of [counts, ...places]) expect(unevenness(all)).toBeLessThan(6)
}, 60_000)

test('D16 tokens carry 256 bits, of which each is as often one as zero', () => {
  const n = 50_000
  const ones = new Uint32Array(256)
  const seen = new Set<string>()
  for (let i = 0; i < n; i += 1) {
    const token = newToken()
    seen.add(token)
    const bytes = Buffer.from(token, 'base64url')
    expect(bytes.length).toBe(32)
    for (let bit = 0; bit < 256; bit += 1)
      if (((bytes[bit >> 3] as number) >> (bit & 7)) & 1) ones[bit] = (ones[bit] as number) + 1
  }
  expect(seen.size).toBe(n)
  for (const count of ones) expect(Math.abs(count - n / 2) / Math.sqrt(n / 4)).toBeLessThan(6)
})

test('D16 ids hold more than 128 bits, and codes are uniform', () => {
  expect(Math.log2(62) * 27).toBeGreaterThan(128)
  expect(randomBase62(40)).toMatch(/^[0-9A-Za-z]{40}$/)
  const counts = new Uint32Array(10)
  for (const digit of randomDigits(600_000)) counts[Number(digit)] = (counts[Number(digit)] as number) + 1
  expect(unevenness(counts)).toBeLessThan(6)
})
