import { beforeAll, describe, expect, test } from 'bun:test'
import { createRequire } from 'node:module'
import { type ClerkClient, createClerkClient } from '@clerk/backend'
import {
  createPermission,
  createRole,
  type Decision,
  decide,
  type Question,
  type Standing,
  standingOf,
  standingOfClaims,
} from '../../apps/server/src/domains/access/index.ts'
import { createFeature, grantFeature } from '../../apps/server/src/domains/features/index.ts'
import {
  addGroupMember,
  addGroupRole,
  addMember,
  addMemberPermission,
  addMemberRole,
  createGroup,
  createOrganization,
  getMembership,
} from '../../apps/server/src/domains/organizations/index.ts'
import {
  createSyncTokenForSession,
  judgeConnection,
  verifySyncToken,
} from '../../apps/server/src/domains/sync/index.ts'
import { getUser } from '../../apps/server/src/domains/users/index.ts'
import { claimsOf, TestBrowser } from '../../apps/server/src/faces/frontend/testing.ts'
import { type TestInstance, testInstance } from '../../apps/server/src/testing/server.ts'

/**
 * Who may what, generated: every way to hold a permission × every state of its feature × acting in the organization or
 * not × every question of role, permission and feature, and none of each. The answer is computed here from the rules as
 * they are documented, and compared with each place that decides.
 */
const ways = ['nothing', 'primary', 'further', 'group', 'direct'] as const
type Way = (typeof ways)[number]
/** States of a feature, by its slug. */
const features = ['undefined', 'nobody', 'organization', 'person', 'both', 'everyone', 'off'] as const
type Feature = (typeof features)[number]
const places = ['organization', 'none'] as const
type Place = (typeof places)[number]

const roles = [undefined, 'org:member', 'org:holder', 'holder', 'org:org:member', 'org:admin', '']
const permissionsOf = (feature: Feature) => [
  undefined,
  `org:${feature}:act`,
  `${feature}:act`,
  `org:${feature}:other`,
  `org:${feature}`,
  'org:sys_memberships:read',
  'org:sys_memberships:manage',
]
const featuresOf = (feature: Feature) => [
  undefined,
  feature,
  ...['o', 'org', 'organization', 'u', 'user', 'x'].map((scope) => `${scope}:${feature}`),
  'unknown',
  'sys_memberships',
]

type Truth = { role: string | null; permissions: Set<string>; organization: Set<string>; user: Set<string> }

/** What is true by the rules; written without a look at what decides. */
function truthOf(way: Way, place: Place): Truth {
  const user = new Set<string>(['person', 'both', 'everyone'])
  if (place === 'none') return { role: null, permissions: new Set(), organization: new Set(), user }
  const had = new Set<string>(['organization', 'both', 'everyone'])
  const counts = way === 'nothing' ? [] : ['undefined', ...had]
  return {
    role: way === 'primary' ? 'org:holder' : 'org:member',
    permissions: new Set(counts.map((feature) => `org:${feature}:act`)),
    organization: new Set([...had, ...(way === 'nothing' ? [] : ['undefined'])]),
    user,
  }
}

function answerOf(
  truth: Truth,
  { role, permission, feature }: Question,
  systemPermissions: readonly string[],
): boolean {
  if (role === undefined && permission === undefined && feature === undefined) return false
  const full = (key: string) => `org:${key.replace(/^(org:)+/, '')}`
  if (role !== undefined && (truth.role === null || full(role) !== truth.role)) return false
  if (permission !== undefined) {
    const held = truth.role !== null && [...truth.permissions, ...systemPermissions].includes(full(permission))
    if (!held) return false
  }
  if (feature === undefined) return true
  const [scope, slug] = feature.includes(':') ? feature.split(':') : ['', feature]
  const inOrganization = truth.organization.has(slug ?? '')
  const inUser = truth.user.has(slug ?? '')
  if (scope === '') return inOrganization || inUser
  if (['o', 'org', 'organization'].includes(scope ?? '')) return inOrganization
  return ['u', 'user'].includes(scope ?? '') && inUser
}

function* questions(): Generator<Question> {
  for (const feature of features)
    for (const role of roles)
      for (const permission of permissionsOf(feature))
        for (const asked of featuresOf(feature)) yield { role, permission, feature: asked }
}

type Check = (question: Question) => boolean
type Subject = {
  way: Way
  place: Place
  /** As the tables have it, and as the claims of a token say it. */
  standings: { tables: Standing; claims: Standing }
  /** `has()` of the server SDK, and that of the browser's over its own sources. */
  server: Check
  browser: Check
  /** System permissions of the role, which only the tables and the browser know. */
  system: string[]
}

let t: TestInstance
let clerk: ClerkClient
let organizationId: string
const subjects: Subject[] = []
const people = new Map<Way, { userId: string; sessionId: string }>()

/** The check that both SDKs share; the browser's hands it the active membership and the claims of the last token. */
const { createCheckAuthorization } = createRequire(createRequire(import.meta.url).resolve('@clerk/backend'))(
  '@clerk/shared/authorization',
) as { createCheckAuthorization: (options: object) => Check }

beforeAll(async () => {
  t = await testInstance()
  const { url: apiUrl, secretKey, publishableKey } = t
  clerk = createClerkClient({ apiUrl, secretKey, publishableKey })
  const ctx = t.ctx()
  const sync = {
    rules: features.map((f) => ({ pattern: `org_*/${f}`, read: `org:${f}:act`, write: `org:${f}:other` })),
  }
  await t.server.runtime.instances.changeSettings(ctx.instance.id, { sync })
  const { id } = await createOrganization(ctx, { name: 'Frontiers' })
  organizationId = id
  const ids: string[] = []
  for (const slug of features) {
    ids.push((await createPermission(ctx, { key: `org:${slug}:act`, name: slug })).id)
    await createPermission(ctx, { key: `org:${slug}:other`, name: slug })
    const defaultFor = slug === 'everyone' || slug === 'off' ? 'everyone' : 'nobody'
    if (slug !== 'undefined') await createFeature(ctx, { slug, name: slug, defaultFor, enabled: slug !== 'off' })
  }
  await createRole(ctx, { key: 'org:holder', name: 'Holder', permissionIds: ids })
  for (const feature of ['organization', 'both', 'off'])
    await grantFeature(ctx, { holder: { organizationId }, feature, enabled: true })
  for (const way of ways) await make(way)
}, 60_000)

async function make(way: Way) {
  const ctx = t.ctx()
  const user = await clerk.users.createUser({ emailAddress: [`${way}@example.com`], skipPasswordRequirement: true })
  for (const feature of ['person', 'both', 'off'])
    await grantFeature(ctx, { holder: { userId: user.id }, feature, enabled: true })
  const member = { organizationId, userId: user.id }
  await addMember(ctx, { ...member, role: way === 'primary' ? 'org:holder' : 'org:member' })
  if (way === 'further') await addMemberRole(ctx, { ...member, role: 'org:holder' })
  if (way === 'direct')
    for (const slug of features) await addMemberPermission(ctx, { ...member, permission: `org:${slug}:act` })
  if (way === 'group') {
    const { id: groupId } = await createGroup(ctx, { organizationId, name: 'Holders' })
    await addGroupRole(ctx, { organizationId, groupId, role: 'org:holder' })
    await addGroupMember(ctx, { ...member, groupId })
  }
  const browser = new TestBrowser(t)
  const { token: ticket } = await clerk.signInTokens.createSignInToken({ userId: user.id, expiresInSeconds: 60 })
  const signIn = await browser.post('/client/sign_ins', { strategy: 'ticket', ticket })
  const sessionId = signIn.body.response.created_session_id as string
  people.set(way, { userId: user.id, sessionId })
  for (const place of places) subjects.push(await subjectOf(way, place, browser, sessionId))
}

async function subjectOf(way: Way, place: Place, browser: TestBrowser, sessionId: string): Promise<Subject> {
  const organization = place === 'organization' ? organizationId : ''
  await browser.post(`/client/sessions/${sessionId}/touch`, { active_organization_id: organization })
  const { jwt } = (await browser.post(`/client/sessions/${sessionId}/tokens`, { organization_id: organization })).body
  const request = new Request('http://localhost:3000/', { headers: { authorization: `Bearer ${jwt}` } })
  const state = await clerk.authenticateRequest(request, { acceptsToken: 'session_token' })
  const auth = state.toAuth()
  if (!auth?.userId) throw new Error(`the SDK refused the token: ${state.reason}`)
  const claims = claimsOf(jwt)
  // The browser reads its membership off the client, as the components do.
  const client = (await browser.get('/client')).body.response
  const session = client.sessions.find((s: { id: string }) => s.id === sessionId)
  const membership = session.user.organization_memberships.find(
    (m: { organization: { id: string } }) => m.organization.id === session.last_active_organization_id,
  )
  const { userId } = auth
  const record = place === 'organization' ? await getMembership(t.ctx(), { organizationId, userId }) : undefined
  return {
    way,
    place,
    standings: {
      tables: standingOf(record, (await getUser(t.ctx(), userId)).features),
      claims: standingOfClaims(claims),
    },
    server: (question) => auth.has(question as never),
    browser: createCheckAuthorization({
      userId,
      orgId: membership?.organization.id,
      orgRole: membership?.role,
      orgPermissions: membership?.permissions,
      features: claims.fea,
      factorVerificationAge: null,
    }),
    system: place === 'organization' && way !== 'primary' ? ['org:sys_memberships:read', 'org:sys_billing:read'] : [],
  }
}

describe('one truth', () => {
  test('is told by the tables, by the claims of a token, by the server SDK and by the browser SDK', () => {
    let [asked, passed] = [0, 0]
    for (const { way, place, standings, server, browser, system } of subjects) {
      const truth = truthOf(way, place)
      for (const question of questions()) {
        const whole = answerOf(truth, question, system)
        const inTokens = answerOf(truth, question, [])
        const given = {
          tables: decide(standings.tables, question) === 'pass',
          browser: browser(question),
          claims: decide(standings.claims, question) === 'pass',
          server: server(question),
        }
        const expected = { tables: whole, browser: whole, claims: inTokens, server: inTokens }
        if (Object.entries(expected).some(([where, answer]) => given[where as keyof typeof given] !== answer))
          expect({ way, place, question, ...given }).toEqual({ way, place, question, ...expected })
        asked += 1
        passed += whole ? 1 : 0
      }
    }
    expect(asked).toBe(ways.length * places.length * features.length * 7 * 7 * 10)
    expect(passed).toBeGreaterThan(1000)
  })

  test('absent is what nothing is known of: no organization, no such scope, nothing asked, a system permission in a token', () => {
    const cases: [Place, 'tables' | 'claims', Question, Decision][] = [
      ['none', 'tables', { role: 'org:member' }, 'absent'],
      ['none', 'claims', { permission: 'org:undefined:act' }, 'absent'],
      ['none', 'claims', { feature: 'o:organization' }, 'absent'],
      ['none', 'claims', { feature: 'u:person' }, 'pass'],
      ['none', 'claims', { feature: 'u:organization' }, 'fail'],
      ['organization', 'tables', {}, 'absent'],
      ['organization', 'tables', { feature: 'x:both' }, 'absent'],
      ['organization', 'tables', { feature: '' }, 'absent'],
      ['organization', 'claims', { permission: 'org:sys_memberships:read' }, 'absent'],
      ['organization', 'tables', { permission: 'org:sys_memberships:manage' }, 'fail'],
      ['organization', 'tables', { role: 'org:member', permission: 'org:sys_memberships:manage' }, 'fail'],
      ['organization', 'tables', { role: 'org:member', feature: 'x:both' }, 'absent'],
    ]
    for (const [place, source, question, decision] of cases) {
      const subject = subjects.find((s) => s.way === 'nothing' && s.place === place) as Subject
      expect([place, question, decide(subject.standings[source], question)]).toEqual([place, question, decision])
    }
  })

  test('what a token had no room for is absent, never held and never denied', () => {
    const { standings } = subjects.find((s) => s.way === 'primary' && s.place === 'organization') as Subject
    const partial: Standing = { ...standings.claims, isPartial: true }
    for (const question of questions()) {
      const [whole, part] = [decide(standings.claims, question), decide(partial, question)]
      expect(part === 'pass').toBe(whole === 'pass')
    }
    expect(decide(partial, { permission: 'org:left:out' })).toBe('absent')
    expect(decide(partial, { feature: 'left_out' })).toBe('absent')
    expect(decide(partial, { role: 'org:admin' })).toBe('fail')
  })

  test('is told by tokens for documents and by whoever judges sockets', async () => {
    for (const way of ways) {
      const { userId, sessionId } = people.get(way) as { userId: string; sessionId: string }
      const actor = { type: 'user' as const, userId, sessionId, clientId: 'client_x', organizationId: null }
      for (const feature of features) {
        const docId = `${organizationId}/${feature}`
        const may = truthOf(way, 'organization').permissions.has(`org:${feature}:act`)
        const made = await createSyncTokenForSession(t.ctx(actor), { docId }).catch((error) => error.code as string)
        if (typeof made === 'string') {
          expect([way, feature, may, made]).toEqual([way, feature, false, 'sync_access_denied'])
        } else {
          const claims = await verifySyncToken(t.ctx().instance, made.token, new Date())
          expect([way, feature, may, claims?.access]).toEqual([way, feature, true, 'read'])
        }
        const principal = {
          instanceId: t.ctx().instance.id,
          kind: 'session' as const,
          userId,
          sessionId,
          organizationId,
          permissionVersion: '',
          expiresAt: Date.now() / 1000 + 60,
        }
        const verdict = await judgeConnection(t.ctx(), principal, docId, 'write')
        expect([way, feature, verdict.allowed]).toEqual([way, feature, may])
        if (verdict.allowed) expect(verdict.access).toBe('read')
      }
    }
  })
})
