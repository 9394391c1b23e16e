import { expect, spyOn, test } from 'bun:test'
import { createHmac, createPublicKey } from 'node:crypto'
import { SignJWT } from 'jose'
import { TestBrowser } from '../../faces/frontend/testing.ts'
import { testInstance } from '../../testing/server.ts'
import { createHandshake, verifySessionToken } from './index.ts'

async function signedIn() {
  const t = await testInstance()
  const browser = new TestBrowser(t)
  const { sessionId } = await browser.signUp('ada@example.com')
  const { body } = await browser.post(`/client/sessions/${sessionId}/tokens`)
  const token: string = body.jwt
  const [head = '', claims = '', signature = ''] = token.split('.')
  const header = JSON.parse(Buffer.from(head, 'base64url').toString())
  const payload = JSON.parse(Buffer.from(claims, 'base64url').toString())
  return { t, token, header, payload, claims, signature, sessionId }
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const refused = { code: 'authentication_invalid' }

test('a session token of this instance verifies, in its time', async () => {
  const { t, token, header, sessionId } = await signedIn()
  expect(header).toEqual({ alg: 'RS256', typ: 'JWT', cat: 'cl_B7d4PD111AAA', kid: expect.any(String) })
  expect(await verifySessionToken(t.ctx(), token)).toMatchObject({ sid: sessionId, v: 2 })
  t.advance(70_000)
  await expect(verifySessionToken(t.ctx(), token)).rejects.toMatchObject(refused)
})

test('D1 no unsigned token passes, however "none" is spelt', async () => {
  const { t, header, claims, signature } = await signedIn()
  for (const alg of ['none', 'None', 'NONE', 'nOnE', '', 'RS256 ', 'rs256', null, ['RS256'], undefined])
    for (const sig of ['', signature, 'AA']) {
      const forged = `${encode({ ...header, alg })}.${claims}.${sig}`
      await expect(verifySessionToken(t.ctx(), forged)).rejects.toMatchObject(refused)
    }
  const discovery = await (await t.fetch('/.well-known/openid-configuration')).text()
  expect(discovery.toLowerCase()).not.toContain('"none"')
})

test('D2 the public key is no HMAC secret', async () => {
  const { t, header, claims } = await signedIn()
  const [key] = t.ctx().instance.signingKeys
  const publicKey = createPublicKey({ key: { ...key?.publicJwk, kty: 'RSA' } as never, format: 'jwk' })
  const pem = publicKey.export({ type: 'spki', format: 'pem' }) as string
  const secrets = [
    pem,
    pem.trim(),
    publicKey.export({ type: 'pkcs1', format: 'pem' }) as string,
    publicKey.export({ type: 'spki', format: 'der' }),
    JSON.stringify(key?.publicJwk),
    `${JSON.stringify(key?.publicJwk)}\n`,
    key?.publicJwk.n as string,
  ]
  for (const alg of ['HS256', 'HS384', 'HS512', 'RS256'])
    for (const secret of secrets) {
      const input = `${encode({ ...header, alg })}.${claims}`
      const mac = createHmac(`sha${alg.slice(2)}`, secret)
        .update(input)
        .digest('base64url')
      await expect(verifySessionToken(t.ctx(), `${input}.${mac}`)).rejects.toMatchObject(refused)
    }
})

test('D4 a kid names one of the instance’s own keys or the token is refused without a look anywhere', async () => {
  const { t, token, header, claims, signature } = await signedIn()
  const other = await signedIn()
  const kids = ['../../dev/null', "' OR 1=1 --", 'x'.repeat(1_000_000), {}, [header.kid], null, 7, '', other.header.kid]
  const database = t.server.runtime.database
  const queries = spyOn(database.tenant, 'begin')
  const fetches = spyOn(globalThis, 'fetch')
  for (const kid of kids) {
    const forged = `${encode({ ...header, kid })}.${claims}.${signature}`
    await expect(verifySessionToken(t.ctx(), forged)).rejects.toMatchObject(refused)
  }
  const pointing = { jku: 'https://evil.test/jwks', x5u: 'https://evil.test', jwk: { kty: 'oct', k: 'AA' }, kid: 'x' }
  const forged = `${encode({ ...header, ...pointing })}.${claims}.${signature}`
  await expect(verifySessionToken(t.ctx(), forged)).rejects.toMatchObject(refused)
  expect(queries).not.toHaveBeenCalled()
  expect(fetches).not.toHaveBeenCalled()
  queries.mockRestore()
  fetches.mockRestore()
  // Another instance's token is refused although this server signed it.
  await expect(verifySessionToken(other.t.ctx(), token)).rejects.toMatchObject(refused)
})

test('D5 tokens of other kinds, signed by the same key, are no session tokens', async () => {
  const { t, header, payload } = await signedIn()
  const [key] = t.ctx().instance.signingKeys
  const sign = (claims: object, head: object) =>
    new SignJWT({ ...claims }).setProtectedHeader({ alg: 'RS256', ...head }).sign(key?.privateKey as CryptoKey)
  expect(await verifySessionToken(t.ctx(), await sign(payload, header))).toMatchObject({ sid: payload.sid })
  const { cat: _, ...unclassified } = header
  const kinds: Record<string, string> = {
    handshake: await createHandshake(t.ctx(), { directives: ['__session=x'], format: 'jwt' }),
    'JWT template': await sign(payload, { ...header, cat: 'cl_B7d4PD222AAA' }),
    M2M: await sign(payload, { ...header, cat: 'cl_B7d4PD333AAA' }),
    'no class': await sign(payload, unclassified),
    'access token': await sign(payload, { ...header, typ: 'at+jwt' }),
    'sync token': await sign(payload, { ...header, typ: 'usher-sync+jwt' }),
    'other issuer': await sign({ ...payload, iss: 'https://evil.test' }, header),
    'no session': await sign({ ...payload, sid: undefined }, header),
    'critical extension': await sign({ ...payload, iss: 'x' }, { ...header }),
  }
  for (const [kind, token] of Object.entries(kinds))
    await expect(verifySessionToken(t.ctx(), token).then(() => kind)).rejects.toMatchObject(refused)
  // A ticket, a client token and a nonce are not even tokens.
  for (const value of ['dvb_x', 'a.b', 'a.b.c.d', '', null, {}, ['a'], 'x'.repeat(1e6)])
    await expect(verifySessionToken(t.ctx(), value)).rejects.toMatchObject(refused)
})

test('D5 a session token is no client token, no handshake nonce and no ticket', async () => {
  const { t, token } = await signedIn()
  const browser = new TestBrowser(t)
  browser.cookies.set(`__client_${t.ctx().instance.cookieSuffix}`, token)
  expect((await browser.get('/client')).body.response).toBe(null)
  const native = await browser.get('/client?_is_native=1', { authorization: token })
  expect(native.body.response).toBe(null)
  expect((await browser.get('/client', { authorization: `Bearer ${token}` })).body.response).toBe(null)
  expect((await browser.post('/client/sign_ins', { strategy: 'ticket', ticket: token })).status).toBe(400)
})
