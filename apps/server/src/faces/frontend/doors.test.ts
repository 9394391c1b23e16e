import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import { createOrganization, inviteMembers } from '../../domains/organizations/index.ts'
import {
  createActorToken,
  createDevBrowser,
  createHandshake,
  createJwtTemplate,
  createRefreshToken,
  findSessionState,
  identifyClient,
  mintSessionToken,
  mintTemplateToken,
} from '../../domains/sessions/index.ts'
import { createInvitation } from '../../domains/signup/index.ts'
import { verifySyncToken } from '../../domains/sync/index.ts'
import { createUser } from '../../domains/users/index.ts'
import {
  type CodePurpose,
  checkCode,
  consumeOneTimeToken,
  createOneTimeToken,
  type OneTimeTokenKind,
  sendCode,
} from '../../domains/verifications/index.ts'
import { oneTimeTokens, verificationCodes } from '../../domains/verifications/tables.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { mailedCode, TestBrowser } from './testing.ts'

const sharedSecret = 'a secret that two services share..'

async function world() {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, {
    multiSession: true,
    rateLimits: { attemptsPerMinute: 100_000 },
  })
  const browser = new TestBrowser(t)
  const { userId, sessionId } = await browser.signUp('ada@example.com')
  const support = await createUser(t.ctx(), { emailAddresses: [] })
  const bob = 'bob@example.com'
  await createUser(t.ctx(), { emailAddresses: [{ emailAddress: bob, verifiedBy: 'admin' }] })
  const organization = await createOrganization(t.ctx(), { name: 'Acme', createdBy: userId })
  await createJwtTemplate(t.ctx(), { name: 'own', claims: { aud: 'service' } })
  const custom = { customSigningKey: true, signingAlgorithm: 'HS256', signingKey: sharedSecret }
  await createJwtTemplate(t.ctx(), { name: 'shared', claims: {}, ...custom })
  const session = async () => {
    const found = await findSessionState(t.ctx(), sessionId)
    if (!found) throw new Error('the session is gone')
    return found
  }
  return { t, browser, userId, sessionId, session, support, bob, organization }
}
type World = Awaited<ReturnType<typeof world>>

const inAMinute = (t: TestInstance) => new Date(t.ctx().now().getTime() + 60_000)
const oneTime = (w: World, kind: OneTimeTokenKind) =>
  transaction(w.t.ctx(), async (tx) => {
    const input = { kind, subjectId: w.userId, expiresAt: inAMinute(w.t) }
    return (await createOneTimeToken(tx, input)).token
  })
let invited = 0
const backend = async (w: World, path: string, body: object) =>
  (await w.t.fetch(`/v1${path}`, { method: 'POST', secretKey: true, body: JSON.stringify(body) })).json()

/** Every kind of secret that is handed out, each time a new one. */
const kinds: Record<string, (w: World) => Promise<string>> = {
  session: async (w) => mintSessionToken(w.t.ctx(), await w.session()),
  template: async (w) => mintTemplateToken(w.t.ctx(), await w.session(), 'own'),
  'template with a shared key': async (w) => mintTemplateToken(w.t.ctx(), await w.session(), 'shared'),
  'handshake token': (w) => createHandshake(w.t.ctx(), { directives: ['a=b'], format: 'jwt' }),
  'handshake nonce': (w) => createHandshake(w.t.ctx(), { directives: ['a=b'], format: 'nonce' }),
  sync: async (w) => (await w.browser.post('/sync/token', { doc_id: `${w.userId}/note` })).body.token,
  refresh: async (w) => createRefreshToken(w.t.ctx(), await w.session()),
  'actor ticket': async (w) =>
    (await createActorToken(w.t.ctx(), { userId: w.userId, actor: { sub: w.support.id } })).token,
  'sign-in ticket': async (w) => (await backend(w, '/sign_in_tokens', { user_id: w.userId })).token,
  'invitation ticket': async (w) => {
    invited += 1
    const emailAddress = `new${invited}@example.com`
    const { url } = await createInvitation(w.t.ctx(), { emailAddress, publicUrl: w.t.url, notify: false })
    return new URL(url).searchParams.get('ticket') ?? ''
  },
  'organization invitation ticket': async (w) => {
    invited += 1
    const emailAddress = `new${invited}@example.com`
    const [made] = await inviteMembers(w.t.ctx(), [
      { organizationId: w.organization.id, emailAddress, role: 'org:member', publicUrl: w.t.url, notify: false },
    ])
    return new URL(made?.url ?? '').searchParams.get('ticket') ?? ''
  },
  'testing token': async (w) => (await backend(w, '/testing_tokens', {})).token,
  'client cookie': async (w) => {
    const browser = new TestBrowser(w.t)
    await browser.send('PUT', '/client')
    return browser.clientCookie ?? ''
  },
  'dev browser': async (w) => (await createDevBrowser(w.t.ctx())).token,
  'secret key': async (w) => w.t.secretKey,
  'publishable key': async (w) => w.t.publishableKey,
  'email link': (w) => oneTime(w, 'email_link'),
  'OAuth state': (w) => oneTime(w, 'oauth_state'),
  'rotating nonce': (w) => oneTime(w, 'rotating_token_nonce'),
  'passkey challenge': (w) => oneTime(w, 'passkey_challenge'),
}

const ok = (response: Response) => response.status === 200
const bapi = (w: World, path: string, body: object) =>
  w.t.fetch(`/v1${path}`, { method: 'POST', secretKey: true, body: JSON.stringify(body) })

/** Every place that takes a secret, and the kinds that it takes. */
const doors: Record<string, { takes: string[]; opens: (w: World, value: string) => Promise<boolean> }> = {
  'server API': {
    takes: ['secret key'],
    opens: async (w, value) => ok(await w.t.fetch('/v1/users', { headers: { authorization: `Bearer ${value}` } })),
  },
  'proxy with a secret key': {
    takes: ['secret key'],
    opens: async (w, value) => ok(await w.t.fetch('/v1/environment', { headers: { 'clerk-secret-key': value } })),
  },
  'session verification': {
    takes: ['session'],
    opens: async (w, token) => ok(await bapi(w, `/sessions/${w.sessionId}/verify`, { token })),
  },
  'client verification': {
    takes: ['session'],
    opens: async (w, token) => ok(await bapi(w, '/clients/verify', { token })),
  },
  'refresh: the token to renew': {
    takes: ['session'],
    opens: async (w, expired_token) => {
      const refresh_token = await createRefreshToken(w.t.ctx(), await w.session())
      return ok(await bapi(w, `/sessions/${w.sessionId}/refresh`, { expired_token, refresh_token }))
    },
  },
  'refresh: the cookie': {
    takes: ['refresh'],
    opens: async (w, refresh_token) => {
      const expired_token = await mintSessionToken(w.t.ctx(), await w.session())
      return ok(await bapi(w, `/sessions/${w.sessionId}/refresh`, { expired_token, refresh_token }))
    },
  },
  'handshake payload': {
    takes: ['handshake nonce'],
    opens: async (w, nonce) =>
      ok(await w.t.fetch(`/v1/clients/handshake_payload?nonce=${encodeURIComponent(nonce)}`, { secretKey: true })),
  },
  'client cookie': {
    takes: ['client cookie'],
    opens: async (w, value) => {
      const browser = new TestBrowser(w.t)
      browser.cookies.set(`__client_${w.t.ctx().instance.cookieSuffix}`, value)
      return (await browser.get('/client')).body.response !== null
    },
  },
  'native header': {
    // Applications on devices keep what browsers keep in the cookie.
    takes: ['client cookie'],
    opens: async (w, authorization) => {
      const { body } = await new TestBrowser(w.t, null).get('/client?_is_native=1', { authorization })
      return Boolean(body.response) && !body.errors
    },
  },
  'bearer of the browser API': {
    // A secret key leads to the other face, where there is no such address.
    takes: [],
    opens: async (w, value) => ok(await w.t.fetch('/v1/me', { headers: { authorization: `Bearer ${value}` } })),
  },
  'dev browser': {
    takes: ['dev browser'],
    opens: async (w, value) => (await identifyClient(w.t.ctx(), value, 'dev_browser')) !== undefined,
  },
  'document token': {
    takes: ['session'],
    opens: async (w, value) =>
      ok(
        await w.t.fetch('/v1/sync/token', {
          method: 'POST',
          body: JSON.stringify({ doc_id: `${w.userId}/note` }),
          headers: { authorization: `Bearer ${value}`, 'content-type': 'application/json' },
        }),
      ),
  },
  'document socket': {
    takes: ['sync'],
    opens: async (w, value) => (await verifySyncToken(w.t.ctx().instance, value, w.t.ctx().now())) !== undefined,
  },
  'link of a ticket': {
    takes: ['actor ticket', 'sign-in ticket', 'invitation ticket', 'organization invitation ticket'],
    opens: async (w, ticket) =>
      (await w.t.fetch(`/v1/tickets/accept?ticket=${encodeURIComponent(ticket)}`)).status === 303,
  },
  'sign-in by ticket': {
    // The invited have no account yet.
    takes: ['actor ticket', 'sign-in ticket'],
    opens: async (w, ticket) =>
      (await new TestBrowser(w.t).post('/client/sign_ins', { strategy: 'ticket', ticket })).body.response?.status ===
      'complete',
  },
  'sign-up by ticket': {
    takes: ['invitation ticket', 'organization invitation ticket'],
    opens: async (w, ticket) => {
      const form = { strategy: 'ticket', ticket, password: 'correct horse battery' }
      return (await new TestBrowser(w.t).post('/client/sign_ups', form)).status === 200
    },
  },
  'link of an email': {
    // An email link of nobody's sign-in, as it is here, opens no door either.
    takes: [],
    opens: async (w, token) => {
      const form = new URLSearchParams({ token }).toString()
      const headers = { 'content-type': 'application/x-www-form-urlencoded', origin: 'http://localhost:3000' }
      const { status, headers: got } = await w.t.fetch('/v1/verify', { method: 'POST', body: form, headers })
      return status === 303 && (got.get('location') ?? '').includes('verified')
    },
  },
  'state of a round trip': {
    takes: [],
    opens: async (w, state) => {
      const { status, headers } = await w.t.fetch(`/v1/oauth_callback?code=x&state=${encodeURIComponent(state)}`)
      return status < 400 && (headers.get('location') ?? '').includes('created_session')
    },
  },
}

test('D5 D17 every kind of secret opens its own doors and no other, and a wrong door does not use it up', async () => {
  const w = await world()
  for (const [kind, make] of Object.entries(kinds)) {
    const value = await make(w)
    expect([kind, value.length > 15]).toEqual([kind, true])
    const open: string[] = []
    // All wrong doors first, with one value: if one of them used it up, its own would stay shut afterwards.
    const wrong = Object.entries(doors).filter(([, door]) => !door.takes.includes(kind))
    for (const [name, door] of wrong) if (await door.opens(w, value)) open.push(name)
    expect([kind, open]).toEqual([kind, []])
    let first = true
    for (const [name, door] of Object.entries(doors).filter(([, d]) => d.takes.includes(kind))) {
      expect([kind, name, await door.opens(w, first ? value : await make(w))]).toEqual([kind, name, true])
      first = false
    }
  }
}, 120_000)

test('D17 a one-time value of one kind is none of another, for all pairs', async () => {
  const w = await world()
  const all = oneTimeTokens.kind.enumValues
  for (const made of all) {
    const value = await oneTime(w, made)
    const spend = (kind: OneTimeTokenKind) =>
      transaction(w.t.ctx(), (tx) => consumeOneTimeToken(tx, kind, value)).then(
        () => 'spent',
        (error) => error.code,
      )
    for (const kind of all)
      if (kind !== made) expect([made, kind, await spend(kind)]).toEqual([made, kind, 'ticket_invalid'])
    expect([made, await spend(made)]).toEqual([made, 'spent'])
    expect([made, await spend(made)]).toEqual([made, 'token_used'])
  }
}, 60_000)

test('D17 a code of one purpose proves nothing for another, nor for another subject', async () => {
  const w = await world()
  const all = verificationCodes.purpose.enumValues
  const subjectId = 'sia_one'
  for (const made of all) {
    const emailAddress = `${made}@example.com`
    await transaction(w.t.ctx(), (tx) => sendCode(tx, { purpose: made, subjectId, emailAddress }))
    const code = await mailedCode(w.t, emailAddress)
    expect([made, code]).toEqual([made, expect.stringMatching(/^\d{6}$/)])
    const check = (purpose: CodePurpose, subject = subjectId) =>
      checkCode(w.t.ctx(), { purpose, subjectId: subject, code }).then(
        () => 'proven',
        () => 'refused',
      )
    // Those that were proven before are spent; those that come are not sent yet. None takes this one.
    for (const purpose of all)
      if (purpose !== made) expect([made, purpose, await check(purpose)]).toEqual([made, purpose, 'refused'])
    expect(await check(made, 'sia_other')).toBe('refused')
    expect([made, await check(made)]).toEqual([made, 'proven'])
  }
}, 60_000)
