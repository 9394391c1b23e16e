import { expect, test } from 'bun:test'
import { mergeMetadata } from './metadata.ts'

test('merges deeply, null deletes, arrays are replaced', () => {
  expect(mergeMetadata({ a: { b: 1, c: 2 }, d: [1, 2] }, { a: { c: null, e: 3 }, d: [3] })).toEqual({
    a: { b: 1, e: 3 },
    d: [3],
  })
})

test('a key __proto__ is data and changes no prototype', () => {
  const merged = mergeMetadata({}, JSON.parse('{"__proto__":{"admin":true}}'))
  expect(({} as { admin?: boolean }).admin).toBeUndefined()
  expect(Object.keys(merged)).toEqual(['__proto__'])
})

test('refuses more than 8 kB', () => {
  expect(() => mergeMetadata({ a: 'x'.repeat(5000) }, { b: 'x'.repeat(5000) })).toThrow('8 kB')
})
