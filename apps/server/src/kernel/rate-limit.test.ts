import { expect, test } from 'bun:test'
import { countAttempt, ipKey } from './rate-limit.ts'

test('an IPv6 address is counted by its /64', () => {
  expect(ipKey('2001:db8:1:2:aaaa::1')).toBe(ipKey('2001:db8:1:2:bbbb:cccc:dddd:1'))
  expect(ipKey('2001:db8:1:3::1')).not.toBe(ipKey('2001:db8:1:2::1'))
  expect(ipKey('2001:db8::1')).toBe('2001:db8:0:0::/64')
  expect(ipKey('::ffff:192.0.2.7')).toBe('192.0.2.7')
  expect(ipKey('192.0.2.7')).toBe('192.0.2.7')
})

test('refuses what is too much in a window and says when the next one begins', () => {
  const scope = {}
  const limit = { max: 2, windowMs: 60_000 }
  const at = (seconds: number) => new Date(seconds * 1000)
  countAttempt(scope, 'a', limit, at(0))
  countAttempt(scope, 'a', limit, at(10))
  countAttempt(scope, 'b', limit, at(10))
  expect(() => countAttempt(scope, 'a', limit, at(45))).toThrow(
    expect.objectContaining({ code: 'too_many_requests', details: { retryAfterSeconds: 15 } }),
  )
  countAttempt(scope, 'a', limit, at(61))
})
