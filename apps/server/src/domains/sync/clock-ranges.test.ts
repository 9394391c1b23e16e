import { expect, test } from 'bun:test'
import { ClockRanges } from './clock-ranges.ts'
import { randomFrom } from './testing.ts'
import { walkStateVector } from './walk-update.ts'

test('counts what lies beyond a gap as soon as the gap closes', () => {
  const held = new ClockRanges()
  held.add({ client: 1, from: 0, to: 5 })
  held.add({ client: 1, from: 8, to: 10 })
  expect(held.next(1)).toBe(5)
  expect(held.leavesGap([{ client: 1, from: 8, to: 10 }])).toBe(true)
  held.add({ client: 1, from: 5, to: 8 })
  expect(held.next(1)).toBe(10)
  expect(walkStateVector(held.encodeVector())).toEqual(new Map([[1, 10]]))
})

test('agrees with a set of clocks, whatever the order', () => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
  console.log(`seed ${seed}`)
  const random = randomFrom(seed)
  for (let round = 0; round < 300; round++) {
    const held = new ClockRanges()
    const clocks = new Set<number>()
    for (let i = 0; i < 30; i++) {
      const from = random(60)
      const to = from + 1 + random(6)
      let fresh = false
      for (let c = from; c < to; c++) {
        if (!clocks.has(c)) fresh = true
        clocks.add(c)
      }
      expect(held.add({ client: 7, from, to })).toBe(fresh)
      expect(held.covers([{ client: 7, from, to }])).toBe(true)
      let next = 0
      while (clocks.has(next)) next++
      expect(held.next(7)).toBe(next)
    }
  }
})
