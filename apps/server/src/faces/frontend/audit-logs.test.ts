import { expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { recordAll } from '../../domains/audit/testing.ts'
import { addMember, inviteMembers, updateOrganization } from '../../domains/organizations/index.ts'
import { createActorToken } from '../../domains/sessions/index.ts'
import { createUser, updateUser } from '../../domains/users/index.ts'
import { testInstance } from '../../testing/server.ts'
import { TestBrowser } from './testing.ts'

async function signedIn(t: Awaited<ReturnType<typeof testInstance>>, emailAddress: string) {
  const browser = new TestBrowser(t)
  const { userId, sessionId } = await browser.signUp(emailAddress)
  const at = (path: string) => `${path}${path.includes('?') ? '&' : '?'}_clerk_session_id=${sessionId}`
  const get = (path: string) => browser.get(at(path))
  const raw = (path: string) =>
    t.fetch(`/v1${at(path)}`, { headers: { cookie: [...browser.cookies].map(([k, v]) => `${k}=${v}`).join('; ') } })
  const create = async (name: string) => (await browser.post(at('/organizations'), { name })).body.response.id as string
  return { browser, userId, at, get, raw, create }
}

/** Ada and Eve have an organization each; Bob is a plain member of Ada's. */
async function twoOrganizations() {
  const t = await testInstance()
  const [ada, eve, bob] = await Promise.all(['ada', 'eve', 'bob'].map((name) => signedIn(t, `${name}@example.com`)))
  if (!ada || !eve || !bob) throw new Error('nobody is there')
  const [adas, eves] = [await ada.create('Frontiers'), await eve.create('Theirs')]
  await addMember(t.ctx(), { organizationId: adas, userId: bob.userId, role: 'org:member' })
  await recordAll(t)
  return { t, ada, eve, bob, adas, eves }
}

test('a member with the permission reads who did what, to whom, from where', async () => {
  const { ada, bob, adas } = await twoOrganizations()
  const { status, body } = await ada.get(`/organizations/${adas}/audit_logs`)
  expect(status).toBe(200)
  const { data, has_more, next_cursor } = body.response
  expect({ has_more, next_cursor }).toEqual({ has_more: false, next_cursor: null })
  const [added, ...before] = data
  expect(added).toMatchObject({
    object: 'audit_log_entry',
    action: 'organizationMembership.created',
    actor: { type: 'backend' },
    targets: [{ type: 'organization_membership' }, { type: 'user', id: bob.userId, name: 'bob@example.com' }],
  })
  expect(before.map((entry: { action: string }) => entry.action).sort()).toEqual([
    'organization.created',
    'organizationMembership.created',
  ])
  for (const entry of before) {
    expect(entry.actor).toEqual({ type: 'user', id: ada.userId, name: 'ada@example.com' })
    expect(entry.context.ip).toBe('127.0.0.1')
    expect(entry.context.user_agent).toBeString()
    expect(entry.occurred_at).toBeNumber()
  }
})

test('an invitation is known by the address that was invited, whatever becomes of it', async () => {
  const { t, ada, adas } = await twoOrganizations()
  const invitation = { email_address: 'carol@example.com', role: 'org:member' }
  const made = await ada.browser.post(ada.at(`/organizations/${adas}/invitations`), invitation)
  await ada.browser.post(ada.at(`/organizations/${adas}/invitations/${made.body.response.id}/revoke`))
  await recordAll(t)
  const { data } = (await ada.get(`/organizations/${adas}/audit_logs?action=organizationInvitation.*`)).body.response
  expect(data).toMatchObject(
    ['organizationInvitation.revoked', 'organizationInvitation.created'].map((action) => ({
      action,
      actor: { id: ada.userId },
      targets: [{ type: 'organization_invitation', id: made.body.response.id, name: 'carol@example.com' }],
    })),
  )
})

test('I17 O10 nobody reads the log of another tenant, whole, in part, or as a file', async () => {
  const { t, ada, eve, bob, adas, eves } = await twoOrganizations()
  const mark = 'a name that only Frontiers knows'
  await updateOrganization(t.ctx(), { id: adas, name: mark })
  await recordAll(t)
  const everything = [
    ...['', `?query=${encodeURIComponent('only Frontiers')}`, `?target_id=${adas}`, `?actor_id=${ada.userId}`],
    ...['/export', '/export?format=csv'],
  ]
  for (const rest of everything) {
    const foreign = await eve.raw(`/organizations/${adas}/audit_logs${rest}`)
    const absent = await eve.raw(`/organizations/org_none/audit_logs${rest}`)
    const [told, nothing] = [await foreign.json(), await absent.json()]
    expect([foreign.status, told.errors[0].code]).toEqual([404, 'organization_not_found_or_unauthorized'])
    // An organization of others and none at all look the same.
    expect([absent.status, nothing.errors]).toEqual([404, told.errors])
    const own = await eve.raw(`/organizations/${eves}/audit_logs${rest}`)
    expect(own.status).toBe(200)
    const text = await own.text()
    for (const secret of [mark, adas, ada.userId, 'ada@example.com']) expect(text).not.toContain(secret)
    // A member without the permission sees that it is there, and nothing of it.
    const plain = await bob.raw(`/organizations/${adas}/audit_logs${rest}`)
    expect([plain.status, (await plain.json()).errors[0].code]).toEqual([403, 'forbidden'])
  }
  const out = await t.fetch(`/v1/organizations/${adas}/audit_logs`)
  expect(out.status).toBe(401)
  // Another instance's server finds nothing either, also under the id.
  const other = await testInstance()
  const answer = await other.fetch(`/v1/organizations/${adas}/audit_logs`, { secretKey: true })
  expect(answer.status).toBe(404)
  const list = await other.fetch(`/v1/audit_logs?query=Frontiers`, { secretKey: true })
  expect((await list.json()).data).toEqual([])
})

test('O10 what a spreadsheet would run as a formula is text in an exported table', async () => {
  const { t, ada, adas } = await twoOrganizations()
  const agents = ['=cmd|calc', '+1+1', '-2+3', '@SUM(A1)', '\t=1', ' =1', 'x","=1"', 'Mozilla/5.0 (X;=1+1; -2)']
  for (const userAgent of agents) {
    const headers = { 'user-agent': userAgent }
    await ada.browser.send('PATCH', ada.at(`/organizations/${adas}`), { name: userAgent }, headers)
  }
  const [invited] = [{ organizationId: adas, emailAddress: 'carol@example.com', role: 'org:member' }]
  await inviteMembers(t.ctx(), [{ ...invited, publicUrl: 'http://localhost' }])
  await recordAll(t)
  const answer = await ada.raw(`/organizations/${adas}/audit_logs/export?format=csv`)
  expect(answer.headers.get('content-type')).toBe('text/csv; charset=utf-8')
  expect(answer.headers.get('content-disposition')).toMatch(/^attachment; filename="audit-log-[\d-]+\.csv"$/)
  const text = await answer.text()
  const rows = parseCsv(text)
  expect(rows.length).toBeGreaterThan(agents.length)
  expect(new Set(rows.map((row) => row.length)).size).toBe(1)
  for (const cell of rows.flat()) expect(cell).not.toMatch(/^\s*[=+\-@]/)
  // As a spreadsheet reads it where semicolons separate: it sees no quotes inside of a cell.
  for (const cell of text.split(/[;\r\n]/)) expect(cell).not.toMatch(/^["\s]*[=+\-@]/)
  expect(text).toContain("'=cmd|calc")
})

test('an export is complete, can be verified without the server, and stands in the log itself', async () => {
  const { t, ada, adas } = await twoOrganizations()
  for (let i = 0; i < 1200; i += 1) await updateOrganization(t.ctx(), { id: adas, name: `Frontiers ${i}` })
  await recordAll(t)
  const text = await (await ada.raw(`/organizations/${adas}/audit_logs/export`)).text()
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines).toHaveLength(1203)
  let previous = '0'.repeat(64)
  for (const [i, line] of lines.entries()) {
    expect([line.place, line.previous_hash]).toEqual([i + 1, previous])
    expect(hashOf(line)).toBe(line.hash)
    previous = line.hash
  }
  await recordAll(t)
  const { body } = await ada.get(`/organizations/${adas}/audit_logs?limit=1`)
  expect(body.response.data).toMatchObject([
    { action: 'auditLog.exported', actor: { id: ada.userId }, data: { format: 'jsonl' } },
  ])
}, 60_000)

test('one person takes a few exports a minute, and no more', async () => {
  const { ada, adas } = await twoOrganizations()
  const statuses = []
  for (let i = 0; i < 11; i += 1) statuses.push((await ada.raw(`/organizations/${adas}/audit_logs/export`)).status)
  expect(statuses).toEqual([...Array(10).fill(200), 429])
})

test('J13 filters and cursors are values and nothing else', async () => {
  const { t, ada, bob, adas } = await twoOrganizations()
  await updateUser(t.ctx(), { id: bob.userId, firstName: '100%' })
  await createUser(t.ctx(), { emailAddresses: [{ emailAddress: 'carol@example.com', verifiedBy: 'admin' }] })
  for (let i = 0; i < 6; i += 1) await updateOrganization(t.ctx(), { id: adas, name: `Frontiers ${i}` })
  await recordAll(t)
  const places = async (query: string) => {
    const { status, body } = await ada.get(`/organizations/${adas}/audit_logs?${query}`)
    return status === 200 ? body.response.data.map((entry: { place: number }) => entry.place) : status
  }
  const all = await places('limit=100')
  expect(all).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1])
  // Page after page the same, without one twice or none.
  const first = (await ada.get(`/organizations/${adas}/audit_logs?limit=4`)).body.response
  expect(first).toMatchObject({ has_more: true, next_cursor: '6' })
  expect(await places(`limit=4&cursor=${first.next_cursor}`)).toEqual([5, 4, 3, 2])
  expect(await places('action=organization.updated')).toHaveLength(6)
  expect(await places('action=organization.*')).toHaveLength(7)
  expect(await places('action=organization.updated&action=organizationMembership.created')).toHaveLength(8)
  expect(await places(`actor_id=${ada.userId}`)).toHaveLength(2)
  expect(await places(`target_id=${bob.userId}`)).toEqual([3])
  expect(await places('query=bob@EXAMPLE.com')).toEqual([3])
  expect(await places(`since=${Date.now() + 1000}`)).toEqual([])
  expect(await places(`until=${new Date(Date.now() + 1000).toISOString()}`)).toEqual(all)
  // Signs of the pattern language stand for themselves.
  expect(await places('query=%25')).toEqual([])
  expect(await places('query=_')).toEqual(await places(`query=${encodeURIComponent('_')}`))
  for (const bad of [
    "actor_id=' or 1=1--",
    "target_id='%3B drop table audit_entries",
    "query=') or ('1'='1",
    'query=\\',
  ])
    expect(await places(bad)).toEqual([])
  for (const bad of [
    'cursor=0',
    'cursor=1;--',
    'cursor=-1',
    'limit=0',
    'limit=501',
    'since=yesterday',
    'since=-8640000000000000',
    'until=8640000000000000',
    "action=a';--",
  ])
    expect(await places(bad)).toBe(422)
  expect(await places('actor_id=%00')).toBe(422)
  expect(await places('limit=100')).toEqual(all)
})

test('the application’s server reads every log of its instance, also of an organization that is gone', async () => {
  const { t, ada, adas } = await twoOrganizations()
  await ada.browser.send('DELETE', ada.at(`/organizations/${adas}`))
  await recordAll(t)
  const read = async (path: string) => {
    const answer = await t.fetch(`/v1${path}`, { secretKey: true })
    return { status: answer.status, body: await answer.json() }
  }
  const { status, body } = await read(`/organizations/${adas}/audit_logs`)
  expect(status).toBe(200)
  expect(body.data.map((entry: { action: string }) => entry.action)).toContain('organization.deleted')
  expect((await read('/organizations/org_none/audit_logs')).status).toBe(404)
  expect((await read('/audit_logs')).status).toBe(200)
  expect((await ada.get(`/organizations/${adas}/audit_logs`)).status).toBe(404)
})

test('I4 I13 who tries what their role does not allow is refused, and the log names them and the rule, once', async () => {
  const { t, ada, bob, adas } = await twoOrganizations()
  const tries = async () => {
    const invite = { email_address: 'eve2@example.com', role: 'org:admin' }
    return Promise.all([
      bob.browser.post(bob.at(`/organizations/${adas}/invitations`), invite),
      bob.browser.send('PATCH', bob.at(`/organizations/${adas}/memberships/${bob.userId}`), { role: 'org:admin' }),
      bob.browser.send('DELETE', bob.at(`/organizations/${adas}`)),
      bob.get(`/organizations/${adas}/audit_logs`),
    ])
  }
  for (const { status } of [...(await tries()), ...(await tries())]) expect(status).toBe(403)
  await recordAll(t)
  const { body } = await ada.get(`/organizations/${adas}/audit_logs?action=access.refused`)
  const entries = body.response.data as { actor: unknown; data: { rule: string }; context: { ip: string } }[]
  expect(entries.map(({ data }) => data.rule).sort()).toEqual([
    'org:sys_audit_log:read',
    'org:sys_memberships:manage',
    'org:sys_profile:delete',
  ])
  for (const { actor, context } of entries) {
    expect(actor).toEqual({ type: 'user', id: bob.userId, name: 'bob@example.com' })
    expect(context.ip).toBe('127.0.0.1')
  }
  const { data } = (await ada.get(`/organizations/${adas}/memberships`)).body.response
  expect(data).toHaveLength(2)
})

test('O7 what somebody does in another’s name stands in the log with both', async () => {
  const { t, ada, adas } = await twoOrganizations()
  const support = await createUser(t.ctx(), {
    emailAddresses: [{ emailAddress: 's@example.com', verifiedBy: 'admin' }],
  })
  const { token } = await createActorToken(t.ctx(), { userId: ada.userId, actor: { sub: support.id } })
  const browser = new TestBrowser(t)
  const { body } = await browser.post('/client/sign_ins', { strategy: 'ticket', ticket: token })
  const sessionId = body.response.created_session_id
  await browser.send('PATCH', `/organizations/${adas}?_clerk_session_id=${sessionId}`, { name: 'Renamed by support' })
  await recordAll(t)
  const [newest] = (await ada.get(`/organizations/${adas}/audit_logs?limit=1`)).body.response.data
  expect(newest).toMatchObject({
    action: 'organization.updated',
    actor: { type: 'user', id: ada.userId, impersonator: support.id },
  })
  const own = await (await t.fetch('/v1/audit_logs', { secretKey: true })).json()
  const actions = own.data.map((entry: { action: string }) => entry.action)
  expect(actions).toContain('actorToken.created')
  expect(actions).toContain('session.created')
})

/** What docs/audit-log.md says about hashes, written down a second time. */
function hashOf(e: Record<string, unknown>): string {
  const sorted = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map(sorted)
      : value && typeof value === 'object'
        ? Object.fromEntries(
            Object.keys(value)
              .sort()
              .map((key) => [key, sorted((value as Record<string, unknown>)[key])]),
          )
        : value
  const fields = ['chain', 'place', 'id', 'position', 'occurred_at', 'action', 'actor', 'targets', 'context', 'data']
  const text = JSON.stringify([
    'usher/audit/v1',
    e.instance_id,
    ...fields.map((field) => sorted(e[field])),
    e.previous_hash,
  ])
  return createHash('sha256').update(text).digest('hex')
}

/** RFC 4180. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [[]]
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n|$)/g)) {
    rows.at(-1)?.push(quoted === undefined ? (plain ?? '') : quoted.replaceAll('""', '"'))
    if (end === '\r\n') rows.push([])
    if (end === '') break
  }
  return rows.filter((row) => row.length > 1)
}
