import { expect, test } from 'bun:test'
import { cookieSuffixFor, publishableKeyFor } from './publishable-key.ts'

test('makes the keys and cookie suffixes that the SDKs compute', () => {
  const named = publishableKeyFor('development', 'usher.localhost:3913')
  expect(named).toBe('pk_test_dXNoZXIubG9jYWxob3N0OjM5MTMk')
  expect(cookieSuffixFor(named)).toBe('iQ4DrVS3')
  expect(cookieSuffixFor(publishableKeyFor('development', '127.0.0.1:3913'))).toBe('NIwr7S9h')
  expect(publishableKeyFor('production', 'auth.example.test')).toStartWith('pk_live_')
})
