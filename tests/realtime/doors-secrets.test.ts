import { beforeAll, expect, spyOn, test } from 'bun:test'
import {
  createJwtTemplate,
  findSessionState,
  mintSessionToken,
  mintTemplateToken,
} from '../../apps/server/src/domains/sessions/index.ts'
import { claimsOf, mailedCode, TestBrowser } from '../../apps/server/src/faces/frontend/testing.ts'
import { kinds, type World, world } from '../../apps/server/src/faces/frontend/testing-secrets.ts'
import { issueTicket } from '../../packages/nextjs/src/realtime/tickets.ts'
import { createUsherServer } from '../../packages/nextjs/src/realtime/usher-server.ts'
import { channels } from './channels-support.ts'
import { member } from './encrypted-support.ts'
import { knock, type Place, places } from './knock.ts'
import { named } from './named.ts'

let w: World
let other: World
beforeAll(async () => {
  ;[w, other] = await Promise.all([world(), world()])
}, 60_000)

const home = 'http://localhost:3000'
const docOf = ({ userId }: World) => `${userId}/note`
const syncToken = async (of: World, docId = docOf(of)) =>
  (await of.browser.post('/sync/token', { doc_id: docId })).body.token as string
const backend = async (path: string, body: object) =>
  (
    await w.t.fetch(`/v1${path}`, {
      method: 'POST',
      secretKey: true,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  ).json()

/** What sockets themselves hand out, and what other parts do: secrets that no other matrix has. */
const more: Record<string, () => Promise<string>> = {
  'sync token of another document': () => syncToken(w, `${w.userId}/diary`),
  'sync token of another instance': () => syncToken(other),
  'session of another instance': () => kinds.session?.(other) as Promise<string>,
  'secret key of another instance': async () => other.t.secretKey,
  'webhook secret': async () =>
    (await backend('/webhooks/endpoints', { url: 'https://93.184.215.14/hooks', event_types: ['user.*'] })).secret,
  'ticket of a Next.js application': async () => {
    const server = createUsherServer({ secretKey: w.t.secretKey, apiUrl: w.t.url })
    const claims = {
      userId: w.userId,
      sessionId: w.sessionId,
      organizationId: undefined,
      expiresAt: Date.now() + 60_000,
    }
    return issueTicket(server, claims).ticket
  },
  'id of a session': async () => w.sessionId,
  'id of a person': async () => w.userId,
  'code of an email': () => mailedCode(w.t, 'ada@example.com'),
  'key of another kind': async () => `ak_${'a'.repeat(40)}`,
}

/** The kinds that open a socket, and where they may stand. */
const opens: Record<string, Record<string, Place[]>> = {
  '/sync': { sync: ['query', 'subprotocol', 'message'] },
  '/realtime': {
    session: ['query', 'subprotocol', 'message'],
    // For the channel of its own document alone (channels-tokens.test.ts).
    sync: ['query', 'subprotocol', 'message'],
    'sync token of another document': ['query', 'subprotocol', 'message'],
    'secret key': ['query', 'subprotocol', 'message'],
    // It names its instance itself, as it does at the server API, and is in that one then.
    'secret key of another instance': ['query', 'subprotocol', 'message'],
  },
}

test('D17 D5 of all secrets that exist each opens the sockets that it is for, where it may stand, and no other', async () => {
  const all = { ...Object.fromEntries(Object.entries(kinds).map(([kind, make]) => [kind, () => make(w)])), ...more }
  const { port } = w.t.server
  const seen: string[] = []
  const expected: string[] = []
  const made = Object.entries(all).map(async ([kind, make]) => [kind, await make()] as const)
  const knocks = (await Promise.all(made)).flatMap(([kind, credential]) => {
    expect([kind, typeof credential === 'string' && credential.length > 5]).toEqual([kind, true])
    return Object.entries(opens).flatMap(([door, takes]) =>
      places.map(async (place) => {
        const path = door === '/sync' ? `/sync/${docOf(w)}` : door
        const how = await knock({ port, host: w.t.host, path, credential, place })
        const mayPass = takes[kind]?.includes(place) ?? false
        expected.push(`${kind} at ${door} by ${place}: ${mayPass}`)
        seen.push(`${kind} at ${door} by ${place}: ${how === 'open'}`)
        // Never without an answer: a door that hangs is a door that somebody waits behind.
        expect(how).not.toMatch(/silent|gone/)
      }),
    )
  })
  await Promise.all(knocks)
  expect(seen.sort()).toEqual(expected.sort())
  expect(seen.length).toBeGreaterThan(200)
}, 60_000)

test('D14 T-13 a token that was made for the page of one application opens no socket of another’s, nor goes on in one', async () => {
  const { port } = w.t.server
  const { jwt } = (await w.browser.post(`/client/sessions/${w.sessionId}/tokens`)).body
  const own = await syncToken(w)
  expect([claimsOf(jwt).azp, claimsOf(own).azp]).toEqual([home, home])
  const document = `/sync/${docOf(w)}`
  const granted = { doc_id: docOf(w), user_id: w.userId, access: 'write' }
  const nobodys = (await backend('/sync_tokens', granted)).token as string
  const session = await w.session()
  const unbound = await mintSessionToken(w.t.ctx(), session)
  const at = (path: string, credential: string, place: Place, origin?: string) =>
    knock({ port, host: w.t.host, path, credential, place, ...(origin !== undefined && { origin }) })
  const cases = places
    .filter((place) => place !== 'elsewhere')
    .flatMap((place) =>
      [
        [document, own],
        ['/realtime', jwt],
      ].map(async ([path, token]) => {
        const all = [home, undefined, 'http://localhost:4000'].map((o) => at(path as string, token as string, place, o))
        expect([path, place, await Promise.all(all)]).toEqual([path, place, ['open', 'open', 'closed 4001']])
      }),
    )
  await Promise.all(cases)
  // What is for no page in particular is for all pages of the instance, and for no others.
  for (const [path, token] of [
    [document, nobodys],
    ['/realtime', unbound],
  ] as const) {
    expect(await at(path, token, 'subprotocol', 'http://localhost:4000')).toBe('open')
    expect(await at(path, token, 'subprotocol', 'https://evil.example')).toBe('http 403')
  }
  const headers = { host: w.t.host, origin: 'http://localhost:4000' }
  using edits = named(`ws://127.0.0.1:${port}${document}`, { headers, token: nobodys })
  using talks = named(`ws://127.0.0.1:${port}/realtime`, { headers, token: unbound })
  await Promise.all([edits.opened, talks.opened])
  edits.say({ t: 'auth', token: own })
  talks.say({ t: 'auth', token: jwt })
  for (const socket of [edits, talks]) expect((await socket.heard('err')).code).toBe('unauthenticated')
  expect([edits.closing, talks.closing]).toEqual([undefined, undefined])
}, 60_000)

test('D8 claims of an application’s own making, in a template or in the session token, give nothing more at a socket', async () => {
  const { t, organization } = w
  const ctx = t.ctx()
  const docId = `${organization.id}/plan`
  const eve = new TestBrowser(t)
  const { sessionId, userId } = await eve.signUp('eve@example.com')
  // As much of a sync token and of a session token as an application can write, from what people write themselves.
  const claims: Record<string, unknown> = {}
  const wanted = {
    ...{
      room: docId,
      access: 'write',
      by: 'backend',
      pv: 'none',
      org_id: organization.id,
      aud: `usher-sync:${ctx.instance.id}`,
    },
    ...{
      sub: w.userId,
      sid: w.sessionId,
      sts: 'active',
      v: 2,
      fva: [0, 0],
      typ: 'usher-sync+jwt',
      cat: 'cl_B7d4PD111AAA',
    },
    ...{
      o: { id: organization.id, rol: 'admin' },
      azp: home,
      act: { sub: w.userId },
      exp: 9e9,
      jti: 'x',
      user_id: w.userId,
    },
    ...{ role: '{{user.unsafe_metadata.role}}', permissions: '{{user.unsafe_metadata.permissions}}' },
  }
  const save = (name: string, own: Record<string, unknown>) => createJwtTemplate(ctx, { name, claims: own })
  for (const [name, value] of Object.entries(wanted)) {
    const isTaken = await save(`one-${name.replace('_', '-')}`, { [name]: value }).then(
      () => true,
      () => false,
    )
    if (isTaken) claims[name] = value
  }
  expect(Object.keys(claims)).toEqual(expect.arrayContaining(['room', 'access', 'org_id', 'permissions']))
  for (const name of ['sub', 'exp', 'o', 'sid']) expect(claims).not.toHaveProperty(name)
  await save('everything', claims)
  const metadata = { role: 'org:admin', permissions: ['org:chat:write', 'org:sys_memberships:manage'] }
  await eve.send('PATCH', '/me', { unsafe_metadata: JSON.stringify(metadata) })
  const own = await findSession(sessionId)
  const template = await mintTemplateToken(ctx, own, 'everything')
  expect(claimsOf(template)).toMatchObject({ sub: userId, room: docId })
  const doors = [`/sync/${docId}`, `/sync/${userId}/note`, '/realtime']
  const knocks = doors.flatMap((path) =>
    (['query', 'subprotocol', 'message'] as const).map((place) =>
      knock({ port: t.server.port, host: t.host, path, credential: template, place }),
    ),
  )
  expect(new Set(await Promise.all(knocks))).toEqual(new Set(['closed 4001']))

  // In the session token itself, where they stand beside what this server says.
  const { sub: _, ...inSession } = { ...claims, sub: undefined }
  await t.server.runtime.instances.changeSettings(ctx.instance.id, { session: { claims: inSession } })
  const { jwt } = (await eve.post(`/client/sessions/${sessionId}/tokens`)).body
  expect(claimsOf(jwt)).toMatchObject({ sub: userId, sid: sessionId, room: docId, permissions: metadata.permissions })
  expect(
    await knock({ port: t.server.port, host: t.host, path: doors[0] as string, credential: jwt, place: 'query' }),
  ).toBe('closed 4001')
  using socket = channels(t, jwt)
  const sub = (ch: string) => socket.ask({ t: 'sub', ch })
  for (const ch of [`org:${organization.id}:chat:1`, `user:${w.userId}:notifications`, `doc:${docId}`])
    expect([ch, await sub(ch)]).toEqual([ch, expect.objectContaining({ t: 'err', code: 'forbidden' })])
  expect(await sub(`user:${userId}:notifications`)).toMatchObject({ t: 'subbed', can: ['history'] })
}, 60_000)

async function findSession(sessionId: string) {
  const found = await findSessionState(w.t.ctx(), sessionId)
  if (!found) throw new Error('the session is gone')
  return found
}

test('D16 what sockets hand out is drawn by chance, says nothing of others, and bears enough bits where it opens something', async () => {
  const { t } = w
  // Of everything below nothing may come from a generator that somebody could know the state of.
  const dice = spyOn(Math, 'random').mockReturnValue(0.5)
  try {
    const base = `ws://127.0.0.1:${t.server.port}`
    const headers = { host: t.host }
    const leases: number[] = []
    const refs: number[] = []
    const incarnations: string[] = []
    for (let i = 0; i < 3; i++) {
      const docId = `${w.userId}/sealed-${i}`
      using ada = member(`${base}/sync`, docId, { headers, token: await syncToken(w, docId), makesSnapshots: true })
      refs.push((await ada.welcome()).connection)
      // A megabyte behind the snapshot, there is none: somebody is asked for one.
      for (let n = 0; n < 2; n++) await ada.acked((await ada.write('x'.repeat(600_000))).cseq)
      leases.push((await ada.next('snapshot-wanted')).lease)
      using bob = member(`${base}/sync`, docId, { headers, token: await syncToken(w, docId) })
      const welcome = await bob.welcome()
      refs.push(welcome.connection)
      incarnations.push(Buffer.from(welcome.incarnation).toString('hex'))
    }
    const tokens = await Promise.all(Array.from({ length: 20 }, () => syncToken(w)))
    const jtis = tokens.map((token) => claimsOf(token).jti as string)
    const tickets = await Promise.all(Array.from({ length: 20 }, () => more['ticket of a Next.js application']?.()))
    const ticketIds = tickets.map((ticket) => JSON.parse(atob((ticket as string).split('.')[0] as string)).id as string)
    const conns: string[] = []
    for (let i = 0; i < 6; i++) {
      using socket = channels(t, await mintSessionToken(t.ctx(), await w.session()))
      conns.push((await socket.ask({ t: 'sub', ch: `user:${w.userId}:notifications` })).conn as string)
    }
    for (const ids of [leases, refs, incarnations, jtis, ticketIds, conns]) {
      expect(new Set<unknown>(ids).size).toBe(ids.length)
      // Counters and clocks go up each time.
      const rises = ids.slice(1).filter((id, i) => id > (ids[i] as typeof id)).length
      expect(rises === ids.length - 1 && ids.length > 8).toBe(false)
    }
    // Two neighbours would tell one tenant how busy another is.
    for (const [i, id] of [...leases, ...refs].entries())
      for (const before of [...leases, ...refs].slice(0, i)) expect(Math.abs(id - before)).toBeGreaterThan(1000)
    // Bearers: what single use and tickets rest on. Twenty-two of 62 characters bear 131 bits.
    for (const jti of jtis) expect(jti).toMatch(/^[0-9A-Za-z]{22,}$/)
    for (const id of ticketIds) expect(Buffer.from(id, 'base64url').length).toBeGreaterThanOrEqual(16)
  } finally {
    dice.mockRestore()
  }
}, 60_000)
