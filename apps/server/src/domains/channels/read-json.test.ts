import { expect, test } from 'bun:test'
import { readJson } from './read-json.ts'

test('C-7 JSON is read as everybody reads it, or not at all', () => {
  const fine: unknown[] = [
    {},
    [],
    'a"\\b',
    1.5e-7,
    null,
    { a: { a: 1 }, b: [{ a: 1 }, { a: 2 }] },
    { '': 1, ' ': 2 },
    ['a', 'a'],
  ]
  for (const value of fine) expect(readJson(JSON.stringify(value, null, 1), 5)).toEqual({ value })
  const faults: [string, string][] = [
    ['', 'malformed'],
    ['{"a":1,}', 'malformed'],
    ['NaN', 'malformed'],
    ["{'a':1}", 'malformed'],
    ['"\u0001"', 'malformed'],
    ['{"a":1,"a":1}', 'repeated_name'],
    ['{"a":1,"b":{"c":1,"\\u0063":2}}', 'repeated_name'],
    ['{ "x" : [ { "y" : 1 , "y" : 2 } ] }', 'repeated_name'],
    ['[1e999]', 'not_a_number'],
    [`[-1${'0'.repeat(400)}]`, 'not_a_number'],
    ['[[[[[[1]]]]]]', 'too_deep'],
    ['['.repeat(100_000), 'too_deep'],
  ]
  for (const [text, fault] of faults)
    expect([text.slice(0, 40), readJson(text, 5)]).toEqual([text.slice(0, 40), { fault: fault as never }])
  // Brackets in texts do not nest, and a text that looks like a name is none.
  expect(readJson('["[[[[[[[[", "a\\"]", {"k":"a"}, {"k":"k"}]', 2)).toHaveProperty('value')
})
