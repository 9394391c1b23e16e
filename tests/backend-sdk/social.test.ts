import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import type { ClerkClient } from '@clerk/backend'
import { serverSdk } from '../support/clerk.ts'
import { runUsher, startUsher, type UsherProcess, untilEnvironment } from '../support/usher.ts'

setDefaultTimeout(60_000)
let usher: UsherProcess
let clerk: ClerkClient

beforeAll(async () => {
  usher = await startUsher()
  clerk = serverSdk(usher.ready)
  const { code, stderr } = await runUsher(['connections', 'enable', 'github', '--data', usher.ready.data])
  if (code !== 0) throw new Error(stderr)
  await untilEnvironment(usher, ({ user_settings }) => 'oauth_github' in user_settings.social)
})
afterAll(() => usher.stop())

/** Signs somebody up with the built-in provider, as their browser would. */
async function signUp(email: string): Promise<string> {
  const { url } = usher.ready
  const jar = new Map<string, string>()
  const go = async (to: string, form?: Record<string, string>) => {
    const headers = { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') }
    const body = form && new URLSearchParams(form)
    const answer = await fetch(to, { redirect: 'manual', headers, ...(body && { method: 'POST', body }) })
    for (const cookie of answer.headers.getSetCookie()) {
      const [, name = '', value = ''] = cookie.match(/^([^=]+)=([^;]*)/) ?? []
      jar.set(name, value)
    }
    return answer
  }
  const begin = () => go(`${url}/v1/client/sign_ups`, { strategy: 'oauth_github', redirect_url: `${url}/demo` })
  let begun = await begin()
  // The running server hears of the command a moment later.
  for (let i = 0; begun.status !== 200 && i < 100; i += 1, begun = await begin()) await Bun.sleep(50)
  const { response } = (await begun.json()) as {
    response: { verifications: { external_account: { external_verification_redirect_url: string } } }
  }
  const provider = new URL(response.verifications.external_account.external_verification_redirect_url)
  const asked = Object.fromEntries(provider.searchParams)
  const approved = await go(`${provider.origin}${provider.pathname}`, {
    ...asked,
    email,
    first_name: 'Ada',
    verified: 'on',
  })
  await go(approved.headers.get('location') ?? '')
  const { response: client } = (await (await go(`${url}/v1/client`)).json()) as {
    response: { sessions: { user: { id: string } }[] }
  }
  return client.sessions[0]?.user.id ?? ''
}

test('the server SDK reads a person’s account at a provider and its tokens, and takes it away', async () => {
  const id = await signUp('ada@example.com')
  const user = await clerk.users.getUser(id)
  expect(user.externalAccounts).toHaveLength(1)
  expect(user.externalAccounts[0]).toMatchObject({
    provider: 'oauth_github',
    emailAddress: 'ada@example.com',
    firstName: 'Ada',
    verification: { status: 'verified' },
  })
  const { data, totalCount } = await clerk.users.getUserOauthAccessToken(id, 'github')
  expect(totalCount).toBe(1)
  expect(data[0]).toMatchObject({ provider: 'oauth_github', externalAccountId: user.externalAccounts[0]?.id })
  expect(data[0]?.token).toStartWith('demo_')
  expect(data[0]?.scopes).toContain('email')
  const externalAccountId = user.externalAccounts[0]?.id ?? ''
  expect(await clerk.users.deleteUserExternalAccount({ userId: id, externalAccountId })).toMatchObject({
    deleted: true,
  })
  expect((await clerk.users.getUser(id)).externalAccounts).toEqual([])
  expect((await clerk.users.getUserOauthAccessToken(id, 'github')).data).toEqual([])
})
