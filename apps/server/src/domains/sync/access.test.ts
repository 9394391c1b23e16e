import { expect, test } from 'bun:test'
import { accessByRules, type Standing } from './access.ts'

const member = (...permissions: string[]): Standing => ({
  isSignedIn: true,
  userId: 'user_1',
  membership: {
    organizationId: 'org_1',
    role: { id: 'role_1', key: 'org:member', name: 'Member' },
    permissions,
    features: [],
  },
})
const stranger: Standing = { isSignedIn: true, userId: 'user_2', membership: undefined }
const rules = [
  { pattern: 'org_*/tasks', read: 'org:tasks:read', write: 'org:tasks:write' },
  { pattern: 'org_*/board-*-v2', write: 'org:tasks:write' },
]

test.each([
  ['org_1/note', member(), 'write'],
  ['org_1/note', stranger, undefined],
  ['org_2/note', member(), undefined],
  ['org_1/tasks', member(), undefined],
  ['org_1/tasks', member('org:tasks:read'), 'read'],
  ['org_1/tasks', member('org:tasks:read', 'org:tasks:write'), 'write'],
  ['org_1/tasks', member('org:tasks:write'), undefined],
  ['org_1/tasks/more', member(), 'write'],
  ['org_1/board-a-v2', member(), 'read'],
  ['user_1/private', member(), 'write'],
  ['user_1/private', stranger, undefined],
  ['anything', member(), undefined],
  ['org_1', member(), undefined],
  ['org_1/', member(), undefined],
  ['xorg_1/note', member(), undefined],
])('a person may do with %s what its owner and the rules say', (docId, standing, expected) => {
  expect(accessByRules(rules, docId, standing)).toBe(expected as never)
  expect(accessByRules(rules, docId, { ...standing, isSignedIn: false })).toBeUndefined()
})
