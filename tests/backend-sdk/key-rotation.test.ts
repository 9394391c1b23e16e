import { expect, test } from 'bun:test'
import { createClerkClient, verifyToken } from '@clerk/backend'
import { decodeProtectedHeader } from 'jose'
import { runUsher, startUsher, temporaryDirectory } from '../support/usher.ts'

test('a rotated signing key signs nobody out, and one that was stolen is worth nothing at once', async () => {
  using data = temporaryDirectory()
  await using usher = await startUsher({ data: data.path })
  const { url, publishable_key: publishableKey, secret_key: secretKey } = usher.ready
  const clerk = createClerkClient({ secretKey, publishableKey, apiUrl: url })
  const user = await clerk.users.createUser({ emailAddress: ['ada@example.com'], skipPasswordRequirement: true })
  const session = await clerk.sessions.createSession({ userId: user.id })
  const mint = async () => (await clerk.sessions.getToken(session.id)).jwt
  const kids = async () =>
    ((await (await fetch(`${url}/.well-known/jwks.json`)).json()).keys as { kid: string }[]).map((k) => k.kid)
  const verify = (token: string) => verifyToken(token, { secretKey, apiUrl: url })
  const until = async (holds: () => Promise<boolean>) => {
    for (let i = 0; i < 100 && !(await holds()); i += 1) await Bun.sleep(50)
    expect(await holds()).toBe(true)
  }

  const before = await mint()
  expect((await verify(before)).sub).toBe(user.id)
  const rotated = await runUsher(['keys', 'rotate', '--data', data.path, '--json'])
  const { kid, retiring } = JSON.parse(rotated.stdout)
  expect(retiring).toEqual([{ kid: decodeProtectedHeader(before).kid, until: expect.any(Number) }])
  // The running server was told by the bus; the key set shows both.
  await until(async () => decodeProtectedHeader(await mint()).kid === kid)
  expect((await kids()).sort()).toEqual([kid, retiring[0].kid].sort())
  const after = await mint()
  // The SDK has the old key set in its memory still: the unknown key makes it look again.
  for (const token of [before, after]) expect((await verify(token)).sid).toBe(session.id)
  expect((await clerk.sessions.verifySession(session.id, before)).status).toBe('active')

  const revoked = await runUsher(['keys', 'rotate', '--revoke', '--data', data.path, '--json'])
  expect(JSON.parse(revoked.stdout).retiring).toHaveLength(2)
  await until(async () => (await kids()).length === 1)
  await expect(clerk.sessions.verifySession(session.id, after)).rejects.toMatchObject({ status: 401 })
  expect((await clerk.sessions.verifySession(session.id, await mint())).status).toBe('active')
}, 60_000)
