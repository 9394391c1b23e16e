import { expect, test } from 'bun:test'
import { compileClaims, valueAt } from './shortcodes.ts'

const facts: Record<string, unknown> = {
  'user.id': 'user_1',
  'user.first_name': 'Ada',
  'user.public_metadata': { plan: 'pro', seats: 3, tags: ['a', 'b'] },
  'user.public_metadata.seats': 3,
  'user.public_metadata.beta': false,
  'user.public_metadata.empty': '',
  'user.public_metadata.zero': 0,
  'user.evil': '{{user.id}} {{session.id}}',
}
const lookup = (path: string) => facts[path]
const render = (claims: Record<string, unknown>) => compileClaims(claims, { maxBytes: 4096 })(lookup)

test('a string that is a shortcode takes its type, another gets it as text', () => {
  expect(
    render({
      id: '{{user.id}}',
      seats: '{{ user.public_metadata.seats }}',
      all: '{{user.public_metadata}}',
      none: '{{org.slug}}',
      text: 'u={{user.id}};n={{user.public_metadata.seats}};x={{org.slug}};m={{user.public_metadata}}',
      deep: { list: ['{{user.first_name}}', 1, null, { a: '{{user.public_metadata.beta}}' }] },
      plain: 'no { codes } here }}',
    }),
  ).toEqual({
    id: 'user_1',
    seats: 3,
    all: { plan: 'pro', seats: 3, tags: ['a', 'b'] },
    none: null,
    text: 'u=user_1;n=3;x=;m={"plan":"pro","seats":3,"tags":["a","b"]}',
    deep: { list: ['Ada', 1, null, { a: false }] },
    plain: 'no { codes } here }}',
  })
})

test('the first operand that is neither missing nor false counts, else the last', () => {
  expect(
    render({
      a: "{{org.slug || user.first_name || 'nobody'}}",
      b: "{{org.slug||'none'}}",
      c: '{{user.public_metadata.beta || org.slug}}',
      d: '{{user.public_metadata.zero || 7}}',
      e: "{{user.public_metadata.empty || 'x'}}",
      f: 'Hi {{ org.name || "the }} team" }}!',
      g: '{{org.slug || false}}',
      h: '{{org.slug || -1.5}}',
    }),
  ).toEqual({ a: 'Ada', b: 'none', c: null, d: 0, e: '', f: 'Hi the }} team!', g: false, h: -1.5 })
})

test('D8 what is filled in is not looked through again', () => {
  expect(render({ x: '{{user.evil}}', y: '-{{user.evil}}-' })).toEqual({
    x: '{{user.id}} {{session.id}}',
    y: '-{{user.id}} {{session.id}}-',
  })
  expect(render({ '{{user.id}}': 1 })).toEqual({ '{{user.id}}': 1 })
})

test('D8 reserved claims, malformed shortcodes, depth and size are refused', () => {
  const code = (claims: Record<string, unknown>) => {
    try {
      render(claims)
      return 'none'
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  for (const name of ['sub', 'exp', 'iss', 'nbf', 'iat', 'jti', 'azp', 'sid', 'o', 'act', 'fva', 'sts', 'v'])
    expect(code({ [name]: 'x' })).toBe('form_param_value_invalid')
  for (const text of ['{{}}', '{{user.id', '{{user.id || }}', '{{user..id}}', '{{a b}}', "{{'x}}", '{{user.id | x}}'])
    expect(code({ text })).toBe('form_param_value_invalid')
  let deep: unknown = 1
  for (let i = 0; i < 20; i += 1) deep = [deep]
  expect(code({ deep })).toBe('form_param_value_invalid')
  expect(code({ big: 'x'.repeat(4096) })).toBe('form_param_max_length_exceeded')
  expect(code({ aud: 'x', role: 'y', 'https://example.com/claims': {} })).toBe('none')
})

test('what objects inherit is not data', () => {
  expect(valueAt({ a: { b: 1 } }, ['a', 'b'])).toBe(1)
  expect(valueAt({ a: ['x'] }, ['a', '0'])).toBe('x')
  for (const path of [['constructor'], ['__proto__'], ['a', 'toString'], ['a', 'length']])
    expect(valueAt({ a: 'text' }, path)).toBeUndefined()
  const polluting = JSON.parse('{"__proto__": {"polluted": true}}')
  const out = render({ x: polluting })
  expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  expect(JSON.stringify(out)).toBe('{"x":{"__proto__":{"polluted":true}}}')
})
