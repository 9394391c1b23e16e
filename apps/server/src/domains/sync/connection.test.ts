import { expect, test } from 'bun:test'
import { Connection, type Principal } from './connection.ts'
import { defaultLimits } from './limits.ts'

const principal = (userId: string): Principal => ({
  instanceId: 'ins_1',
  kind: 'session',
  userId,
  sessionId: 'sess_1',
  organizationId: undefined,
  permissionVersion: 'none',
})
const open = (userId: string) =>
  new Connection(principal(userId), 'doc', { access: 'write', granted: 'write' }, defaultLimits, 0)

test('messages and bytes are two allowances, and whoever is in debt waits until it is paid', () => {
  const connection = open('user_1')
  const { messagesBurst, bytesBurst } = defaultLimits
  for (let i = 0; i < messagesBurst; i++) expect(connection.take(0, defaultLimits, 0)).toBe(0)
  // 100 a second: one is worth 10 ms.
  expect(connection.take(0, defaultLimits, 0)).toBe(10)
  expect(connection.take(0, defaultLimits, 30)).toBe(0)
  const other = open('user_1')
  expect(other.take(bytesBurst, defaultLimits, 0)).toBe(0)
  expect(other.take(256 * 1024, defaultLimits, 0)).toBe(1000)
  expect(other.take(0, defaultLimits, 1000)).toBe(0)
})

test('what two connections of one person hold alike is held once; another person’s is left alone', () => {
  const [first, second, stranger] = [open('user_1'), open('user_1'), open('user_2')]
  second.shareWith(first)
  stranger.shareWith(first)
  expect(second.principal).toBe(first.principal)
  expect(stranger.principal.userId).toBe('user_2')
})
