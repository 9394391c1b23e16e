import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type ClerkClient, createClerkClient, verifyToken } from '@clerk/backend'
import { runUsher, startUsher, temporaryDirectory, type UsherProcess } from '../support/usher.ts'

const directory = temporaryDirectory()
let usher: UsherProcess
let ours: ClerkClient
let theirs: ClerkClient
let theirKeys: { publishable_key: string; secret_key: string }

beforeAll(async () => {
  const first = await startUsher({ data: directory.path })
  await first.stop()
  const made = await runUsher(['instances', 'create', 'other', '--json', '--data', directory.path])
  theirKeys = JSON.parse(made.stdout)
  usher = await startUsher({ data: directory.path })
  const { url: apiUrl, publishable_key: publishableKey, secret_key: secretKey } = usher.ready
  ours = createClerkClient({ secretKey, publishableKey, apiUrl })
  theirs = createClerkClient({ secretKey: theirKeys.secret_key, publishableKey: theirKeys.publishable_key, apiUrl })
}, 120_000)
afterAll(async () => {
  await usher?.stop()
  directory[Symbol.dispose]()
})

const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (error) => `${error.status} ${error.errors?.[0]?.code ?? error}`,
  )
const signedInUser = async (clerk: ClerkClient, emailAddress: string) => {
  const user = await clerk.users.createUser({ emailAddress: [emailAddress], skipPasswordRequirement: true })
  const session = await clerk.sessions.createSession({ userId: user.id })
  const { jwt } = await clerk.sessions.getToken(session.id)
  return { user, session, jwt }
}

test('what belongs to another instance does not exist', async () => {
  const { user, session } = await signedInUser(theirs, 'ada@example.com')
  const emailAddressId = user.emailAddresses[0]?.id as string
  const attempts: [string, () => Promise<unknown>][] = [
    ['getUser', () => ours.users.getUser(user.id)],
    ['updateUser', () => ours.users.updateUser(user.id, { firstName: 'x' })],
    ['updateUserMetadata', () => ours.users.updateUserMetadata(user.id, { publicMetadata: { a: 1 } })],
    ['deleteUser', () => ours.users.deleteUser(user.id)],
    ['banUser', () => ours.users.banUser(user.id)],
    ['lockUser', () => ours.users.lockUser(user.id)],
    ['verifyPassword', () => ours.users.verifyPassword({ userId: user.id, password: 'x' })],
    ['removePassword', () => ours.users.removePassword(user.id)],
    ['memberships', () => ours.users.getOrganizationMembershipList({ userId: user.id })],
    ['getEmailAddress', () => ours.emailAddresses.getEmailAddress(emailAddressId)],
    ['updateEmailAddress', () => ours.emailAddresses.updateEmailAddress(emailAddressId, { primary: true })],
    ['deleteEmailAddress', () => ours.emailAddresses.deleteEmailAddress(emailAddressId)],
    ['createEmailAddress', () => ours.emailAddresses.createEmailAddress({ userId: user.id, emailAddress: 'b@c.test' })],
    ['getSession', () => ours.sessions.getSession(session.id)],
    ['revokeSession', () => ours.sessions.revokeSession(session.id)],
    ['getToken', () => ours.sessions.getToken(session.id)],
    ['createSession', () => ours.sessions.createSession({ userId: user.id })],
    ['getClient', () => ours.clients.getClient(session.clientId)],
    ['createSignInToken', () => ours.signInTokens.createSignInToken({ userId: user.id, expiresInSeconds: 60 })],
    ['revokeSignInToken', () => ours.signInTokens.revokeSignInToken('sit_unknown')],
  ]
  const answers = Object.fromEntries(await Promise.all(attempts.map(async ([n, f]) => [n, await refusal(f())])))
  expect(answers).toEqual(Object.fromEntries(attempts.map(([n]) => [n, '404 resource_not_found'])))
  const untouched = await theirs.users.getUser(user.id)
  expect(untouched).toMatchObject({ banned: false, locked: false, firstName: null, publicMetadata: {} })
  expect((await ours.users.getUserList({ userId: [user.id] })).data).toEqual([])
})

test('D5 a session token is accepted by its own instance alone', async () => {
  const mine = await signedInUser(ours, 'bob@example.com')
  const foreign = await signedInUser(theirs, 'bob@example.com')
  const { url: apiUrl, secret_key: secretKey } = usher.ready
  expect((await verifyToken(mine.jwt, { secretKey, apiUrl })).sub).toBe(mine.user.id)
  await expect(verifyToken(foreign.jwt, { secretKey, apiUrl })).rejects.toThrow()
  expect(await refusal(ours.clients.verifyClient(foreign.jwt))).toStartWith('4')
  const { data: keys } = { data: (await ours.jwks.getJwks()).keys }
  expect(keys?.map((k) => Object.keys(k).sort())).toEqual([['alg', 'e', 'kid', 'kty', 'n', 'use']])
  const authenticate = (jwt: string) =>
    ours.authenticateRequest(new Request('http://localhost:3000/', { headers: { authorization: `Bearer ${jwt}` } }), {
      proxyUrl: apiUrl,
    })
  expect((await authenticate(mine.jwt)).status).toBe('signed-in')
  expect((await authenticate(foreign.jwt)).status).toBe('signed-out')
})

test('C16 a malformed Authorization header is refused, never an error of ours', async () => {
  const values = [
    'Bearer',
    'Bearer  ',
    'Bearer %E0',
    'Bearer sk_test_',
    `Bearer sk_test_${'x'.repeat(8000)}`,
    'sk_test_x',
  ]
  for (const authorization of values) {
    const { status } = await fetch(`${usher.ready.url}/v1/users`, { headers: { authorization } })
    expect([authorization.slice(0, 30), [400, 401, 404, 431].includes(status)]).toEqual([
      authorization.slice(0, 30),
      true,
    ])
  }
})
