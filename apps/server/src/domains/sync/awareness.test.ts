import { expect, test } from 'bun:test'
import { AwarenessTable } from './awareness.ts'
import { varUint } from './protocol.ts'
import { MalformedUpdate } from './walk-update.ts'

const entry = (client: number, clock: number, json: string) => [
  client,
  clock,
  ...varUint(Buffer.byteLength(json)),
  ...Buffer.from(json),
]
const message = (...entries: number[][]) => Uint8Array.from([entries.length, ...entries.flat()])
const a = { name: 'a' }
const b = { name: 'b' }
const same = (x: object, y: object) => x === y

function table() {
  const awareness = new AwarenessTable<object>()
  return {
    awareness,
    apply: (payload: Uint8Array, owner: object) => awareness.apply(payload, owner, 0, 4096, same),
  }
}

test('R-10 the echo of a change changes nothing', () => {
  const { awareness, apply } = table()
  expect(apply(message(entry(1, 1, '{"x":1}')), a)).toBe('changed')
  const sent = awareness.takeChanges() as Uint8Array
  expect(Array.from(sent)).toEqual([1, 1, 1, 7, ...Buffer.from('{"x":1}')])
  expect(apply(sent, b)).toBe('none')
  expect(awareness.takeChanges()).toBeUndefined()
})

test('R-10 nobody else changes or removes a client while its connection lives', () => {
  const { awareness, apply } = table()
  apply(message(entry(1, 1, '{}')), a)
  expect(apply(message(entry(1, 9, '{"stolen":true}')), b)).toBe('none')
  expect(apply(message(entry(1, 9, 'null')), b)).toBe('none')
  expect(apply(message(entry(1, 1, 'null')), a)).toBe('changed')
  expect(awareness.encodeAll()).toBeUndefined()
})

test('Y-7 a closed connection takes its clients along, and their next word brings them back', () => {
  const { awareness, apply } = table()
  apply(message(entry(1, 5, '{}')), a)
  awareness.takeChanges()
  expect(awareness.leave(a, 0)).toBe(true)
  expect(Array.from(awareness.takeChanges() as Uint8Array)).toEqual([1, 1, 5, 4, ...Buffer.from('null')])
  // What others repeat of it is no sign of life.
  expect(apply(message(entry(1, 5, '{}')), b)).toBe('none')
  expect(apply(message(entry(1, 6, '{}')), b)).toBe('changed')
})

test('an unchanged renewal is told apart from a change', () => {
  const { awareness, apply } = table()
  apply(message(entry(1, 1, '{}')), a)
  awareness.takeChanges()
  expect(apply(message(entry(1, 2, '{}')), a)).toBe('renewed')
  expect(awareness.takeChanges()).toBeUndefined()
  expect(awareness.takeRenewals()).toBeDefined()
})

test('JSON that would throw in every peer is refused', () => {
  const { apply } = table()
  const broken = [
    message(entry(1, 1, '{')),
    message(entry(1, 1, '')),
    Uint8Array.of(1, 1),
    message(entry(1, 1, `"${'x'.repeat(5000)}"`)),
  ]
  for (const payload of broken) expect(() => apply(payload, a)).toThrow(MalformedUpdate)
})
