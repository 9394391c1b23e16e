import { expect, test } from 'bun:test'
import { ChannelType } from '../instances/index.ts'
import { isReserved, matchType, type Person, rightsOf } from './rules.ts'

const type = (input: object) => ChannelType.parse(input)
const member = (permissions: string[], role = 'org:member'): Person => ({
  isSignedIn: true,
  userId: 'user_1',
  features: ['beta'],
  memberships: new Map([['org_1', { role: { key: role }, permissions, features: ['chat'] }]]),
})
const rights = (name: string, person: Person, types: ChannelType[] = []) => {
  const match = matchType(types, name)
  return match && rightsOf(match, person)
}

test('C-1 without settings members read, who has the permission of that part of the name writes, nobody else is in', () => {
  const nobody = member([])
  const writer = member(['org:chat:write'])
  expect(rights('org:org_1:chat:42', nobody)).toEqual({ publish: false, presence: true, history: true })
  expect(rights('org:org_1:chat:42', writer)).toMatchObject({ publish: true })
  expect(rights('org:org_1:tasks:42', writer)).toMatchObject({ publish: false })
  expect(rights('org:org_1:chat:42:thread:7', writer)).toMatchObject({ publish: true })
  expect(rights('user:user_1:inbox', nobody)).toEqual({ publish: false, presence: false, history: true })
  const refused = [
    'org:org_2:chat:42',
    'org:org_1',
    'org:org_1:chat',
    'org:org_1:chat:',
    'user:user_2:inbox',
    'x',
    'x:y',
  ]
  for (const name of refused) expect([name, rights(name, writer)]).toEqual([name, undefined])
  expect(rights('org:org_1:chat:42', { ...writer, isSignedIn: false })).toBeUndefined()
})

test('C-1 the first pattern that fits decides, all that a rule names is needed, and no setting touches what is reserved', () => {
  const types = [
    type({ pattern: 'org:{org_id}:chat:secret', subscribe: { role: 'org:admin', feature: 'chat' } }),
    type({
      pattern: 'org:{org_id}:chat:*',
      publish: { permission: 'chat:write', feature: 'user:beta' },
      history: 'none',
    }),
    type({ pattern: 'user:{user_id}:*', publish: {} }),
    type({ pattern: 'lobby:*', publish: {} }),
    type({ pattern: 'a.b:*:{user_id}' }),
  ]
  const writer = member(['org:chat:write'])
  expect(rights('org:org_1:chat:secret', writer, types)).toBeUndefined()
  expect(rights('org:org_1:chat:secret', member([], 'org:admin'), types)).toMatchObject({ publish: false })
  expect(rights('org:org_1:chat:1', writer, types)).toEqual({ publish: true, presence: true, history: false })
  expect(rights('org:org_1:chat:1', { ...writer, features: [] }, types)).toMatchObject({ publish: false })
  expect(rights('lobby:1', member([]), types)).toMatchObject({ publish: true })
  expect(rights('user:user_1:inbox', writer, types)).toMatchObject({ publish: true })
  // Everybody relies on who speaks here.
  expect(rights('user:user_1:auth', writer, types)).toEqual({ publish: false, presence: false, history: false })
  expect(rights('user:user_1:notifications', writer, types)).toEqual({ publish: false, presence: false, history: true })
  expect([isReserved('user:user_1:auth'), isReserved('user:user_1:authentic')]).toEqual([true, false])
  expect(rights('a.b:x:user_1', writer, types)).toBeDefined()
  for (const name of ['axb:x:user_1', 'a.b:x:y:user_1', 'a.b::user_1'])
    expect(rights(name, writer, types)).toBeUndefined()
})

test('patterns that could mean two things, or take long, are refused', () => {
  const bad = ['x', '', 'a::b', 'a:**', 'a:{org}', 'a:x*', '{org_id}:{org_id}', 'a:(.*)+', `a:${'b:'.repeat(20)}c`]
  for (const pattern of bad) expect([pattern, ChannelType.safeParse({ pattern }).success]).toEqual([pattern, false])
})

test('C-1 notifications are for the person whom their name says, whichever pattern fits', () => {
  for (const pattern of ['*:*', 'user:*', 'user:*:notifications', 'user:{feature}:notifications']) {
    const types = [type({ pattern, publish: {} })]
    expect([pattern, rights('user:user_2:notifications', member([]), types)]).toEqual([pattern, undefined])
    const own = { publish: false, presence: false, history: true }
    expect([pattern, rights('user:user_1:notifications', member([]), types)]).toEqual([pattern, own])
  }
})
