import assert from 'node:assert/strict'
import { test } from 'node:test'
import { difference, moveIndex } from './bind-textarea'

const apply = (before: string, after: string, caret: number) => {
  const { index, removed, inserted } = difference(before, after, caret)
  return before.slice(0, index) + inserted + before.slice(index + removed)
}

test('the caret tells which of several equal letters was typed', () => {
  assert.deepEqual(difference('aaa', 'aaaa', 1), { index: 0, removed: 0, inserted: 'a' })
  assert.deepEqual(difference('aaa', 'aaaa', 4), { index: 3, removed: 0, inserted: 'a' })
})

test('a replacement never cuts through a surrogate pair', () => {
  assert.deepEqual(difference('😀', '😁', 2), { index: 0, removed: 2, inserted: '😁' })
  assert.deepEqual(difference('a😀', 'a', 1), { index: 1, removed: 2, inserted: '' })
})

test('any edit is found, wherever the caret is said to be', () => {
  const letters = ['a', 'b', '\n', '😀', '😁']
  const word = (seed: number) => Array.from({ length: seed % 7 }, (_, i) => letters[(seed * 31 + i * i) % 5]).join('')
  for (let seed = 0; seed < 2000; seed++) {
    const before = word(seed)
    const after = word(seed * 7 + 3)
    for (let caret = 0; caret <= after.length; caret++) assert.equal(apply(before, after, caret), after)
  }
})

test('a caret stays at its letter while others type', () => {
  assert.equal(moveIndex(3, [{ insert: 'xx' }]), 5)
  assert.equal(moveIndex(3, [{ retain: 3 }, { insert: 'xx' }]), 3)
  assert.equal(moveIndex(3, [{ retain: 1 }, { delete: 1 }]), 2)
  assert.equal(moveIndex(3, [{ retain: 1 }, { delete: 9 }]), 1)
  assert.equal(moveIndex(3, [{ retain: 4 }, { delete: 1 }]), 3)
})
