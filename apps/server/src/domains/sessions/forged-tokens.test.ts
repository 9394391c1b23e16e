import { expect, test } from 'bun:test'
import { TestBrowser } from '../../faces/frontend/testing.ts'
import { testInstance } from '../../testing/server.ts'
import { type SessionClaims, verifySessionToken } from './index.ts'

/** A session and the means to sign whatever text with the instance's own key, as only a bug of ours could. */
async function signedIn() {
  const t = await testInstance()
  const browser = new TestBrowser(t)
  const { sessionId } = await browser.signUp('ada@example.com')
  const token: string = (await browser.post(`/client/sessions/${sessionId}/tokens`)).body.jwt
  const [head = '', body = '', signature = ''] = token.split('.')
  const claims: SessionClaims = JSON.parse(Buffer.from(body, 'base64url').toString())
  const key = t.ctx().instance.signingKeys[0]?.privateKey as CryptoKey
  const signText = async (payload: string) => {
    const input = `${head}.${Buffer.from(payload).toString('base64url')}`
    const bytes = await crypto.subtle.sign('RSASSA-PKCS1-v1_5', key, Buffer.from(input))
    return `${input}.${Buffer.from(bytes).toString('base64url')}`
  }
  const sign = (change: Record<string, unknown>) => signText(JSON.stringify({ ...claims, ...change }))
  const codeOf = (value: unknown) =>
    verifySessionToken(t.ctx(), value).then(
      () => 'passes',
      (error) => error.code,
    )
  return { t, browser, sessionId, token, head, body, signature, claims, sign, signText, codeOf }
}
const refused = 'authentication_invalid'

test('D7 claims of another type, and claims that stand there twice, are refused even with a right signature', async () => {
  const { claims, sign, signText, codeOf } = await signedIn()
  expect(await codeOf(await sign({}))).toBe('passes')
  const wrong: Record<string, unknown>[] = [
    { iss: [claims.iss] },
    { iss: [claims.iss, 'https://evil.test'] },
    { iss: { toString: claims.iss } },
    { sub: 7 },
    { sub: [claims.sub] },
    { sub: null },
    { sid: [claims.sid] },
    { sid: { id: claims.sid } },
    { exp: String(claims.exp) },
    { exp: [claims.exp] },
    { exp: null },
    { exp: true },
    { nbf: '0' },
    { iat: null },
    { v: '2' },
    { v: [2] },
  ]
  for (const change of wrong) expect([change, await codeOf(await sign(change))]).toEqual([change, refused])
  for (const name of ['exp', 'iss', 'sub', 'sid', 'nbf', 'iat', 'v'])
    expect([name, await codeOf(await sign({ [name]: undefined }))]).toEqual([name, refused])
  const text = JSON.stringify(claims)
  const twice = [
    text.replace('{', '{"sub":"user_root",'),
    text.replace(/}$/, ',"sub":"user_root"}'),
    text.replace(/}$/, ',"exp":9999999999}'),
    text.replace(/}$/, ',"\\u0073ub":"user_root"}'),
    ` ${text}`,
    `${text}\n`,
    `\ufeff${text}`,
    `[${text}]`,
    'null',
    '"text"',
    '',
  ]
  for (const payload of twice) expect([payload, await codeOf(await signText(payload))]).toEqual([payload, refused])
})

test('D10 what is too long, encrypted or deflated is refused before anything is computed', async () => {
  const { head, body, signature, codeOf } = await signedIn()
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const bomb = Bun.gzipSync(Buffer.alloc(10 * 1024 * 1024)).toString()
  const hostile = [
    `${encode({ alg: 'dir', enc: 'A256GCM', zip: 'DEF' })}..AAAA.${Buffer.from(bomb).toString('base64url')}.AAAA`,
    `${encode({ alg: 'PBES2-HS512+A256KW', p2c: 2 ** 31, p2s: 'AA', enc: 'A256GCM' })}.AA.AA.AA.AA`,
    `${encode({ alg: 'RS256', cat: 'cl_B7d4PD111AAA', jwk: { kty: 'RSA', n: 'AQAB', e: 'A'.repeat(680) } })}.${body}.${signature}`,
    `${head}.${'A'.repeat(10_000_000)}.${signature}`,
    `${'A'.repeat(10_000_000)}.${body}.${signature}`,
    `${head}.${body}.${'A'.repeat(10_000_000)}`,
    '.'.repeat(16_000),
    `${encode(JSON.parse(`${'['.repeat(5000)}${']'.repeat(5000)}`))}.${body}.${signature}`,
  ]
  for (const token of hostile) {
    await codeOf(token)
    const before = process.cpuUsage()
    expect(await codeOf(token)).toBe(refused)
    const { user, system } = process.cpuUsage(before)
    expect((user + system) / 1000).toBeLessThan(25)
  }
})

test('D11 a signature has one spelling, and another form of it is none', async () => {
  const { head, body, signature, token, codeOf } = await signedIn()
  expect(await codeOf(token)).toBe('passes')
  const bytes = Buffer.from(signature, 'base64url')
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const last = alphabet.indexOf(signature.at(-1) ?? '')
  // The last character carries bits that mean nothing: the same bytes in other letters.
  const respelled = [1, 2, 3].map((bit) => `${signature.slice(0, -1)}${alphabet[last ^ bit]}`)
  for (const other of respelled) expect(Buffer.from(other, 'base64url')).toEqual(bytes)
  const variants = [
    ...respelled,
    `${signature}=`,
    `${signature}==`,
    ` ${signature}`,
    `${signature}\n`,
    `${signature}AA`,
    `AA${signature}`,
    signature.slice(0, -2),
    bytes.toString('base64'),
    bytes.toString('hex'),
    Buffer.concat([Buffer.alloc(1), bytes]).toString('base64url'),
    Buffer.concat([bytes, Buffer.alloc(1)]).toString('base64url'),
    Buffer.alloc(256).toString('base64url'),
    Buffer.alloc(64).toString('base64url'),
    Buffer.from('3006020100020100', 'hex').toString('base64url'),
    '',
  ]
  for (const variant of variants)
    expect([variant, await codeOf(`${head}.${body}.${variant}`)]).toEqual([variant, refused])
})

test('D13 clocks may differ by five seconds, and by no more', async () => {
  const { claims, sign, codeOf } = await signedIn()
  const now = Math.floor(Date.now() / 1000)
  const cases: [Partial<SessionClaims>, string][] = [
    [{ exp: now - 3 }, 'passes'],
    [{ exp: now - 7 }, refused],
    [{ exp: now - 600 }, refused],
    [{ nbf: now + 3 }, 'passes'],
    [{ nbf: now + 8 }, refused],
    [{ nbf: now + 600 }, refused],
    [{ iat: now + 3 }, 'passes'],
    [{ iat: now + 8 }, refused],
    [{ iat: now + 600, nbf: now - 10 }, refused],
    [{ exp: now + 0.5 }, 'passes'],
    [{ exp: Number.MAX_SAFE_INTEGER }, 'passes'],
  ]
  for (const [change, expected] of cases) {
    const token = await sign(change)
    expect([change, await codeOf(token)]).toEqual([change, expected])
  }
  expect(claims.exp - claims.iat).toBe(60)
})
