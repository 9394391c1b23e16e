import { expect, test } from 'bun:test'
import { AwarenessTable, RemotePeer } from './awareness.ts'
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
    apply: (payload: Uint8Array, owner: object, isFirst = false, sameOwner = same) =>
      awareness.apply(payload, owner, 0, 4096, sameOwner, () => true, isFirst),
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

test('R-10 a neighbour that repeats what somebody says does not become them, whoever is heard first', () => {
  for (const sameOwner of [same, () => true]) {
    const { awareness, apply } = table()
    apply(message(entry(2, 1, '{}')), b, true, sameOwner)
    // b repeats what it heard of a in its browser, and then a comes itself.
    expect(apply(message(entry(1, 1, '{"x":1}')), b, false, sameOwner)).toBe('changed')
    expect(apply(message(entry(1, 1, '{"x":1}')), a, true, sameOwner)).toBe('none')
    awareness.takeChanges()
    apply(message(entry(1, 2, '{"x":2}')), b, false, sameOwner)
    apply(message(entry(1, 2, '{"x":2}')), a, false, sameOwner)
    expect(Array.from(awareness.takeChanges() as Uint8Array)).toEqual([1, 1, 2, 7, ...Buffer.from('{"x":2}')])
    expect(apply(message(entry(1, 2, 'null')), b, false, sameOwner)).toBe('none')
    expect(awareness.leave(b, 0)).toBe(true)
    expect(Array.from(awareness.encodeAll() as Uint8Array)).toEqual([1, 1, 2, 7, ...Buffer.from('{"x":2}')])
    expect(awareness.leave(a, 0)).toBe(true)
    expect(awareness.encodeAll()).toBeUndefined()
    // Whom b repeats now it speaks for, until they are back.
    apply(message(entry(1, 3, '{"x":3}')), b, false, sameOwner)
    expect(awareness.leave(b, 0)).toBe(true)
  }
})

test('R-10 the new connection of somebody whose old one is not known to be dead counts once that is gone', () => {
  const { awareness, apply } = table()
  apply(message(entry(1, 3, '{"from":"a"}')), a, true)
  expect(apply(message(entry(1, 3, '{"from":"a"}')), b, true)).toBe('none')
  expect(apply(message(entry(1, 7, '{"from":"b"}')), b)).toBe('none')
  expect(apply(message(entry(1, 5, '{"from":"c"}')), { name: 'c' })).toBe('none')
  awareness.takeChanges()
  expect(awareness.leave(a, 0)).toBe(true)
  expect(Array.from(awareness.takeChanges() as Uint8Array)).toEqual([1, 1, 7, 12, ...Buffer.from('{"from":"b"}')])
  // Who waited and went is not waited for.
  expect(apply(message(entry(1, 9, '{"from":"a"}')), a)).toBe('none')
  awareness.leave(a, 0)
  expect(awareness.leave(b, 0)).toBe(true)
  expect(awareness.encodeAll()).toBeUndefined()
})

test('R-N3 a client id of another node is not claimed by repeating it', () => {
  const [here, there] = [table(), table()]
  there.awareness.tracksOwn = true
  there.apply(message(entry(1, 3, '{"x":1}')), a, true)
  const told = there.awareness.takeOwnChanges(() => 'ada') as Uint8Array
  expect(here.awareness.applyOfNode('there', told, 0, 4096)).toBe(true)
  expect(here.apply(message(entry(1, 3, '{"x":1}')), b, true)).toBe('none')
  expect(here.apply(message(entry(1, 4, '{"stolen":true}')), b)).toBe('none')
  expect(here.awareness.leave(b, 0)).toBe(false)
  // The same person may: they have moved to this node.
  expect(here.apply(message(entry(1, 3, '{"x":1}')), b, true, () => true)).toBe('none')
  expect(here.awareness.leaveAll((owner) => owner instanceof RemotePeer, 0)).toBe(false)
  expect(here.awareness.encodeAll()).toBeDefined()
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
