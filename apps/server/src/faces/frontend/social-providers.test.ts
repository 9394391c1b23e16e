import { expect, setDefaultTimeout, test } from 'bun:test'
import { decodeJwt, decodeProtectedHeader, exportJWK, exportPKCS8, generateKeyPair, SignJWT } from 'jose'
import { knownProviders, openExternalTokens } from '../../domains/connections/index.ts'
import { getUser } from '../../domains/users/index.ts'
import type { Egress, EgressRequest } from '../../kernel/egress.ts'
import { testInstance } from '../../testing/server.ts'
import { TestBrowser } from './testing.ts'

// On a busy machine.
setDefaultTimeout(30_000)

const page = 'http://localhost:3000/sso-callback'
const home = 'http://localhost:3000/home'
const keys = await generateKeyPair('RS256', { extractable: true })
const jwks = { keys: [{ ...(await exportJWK(keys.publicKey)), kid: 'k', alg: 'RS256' }] }

type Asked = { url: string; request: EgressRequest }
type Answers = Record<string, (asked: Asked) => unknown>

/** A provider that answers as its documentation says, and what it was asked. */
async function withProvider(provider: string, answers: Answers, clientSecret = 'secret') {
  const t = await testInstance()
  const { runtime } = t.server
  const { id } = t.ctx().instance
  await runtime.instances.changeSettings(id, { rateLimits: { attemptsPerMinute: 100_000 } })
  await runtime.instances.setConnection(id, { provider, clientId: 'our-client', clientSecret })
  const asked: Asked[] = []
  const egress: Egress = async (url, request = {}) => {
    asked.push({ url, request })
    const answer = answers[url]?.({ url, request })
    if (answer === undefined) return { status: 404, headers: new Headers(), text: '{}' }
    return { status: 200, headers: new Headers(), text: JSON.stringify(await answer) }
  }
  runtime.egress = egress
  const browser = new TestBrowser(t)
  const visit = async (more: Record<string, string> = {}, form = false) => {
    const strategy = `oauth_${provider}`
    const input = { strategy, redirect_url: page, action_complete_redirect_url: home }
    const begun = await browser.post('/client/sign_ups', input)
    const url = new URL(begun.body.response.verifications.external_account.external_verification_redirect_url)
    nonce = url.searchParams.get('nonce') ?? ''
    const answer = { code: 'the-code', state: url.searchParams.get('state') ?? '', ...more }
    const posted = form ? await browser.post('/oauth_callback', answer) : undefined
    const query = posted ? new URL(posted.headers.get('location') ?? '').search : `?${new URLSearchParams(answer)}`
    await browser.get(`/oauth_callback${query}`)
    const client = (await browser.get('/client')).body.response
    return { url, client, user: client.sessions[0]?.user, error: client.sign_up?.verifications.external_account.error }
  }
  const tokenRequest = () => {
    const sent = asked.find((a) => a.url === knownProviders.find((p) => p.key === provider)?.tokenUrl)?.request
    return { form: Object.fromEntries(new URLSearchParams(sent?.body)), headers: sent?.headers ?? {} }
  }
  return { t, browser, visit, asked, tokenRequest }
}
let nonce = ''

const idToken = (issuer: string, claims: Record<string, unknown>) =>
  new SignJWT({ nonce, ...claims })
    .setProtectedHeader({ alg: 'RS256', kid: 'k' })
    .setIssuer(issuer)
    .setAudience('our-client')
    .setIssuedAt()
    .setExpirationTime('5m')
    .sign(keys.privateKey)

test('GitHub: the word on an address is in the list of addresses, not in the profile', async () => {
  const emails = (verified: unknown) => [
    { email: 'old@example.com', primary: false, verified: true },
    { email: 'octo@example.com', primary: true, verified },
  ]
  for (const verified of [true, false, undefined]) {
    const { visit, tokenRequest } = await withProvider('github', {
      'https://github.com/login/oauth/access_token': () => ({ access_token: 'gho_1', scope: 'read:user,user:email' }),
      'https://api.github.com/user': () => ({
        id: 583231,
        login: 'octo',
        name: 'Octo Cat',
        email: 'claimed@example.com',
        email_verified: true,
        avatar_url: 'https://avatars.githubusercontent.com/u/583231',
      }),
      'https://api.github.com/user/emails': () => emails(verified),
    })
    const { client, user, url } = await visit()
    expect(url.searchParams.get('code_challenge_method')).toBe('S256')
    expect(tokenRequest().form).toMatchObject({ client_id: 'our-client', client_secret: 'secret', code: 'the-code' })
    expect(tokenRequest().form.code_verifier?.length).toBeGreaterThan(42)
    if (verified === true)
      expect(user.external_accounts[0]).toMatchObject({
        provider_user_id: '583231',
        email_address: 'octo@example.com',
        first_name: 'Octo',
        last_name: 'Cat',
        username: 'octo',
        approved_scopes: 'read:user user:email',
      })
    else expect(client.sign_up.unverified_fields).toEqual(['email_address'])
  }
})

test('Bitbucket: its list of addresses is a page of values', async () => {
  const { visit, tokenRequest } = await withProvider('bitbucket', {
    'https://bitbucket.org/site/oauth2/access_token': () => ({ access_token: 'bb', scopes: 'account email' }),
    'https://api.bitbucket.org/2.0/user': () => ({ uuid: '{a-b}', display_name: 'Bea Bucket', username: 'bea' }),
    'https://api.bitbucket.org/2.0/user/emails': () => ({
      values: [{ email: 'bea@example.com', is_primary: true, is_confirmed: true }],
    }),
  })
  const { user } = await visit()
  expect(user.external_accounts[0]).toMatchObject({ provider_user_id: '{a-b}', email_address: 'bea@example.com' })
  // What was granted is not said in the standard's way: it is what was asked for.
  expect(user.external_accounts[0].approved_scopes).toBe('account email')
  expect(tokenRequest().headers.authorization).toBe(`Basic ${btoa('our-client:secret')}`)
  expect(tokenRequest().form).not.toHaveProperty('client_secret')
})

test('Dropbox is asked like a procedure; Twitch lists its scopes; X and Notion nest what they say', async () => {
  const dropbox = await withProvider('dropbox', {
    'https://api.dropboxapi.com/oauth2/token': () => ({ access_token: 'd' }),
    'https://api.dropboxapi.com/2/openid/userinfo': ({ request }) =>
      request.method === 'POST' ? { sub: 'dbid:1', email: 'd@example.com', email_verified: true } : undefined,
  })
  expect((await dropbox.visit()).user.external_accounts[0].provider_user_id).toBe('dbid:1')
  const twitch = await withProvider('twitch', {
    'https://id.twitch.tv/oauth2/token': async () => ({
      access_token: 't',
      id_token: await idToken('https://id.twitch.tv/oauth2', { sub: '77' }),
      scope: ['openid', 'user:read:email'],
    }),
    'https://id.twitch.tv/oauth2/keys': () => jwks,
    'https://id.twitch.tv/oauth2/userinfo': () => ({ sub: '77', email: 't@example.com', email_verified: true }),
  })
  expect((await twitch.visit()).user.external_accounts[0].approved_scopes).toBe('openid user:read:email')
  const x = await withProvider('x', {
    'https://api.x.com/2/oauth2/token': () => ({ access_token: 'x' }),
    'https://api.x.com/2/users/me?user.fields=profile_image_url,confirmed_email': () => ({
      data: { id: '12', name: 'Xena', username: 'xena', confirmed_email: 'x@example.com' },
    }),
  })
  // Nobody's word is taken for an address that is not said to be proven: it is asked for its code.
  expect((await x.visit()).client.sign_up).toMatchObject({
    email_address: 'x@example.com',
    first_name: 'Xena',
    unverified_fields: ['email_address'],
  })
  const notion = await withProvider('notion', {
    'https://api.notion.com/v1/oauth/token': () => ({
      access_token: 'n',
      owner: { user: { id: 'n-1', name: 'Nora', person: { email: 'n@example.com' } } },
    }),
  })
  expect((await notion.visit()).client.sign_up).toMatchObject({ email_address: 'n@example.com', first_name: 'Nora' })
})

test('Apple: its secret is a token signed with a key, its answer a form, and the name comes once beside it', async () => {
  const pair = await generateKeyPair('ES256', { extractable: true })
  const secret = { team_id: 'TEAM', key_id: 'KEY', private_key: await exportPKCS8(pair.privateKey) }
  const { visit, tokenRequest } = await withProvider(
    'apple',
    {
      'https://appleid.apple.com/auth/token': async () => ({
        access_token: 'a',
        id_token: await idToken('https://appleid.apple.com', {
          sub: '001.apple',
          email: 'a@privaterelay.appleid.com',
          email_verified: 'true',
        }),
      }),
      'https://appleid.apple.com/auth/keys': () => jwks,
    },
    JSON.stringify(secret),
  )
  const name = JSON.stringify({ name: { firstName: 'Amy', lastName: 'Pple' }, email: 'forged@example.com' })
  const { user, url } = await visit({ user: name }, true)
  expect(url.searchParams.get('response_mode')).toBe('form_post')
  expect(user).toMatchObject({ first_name: 'Amy', last_name: 'Pple' })
  expect(user.email_addresses.map((e: { email_address: string }) => e.email_address)).toEqual([
    'a@privaterelay.appleid.com',
  ])
  const { client_secret = '' } = tokenRequest().form
  expect(decodeProtectedHeader(client_secret)).toMatchObject({ alg: 'ES256', kid: 'KEY' })
  expect(decodeJwt(client_secret)).toMatchObject({ iss: 'TEAM', sub: 'our-client', aud: 'https://appleid.apple.com' })
})

test('B17 Microsoft: tenants share keys, so that a token has to name one of them twice', async () => {
  const tenant = '72f988bf-86f1-41af-91ab-2d7cd011db47'
  const other = '9188040d-6c67-4c5b-b112-36a304b66dad'
  const of = (claims: object, issuer = `https://login.microsoftonline.com/${tenant}/v2.0`) =>
    withProvider('microsoft', {
      'https://login.microsoftonline.com/common/oauth2/v2.0/token': async () => ({
        access_token: 'm',
        id_token: await idToken(issuer, { sub: 'ms', email: 'm@example.com', tid: tenant, ...claims }),
      }),
      'https://login.microsoftonline.com/common/discovery/v2.0/keys': () => jwks,
    })
  expect((await (await of({ xms_edov: true })).visit()).user.email_addresses).toHaveLength(1)
  // A tenant writes what it likes into the address; without the word of its domain's owner it proves nothing.
  expect((await (await of({ email_verified: true })).visit()).client.sign_up.unverified_fields).toEqual([
    'email_address',
  ])
  expect((await (await of({ tid: other })).visit()).error.code).toBe('oauth_provider_failed')
  for (const issuer of [`https://login.microsoftonline.com.evil.example/${tenant}/v2.0`, 'https://evil.example/'])
    expect((await (await of({}, issuer)).visit()).error.code).toBe('oauth_provider_failed')
})

test('B17 a code of one provider is not shown to another', async () => {
  const { visit, asked } = await withProvider('gitlab', {})
  expect((await visit({ iss: 'https://evil.example' })).error.code).toBe('oauth_provider_failed')
  expect(asked).toEqual([])
})

test('the application’s server gets tokens that are still good, and the refresh token outlives a sign-in without one', async () => {
  let round = 0
  const { t, browser, visit } = await withProvider('google', {
    'https://oauth2.googleapis.com/token': async ({ request }) => {
      const refreshing = request.body?.includes('refresh_token=rt-1')
      round += 1
      return {
        access_token: refreshing ? `renewed-${round}` : `first-${round}`,
        ...(round === 1 && { refresh_token: 'rt-1' }),
        ...(!refreshing && { id_token: await idToken('https://accounts.google.com', { sub: 'g-1' }) }),
        expires_in: 3600,
      }
    },
    'https://www.googleapis.com/oauth2/v3/certs': () => jwks,
    'https://openidconnect.googleapis.com/v1/userinfo': () => ({
      sub: 'g-1',
      email: 'g@example.com',
      email_verified: true,
    }),
  })
  const { user, url } = await visit()
  expect(url.searchParams.get('access_type')).toBe('offline')
  const listed = async () => {
    const path = `/v1/users/${user.id}/oauth_access_tokens/google`
    return (await (await t.fetch(path, { secretKey: true })).json()) as { token: string; scopes: string[] }[]
  }
  expect(await listed()).toMatchObject([{ token: 'first-1', scopes: ['openid', 'email', 'profile'] }])
  await browser.send('DELETE', '/client/sessions')
  const again = await browser.post('/client/sign_ins', { strategy: 'oauth_google', redirect_url: page })
  const at = new URL(again.body.response.first_factor_verification.external_verification_redirect_url)
  nonce = at.searchParams.get('nonce') ?? ''
  await browser.get(`/oauth_callback?code=c&state=${at.searchParams.get('state')}`)
  expect(await listed()).toMatchObject([{ token: 'first-2' }])
  t.advance(2 * 3600_000)
  const [account] = (await getUser(t.ctx(), user.id)).externalAccounts
  if (!account) throw new Error('no account is linked')
  const renewed = await openExternalTokens(t.ctx(), account)
  expect(renewed?.accessToken).toBe('renewed-3')
  expect(renewed?.expiresAt?.getTime()).toBeGreaterThan(t.ctx().now().getTime())
  // Kept: the next one who asks gets the same.
  expect(await listed()).toMatchObject([{ token: 'renewed-3' }])
})
