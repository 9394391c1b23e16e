import { expect, test } from 'bun:test'
import { exportJWK, exportSPKI, SignJWT } from 'jose'
import { createEgress } from '../../apps/server/src/kernel/egress.ts'
import { testInstance } from '../../apps/server/src/testing/server.ts'
import { type Issuer, startIssuer } from './issuer.ts'
import { named } from './named.ts'
import { until } from './support.ts'

const step1 = Uint8Array.of(0, 0, 1, 0)
const letter = Uint8Array.of(0, 2, 11, 1, 1, 1, 0, 4, 1, 1, 116, 1, 97, 0)
const rules = [
  { pattern: 'org/{organization}/*', read: 'docs:read', write: 'docs:write' },
  { pattern: 'people/{subject}/*' },
  { pattern: 'news/*', write: false as const },
]

/** An instance that trusts an issuer on this machine. */
async function world(settings: Record<string, unknown> = {}) {
  const issuer = await startIssuer()
  const t = await testInstance()
  const { runtime } = t.server
  runtime.egress = createEgress({ allow: [issuer.host] })
  const trust = {
    name: 'kinde',
    issuer: issuer.url,
    audience: issuer.audience,
    claims: { organization: 'org_code' },
    rules,
  }
  await runtime.instances.changeSettings(t.ctx().instance.id, { sync: { issuers: [trust], ...settings } })
  const url = (docId: string) => `ws://127.0.0.1:${t.server.port}/sync/${docId}`
  /** What a token is good for: an access, or the code that it is closed with. */
  const enter = async (docId: string, token: string): Promise<string | number> => {
    using socket = named(url(docId), { headers: { host: t.host } })
    await socket.opened
    socket.say({ t: 'auth', token })
    await until(() => socket.texts.length > 0 || socket.closing !== undefined, 'answered')
    return socket.closing?.code ?? String(socket.texts[0]?.access)
  }
  return { issuer, t, trust, url, enter, headers: { host: t.host } }
}

test('T-24 another issuer’s people open documents by the rules for what their tokens say', async () => {
  const { issuer, enter, t, url, headers } = await world()
  using _ = issuer
  const acme = { org_code: 'acme', permissions: ['docs:read', 'docs:write'] }
  const cases: [string, Record<string, unknown>, string | number][] = [
    ['org/acme/1', acme, 'write'],
    ['org/acme/1', { ...acme, permissions: ['docs:read'] }, 'read'],
    ['org/acme/1', { ...acme, permissions: 'docs:read docs:write' }, 'write'],
    ['org/acme/1', { ...acme, permissions: [] }, 4403],
    ['org/acme/1', { permissions: acme.permissions }, 4403],
    ['org/other/1', acme, 4403],
    ['org/acme2/1', acme, 4403],
    ['org/acme/1', { ...acme, org_code: '*' }, 4403],
    ['org/acme/1', { ...acme, org_code: ['acme'] }, 4403],
    ['people/auth0%257Cada/1', {}, 'write'],
    ['people/auth0%257Cbob/1', {}, 4403],
    ['news/today', {}, 'read'],
    ['anything', {}, 4403],
  ]
  for (const [docId, claims, expected] of cases)
    expect([docId, claims, await enter(docId, await issuer.sign(claims))]).toEqual([docId, claims, expected])
  using stock = named(url('org/acme/1'), { headers, token: await issuer.sign(acme) })
  await stock.opened
  stock.socket.send(step1)
  stock.socket.send(letter)
  await until(() => stock.frames.some((f) => f[0] === 0 && f[1] === 2), 'acknowledged')
  // A renewal that carries less is a new judgement.
  stock.say({ t: 'auth', token: await issuer.sign({ ...acme, permissions: ['docs:read'] }) })
  expect(await stock.heard('role')).toMatchObject({ access: 'read' })
  stock.say({ t: 'auth', token: await issuer.sign({ ...acme, sub: 'eve' }) })
  expect(await stock.heard('err')).toMatchObject({ code: 'forbidden' })
  expect(stock.closing).toBeUndefined()
  stock.say({ t: 'auth', token: await issuer.sign({ permissions: [] }) })
  expect((await stock.closed).code).toBe(4403)
  expect(issuer.state.fetches).toBe(2)
  expect(t.server.runtime.instances.find(t.ctx().instance.id)?.settings.sync.issuers[0]?.claims.subject).toBe('sub')
}, 60_000)

test('T-24 K10 a person whose name cannot be stored is nobody, and holds up nobody else', async () => {
  const { issuer, enter } = await world()
  using _ = issuer
  for (const sub of ['ada\u0000', '\ud800', 'ada\nroot', '\u0007'])
    expect([sub, await enter('news/today', await issuer.sign({ sub }))]).toEqual([sub, 4001])
  expect(await enter('news/today', await issuer.sign({ sub: 'Åda Ω' }))).toBe('read')
}, 60_000)

/** The token as its three parts, to be put together otherwise. */
const parts = (token: string) => token.split('.') as [string, string, string]
const b64 = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

async function forgeries(issuer: Issuer): Promise<[string, string][]> {
  const good = await issuer.sign()
  const [head, body, signature] = parts(good)
  const key = issuer.keys.get('first')
  if (!key) throw new Error('no key')
  const claims = JSON.parse(Buffer.from(body, 'base64url').toString())
  const pem = await exportSPKI(key.pair.publicKey)
  const jwk = await exportJWK(key.pair.publicKey)
  const der = Buffer.from(pem.replace(/-----[^-]+-----|\n/g, ''), 'base64')
  const hmac = (secret: Uint8Array, kid: string | undefined = 'first') =>
    new SignJWT(claims).setProtectedHeader({ alg: 'HS256', typ: 'JWT', ...(kid && { kid }) }).sign(secret)
  const signText = async (text: string) => {
    const input = `${head}.${b64(text)}`
    const bytes = await crypto.subtle.sign('RSASSA-PKCS1-v1_5', key.pair.privateKey, Buffer.from(input))
    return `${input}.${Buffer.from(bytes).toString('base64url')}`
  }
  const text = JSON.stringify(claims)
  const s = issuer.now()
  await issuer.addKey('unpublished', 'RS256', false)
  await issuer.addKey('curve', 'ES256')
  const made: [string, string | Promise<string>][] = [
    ...['none', 'None', 'nOnE', 'NONE', ''].flatMap((alg): [string, string][] => [
      [`D1 ${alg}`, `${b64({ alg, typ: 'JWT', kid: 'first' })}.${body}.`],
      [`D1 ${alg} signed`, `${b64({ alg, typ: 'JWT', kid: 'first' })}.${body}.${signature}`],
    ]),
    ['D2 PEM', hmac(Buffer.from(pem))],
    ['D2 PEM without newline', hmac(Buffer.from(pem.trim()))],
    ['D2 DER', hmac(der)],
    ['D2 JWK', hmac(Buffer.from(JSON.stringify(jwk)))],
    ['D2 without kid', hmac(Buffer.from(pem), '')],
    ['D4 path', issuer.sign({}, { header: { kid: '../../dev/null' } })],
    ['D4 SQL', issuer.sign({}, { header: { kid: "' or 1=1--" } })],
    ['D4 huge', issuer.sign({}, { header: { kid: 'x'.repeat(5000) } })],
    ['D4 array', issuer.sign({}, { header: { kid: ['first'] } })],
    ['D4 object', issuer.sign({}, { header: { kid: {} } })],
    ['D4 null', issuer.sign({}, { header: { kid: null } })],
    ['D4 a key of its own', issuer.sign({}, { kid: 'unpublished', header: { jwk, jku: 'https://evil.example/jwks' } })],
    ['D5 a logout', issuer.sign({}, { header: { typ: 'logout+jwt' } })],
    ['D5 a document token', issuer.sign({}, { header: { typ: 'usher-sync+jwt' } })],
    ['D5 another audience', issuer.sign({ aud: 'https://other.example' })],
    ['D5 no audience', issuer.sign({ aud: undefined })],
    ['D5 another issuer', issuer.sign({ iss: 'https://evil.example' })],
    ['D7 list of issuers', issuer.sign({ iss: [issuer.url] })],
    ['D7 audience as an object', issuer.sign({ aud: { [issuer.audience]: true } })],
    ['D7 subject as a number', issuer.sign({ sub: 7 })],
    ['D7 subject as a list', issuer.sign({ sub: ['auth0|ada'] })],
    ['D7 empty subject', issuer.sign({ sub: '' })],
    ['D7 no subject', issuer.sign({ sub: undefined })],
    ['D7 end as text', issuer.sign({ exp: String(s + 60) })],
    ['D7 no end', issuer.sign({ exp: undefined })],
    ['D7 twice', signText(text.replace('{', '{"sub":"root",'))],
    ['D7 twice at the end', signText(text.replace(/}$/, ',"sub":"root"}'))],
    ['D7 twice in other letters', signText(text.replace(/}$/, ',"\\u0073ub":"root"}'))],
    ['D7 a list of claims', signText(`[${text}]`)],
    ['D10 encrypted', `${b64({ alg: 'PBES2-HS512+A256KW', p2c: 2 ** 31, p2s: 'AA', enc: 'A256GCM' })}.AA.AA.AA.AA`],
    ['D10 long', `${head}.${'A'.repeat(9000)}.${signature}`],
    ['D11 padding', `${good}=`],
    ['D11 more bytes', `${good}AAAA`],
    ['D11 other letters', `${good.slice(0, -1)}${String.fromCharCode(good.charCodeAt(good.length - 1) + 1)}`],
    [
      'D11 r = s = 0',
      parts(await issuer.sign({}, { kid: 'curve' }))
        .slice(0, 2)
        .concat(b64('\0'.repeat(64)))
        .join('.'),
    ],
    ['D13 ended', issuer.sign({ exp: s - 6 })],
    ['D13 not yet', issuer.sign({ nbf: s + 30 })],
    ['D13 issued later', issuer.sign({ iat: s + 30 })],
  ]
  return Promise.all(made.map(async ([what, token]): Promise<[string, string]> => [what, await token]))
}

test('D1 D2 D4 D5 D7 D10 D11 D13 T-10 T-21 forged, bent and foreign tokens open no socket, whoever issued them', async () => {
  const { issuer, enter } = await world()
  using _ = issuer
  const forged = await forgeries(issuer)
  expect(await enter('news/1', await issuer.sign())).toBe('read')
  const { fetches } = issuer.state
  for (let i = 0; i < forged.length; i += 10) {
    const some = forged.slice(i, i + 10)
    const got = await Promise.all(some.map(async ([what, token]) => [what, await enter('news/1', token)]))
    // What is too long is not even looked at.
    expect(got).toEqual(some.map(([what]) => [what, what === 'D10 long' ? 4422 : 4001]))
    await Bun.sleep(400)
  }
  expect(issuer.state.fetches - fetches).toBeLessThanOrEqual(2)
  // What a clock that is a little off says, an audience among others, and a curve.
  const s = issuer.now()
  expect(await enter('news/1', await issuer.sign({ exp: s - 2 }))).toBe('read')
  expect(await enter('news/1', await issuer.sign({ iat: s + 3, nbf: s + 3 }))).toBe('read')
  expect(await enter('news/1', await issuer.sign({ aud: ['userinfo', issuer.audience] }))).toBe('read')
  expect(await enter('news/1', await issuer.sign({}, { header: { typ: 'at+jwt' } }))).toBe('read')
}, 60_000)

test('T-23 an issuer that is down is no reason to refuse; one that was never heard of is one to come back', async () => {
  const { issuer, enter, t, trust } = await world()
  using _ = issuer
  issuer.state.isDown = true
  expect(await enter('news/1', await issuer.sign())).toBe(4503)
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, {
    sync: { issuers: [{ ...trust, jwksUrl: `${issuer.url}/jwks` }] },
  })
  issuer.state.isDown = false
  expect(await enter('news/1', await issuer.sign())).toBe('read')
  issuer.state.isDown = true
  expect(await enter('news/1', await issuer.sign())).toBe('read')
})

test('J5 T-22 the keys of an issuer are never fetched from the server’s own network', async () => {
  const { issuer, enter, t } = await world()
  using _ = issuer
  t.server.runtime.egress = createEgress()
  const before = issuer.state.fetches
  expect(await enter('news/1', await issuer.sign())).toBe(4503)
  expect(issuer.state.fetches).toBe(before)
})

test('T-25 an issuer that is no longer trusted, or whose rules change, loses its live connections', async () => {
  const { issuer, t, url, headers, trust } = await world()
  using _ = issuer
  using live = named(url('news/1'), { headers, token: await issuer.sign() })
  await live.opened
  live.socket.send(step1)
  await until(() => live.frames.length > 0, 'greeted')
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { applicationName: 'Other' })
  await Bun.sleep(300)
  expect(live.closing).toBeUndefined()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { sync: { issuers: [{ ...trust, rules: [] }] } })
  const start = performance.now()
  expect((await live.closed).code).toBe(4001)
  expect(performance.now() - start).toBeLessThan(1000)
})
