import { expect, test } from 'bun:test'
import { Senders } from './senders.ts'

test('E-8 holds what was added, in whichever order it came', () => {
  const session = 'ab'.repeat(16)
  for (let run = 0; run < 200; run++) {
    const senders = new Senders()
    const added = new Set<number>()
    // At most so many ranges as are kept of one session.
    for (let i = 0; i < 100; i++) {
      const counter = Math.floor(Math.random() * 150)
      senders.add(session, counter)
      added.add(counter)
    }
    const read = Senders.decode(senders.encode())
    for (let counter = 0; counter < 152; counter++) {
      expect([counter, senders.has(session, counter)]).toEqual([counter, added.has(counter)])
      expect(read.has(session, counter)).toBe(added.has(counter))
    }
  }
})

test('K10 E-8 a session that skips numbers costs neither time nor memory', () => {
  for (const step of [2, -2]) {
    const senders = new Senders()
    const start = performance.now()
    for (let i = 0; i < 100_000; i++) senders.add('ab'.repeat(16), 2 ** 23 + i * step)
    senders.clone()
    expect(performance.now() - start).toBeLessThan(1000)
    expect(senders.encode().length).toBeLessThan(2000)
  }
})
