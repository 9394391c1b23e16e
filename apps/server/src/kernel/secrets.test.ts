import { expect, test } from 'bun:test'
import { equalSecrets, parseKeyring, seal, unseal } from './secrets.ts'

const oldKey = `1:${'a'.repeat(40)}`
const newKey = `2:${'b'.repeat(40)}`

test('a newer key seals, an older one still opens', () => {
  const sealed = seal(parseKeyring(oldKey), 'p', 'hello')
  const rotated = parseKeyring(`${newKey},${oldKey}`)
  expect(unseal(rotated, 'p', sealed)).toBe('hello')
  expect(seal(rotated, 'p', 'x').split('.')[1]).toBe('2')
  expect(() => unseal(parseKeyring(newKey), 'p', sealed)).toThrow()
})

test('a sealed value opens for its own purpose only, and not when changed', () => {
  const ring = parseKeyring(oldKey)
  const sealed = seal(ring, 'signing_key:ins_1', 'hello')
  expect(() => unseal(ring, 'signing_key:ins_2', sealed)).toThrow()
  const at = sealed.length - 5
  const changed = sealed.slice(0, at) + (sealed[at] === 'A' ? 'B' : 'A') + sealed.slice(at + 1)
  expect(() => unseal(ring, 'signing_key:ins_1', changed)).toThrow()
})

test('short secrets and repeated ids are refused', () => {
  expect(() => parseKeyring('short')).toThrow('32 characters')
  expect(() => parseKeyring(`${oldKey},${oldKey}`)).toThrow('twice')
})

test('compares secrets of any length', () => {
  expect(equalSecrets('a', 'a')).toBe(true)
  expect(equalSecrets('a', 'ab')).toBe(false)
})
