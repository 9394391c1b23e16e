import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import { createRefreshToken, identifyClient, mintSessionToken } from '../../domains/sessions/index.ts'
import { verifySyncToken } from '../../domains/sync/index.ts'
import {
  type CodePurpose,
  checkCode,
  consumeOneTimeToken,
  type OneTimeTokenKind,
  sendCode,
} from '../../domains/verifications/index.ts'
import { oneTimeTokens, verificationCodes } from '../../domains/verifications/tables.ts'
import { mailedCode, TestBrowser } from './testing.ts'
import { kinds, oneTime, type World, world } from './testing-secrets.ts'

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
  'verification of an API key': {
    takes: ['API key'],
    opens: async (w, secret) => ok(await bapi(w, '/api_keys/verify', { secret })),
  },
  'bearer of the API keys': {
    // A secret key leads to the other face, where a subject has to be named.
    takes: ['session'],
    opens: async (w, value) => ok(await w.t.fetch('/api_keys', { headers: { authorization: `Bearer ${value}` } })),
  },
  'link to the portal': {
    takes: ['portal link'],
    opens: async (w, token) => {
      const form = new URLSearchParams({ token }).toString()
      const headers = { 'content-type': 'application/x-www-form-urlencoded', origin: `http://${w.t.host}` }
      return (await w.t.fetch('/webhooks/portal/open', { method: 'POST', body: form, headers })).status === 303
    },
  },
  'cookie of the portal': {
    takes: ['portal cookie'],
    opens: async (w, value) => {
      const cookie = `usher_webhooks_${w.t.ctx().instance.cookieSuffix}=${value}`
      return ok(await w.t.fetch('/webhooks/portal', { headers: { cookie } }))
    },
  },
  'key of a machine': {
    // The application’s key has to say which machine it asks about.
    takes: ['machine secret key'],
    opens: async (w, value) => ok(await w.t.fetch('/m2m_tokens', { headers: { authorization: `Bearer ${value}` } })),
  },
  'verification of a machine’s token': {
    takes: ['machine token', 'signed machine token'],
    opens: async (w, token) => ok(await bapi(w, '/m2m_tokens/verify', { token })),
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
