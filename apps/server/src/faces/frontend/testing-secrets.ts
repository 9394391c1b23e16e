import { transaction } from '../../database/index.ts'
import { createApiKey } from '../../domains/api-keys/index.ts'
import { createM2mToken, createMachine } from '../../domains/machines/index.ts'
import { createOrganization, inviteMembers } from '../../domains/organizations/index.ts'
import {
  createActorToken,
  createDevBrowser,
  createHandshake,
  createJwtTemplate,
  createRefreshToken,
  findSessionState,
  mintSessionToken,
  mintTemplateToken,
} from '../../domains/sessions/index.ts'
import { createInvitation } from '../../domains/signup/index.ts'
import { createUser } from '../../domains/users/index.ts'
import { createOneTimeToken, type OneTimeTokenKind } from '../../domains/verifications/index.ts'
import { createPortalLink, openPortal } from '../../domains/webhooks/index.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { TestBrowser } from './testing.ts'

const sharedSecret = 'a secret that two services share..'

/** Somebody who is signed in, in an instance where every kind of secret can be made. */
export async function world() {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, {
    multiSession: true,
    apiKeys: { users: true },
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
export type World = Awaited<ReturnType<typeof world>>

const inAMinute = (t: TestInstance) => new Date(t.ctx().now().getTime() + 60_000)
export const oneTime = (w: World, kind: OneTimeTokenKind) =>
  transaction(w.t.ctx(), async (tx) => {
    const input = { kind, subjectId: w.userId, expiresAt: inAMinute(w.t) }
    return (await createOneTimeToken(tx, input)).token
  })
const machineToken = async (w: World, format: 'opaque' | 'jwt') => {
  const { machine } = await createMachine(w.t.ctx(), { name: 'Cron' })
  return (await createM2mToken(w.t.ctx({ type: 'machine', machineId: machine.id }), { format })).token
}
let invited = 0
const backend = async (w: World, path: string, body: object) =>
  (await w.t.fetch(`/v1${path}`, { method: 'POST', secretKey: true, body: JSON.stringify(body) })).json()

/** Every kind of secret that is handed out, each time a new one. */
export const kinds: Record<string, (w: World) => Promise<string>> = {
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
  'API key': async (w) => {
    invited += 1
    return (await createApiKey(w.t.ctx(), { name: `key ${invited}`, subject: w.userId })).secret
  },
  'machine secret key': async (w) => (await createMachine(w.t.ctx(), { name: 'Cron' })).secretKey,
  'portal link': async (w) => new URL((await createPortalLink(w.t.ctx())).url).hash.slice(1),
  'portal cookie': async (w) => {
    const link = new URL((await createPortalLink(w.t.ctx())).url).hash.slice(1)
    return (await openPortal(w.t.ctx(), link)).token
  },
  'machine token': (w) => machineToken(w, 'opaque'),
  'signed machine token': (w) => machineToken(w, 'jwt'),
}
