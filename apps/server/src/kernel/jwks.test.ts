import { expect, test } from 'bun:test'
import { exportJWK, generateKeyPair, type JWK } from 'jose'
import type { Egress } from './egress.ts'
import { KeysUnavailable, RemoteKeys } from './jwks.ts'

const keyOf = async (kid: string, alg = 'RS256', extra: Partial<JWK> = {}): Promise<JWK> => ({
  ...(await exportJWK((await generateKeyPair(alg, { extractable: true })).publicKey)),
  kid,
  alg,
  use: 'sig',
  ...extra,
})

/** An issuer that answers as the test says, and a clock that goes as it says. */
function issuer(keys: unknown[]) {
  const state = { keys, now: 0, fetches: 0, isDown: false, bodies: {} as Record<string, string> }
  const egress: Egress = async (url) => {
    state.fetches++
    if (state.isDown) throw new Error('down')
    return { status: 200, headers: new Headers(), text: state.bodies[url] ?? JSON.stringify({ keys: state.keys }) }
  }
  const source = { issuer: 'https://id.example', jwksUrl: 'https://id.example/keys' }
  return { state, egress, remote: new RemoteKeys(source, egress, () => state.now) }
}

test('keys are fetched once, again after ten minutes, and for an unknown key at most every 30 seconds', async () => {
  const { state, remote } = issuer([await keyOf('a')])
  const found = await Promise.all(Array.from({ length: 50 }, () => remote.find('a', 'RS256')))
  expect(found.every(Boolean)).toBe(true)
  expect(state.fetches).toBe(1)
  state.keys = [...state.keys, await keyOf('b')]
  state.now = 1000
  // D4: ids that somebody makes up cause no fetch, however many they are.
  for (let i = 0; i < 1000; i++) expect(await remote.find(`../../${i}`, 'RS256')).toBeUndefined()
  expect(state.fetches).toBe(1)
  state.now = 31_000
  expect(await remote.find('b', 'RS256')).toBeDefined()
  expect(state.fetches).toBe(2)
  state.keys = [state.keys[1]]
  state.now = 31_000 + 10 * 60_000 + 1
  expect(await remote.find('a', 'RS256')).toBeUndefined()
  expect(state.fetches).toBe(3)
})

test('keys serve an hour while their issuer is down, and not longer', async () => {
  const { state, remote } = issuer([await keyOf('a')])
  expect(await remote.find('a', 'RS256')).toBeDefined()
  state.isDown = true
  state.now = 59 * 60_000
  expect(await remote.find('a', 'RS256')).toBeDefined()
  const before = state.fetches
  for (let i = 0; i < 100; i++) await remote.find('a', 'RS256')
  expect(state.fetches).toBe(before)
  state.now = 61 * 60_000
  await expect(remote.find('a', 'RS256')).rejects.toBeInstanceOf(KeysUnavailable)
  state.isDown = false
  await expect(remote.find('a', 'RS256')).rejects.toBeInstanceOf(KeysUnavailable)
  state.now += 31_000
  expect(await remote.find('a', 'RS256')).toBeDefined()
})

test('D2 a key is good for its own algorithm only, and what is no key for signatures is none', async () => {
  const rsa = await keyOf('rsa')
  const { alg: _, ...anyRsa } = rsa
  const { state, remote } = issuer([
    rsa,
    { ...anyRsa, kid: 'any' },
    { ...rsa, kid: 'encrypts', use: 'enc' },
    { ...rsa, kid: 'signs', key_ops: ['sign'] },
    { ...rsa, kid: 'small', n: rsa.n?.slice(0, 170) },
    { ...rsa, kid: 'exponent', e: 'A'.repeat(680) },
    { kty: 'oct', k: 'AAAA', kid: 'secret', alg: 'HS256' },
    { kty: 'oct', k: 'AAAA', kid: 'secret-rsa', alg: 'RS256' },
    await keyOf('ec', 'ES256'),
    null,
    7,
    'key',
  ])
  expect(await remote.find('rsa', 'RS256')).toBeDefined()
  expect(await remote.find('rsa', 'PS256')).toBeUndefined()
  expect(await remote.find('rsa', 'ES256')).toBeUndefined()
  expect(await remote.find('any', 'PS256')).toBeDefined()
  for (const kid of ['encrypts', 'signs', 'small', 'exponent', 'secret', 'secret-rsa'])
    expect([kid, await remote.find(kid, 'RS256')]).toEqual([kid, undefined])
  expect(await remote.find('ec', 'ES256')).toBeDefined()
  expect(await remote.find('ec', 'ES384')).toBeUndefined()
  // Without an id one key for the algorithm will do, and of two neither.
  expect(await remote.find(undefined, 'ES256')).toBeDefined()
  expect(await remote.find(undefined, 'RS256')).toBeUndefined()
  expect(state.fetches).toBe(1)
})

test('keys are found through the discovery document, of that issuer and no other', async () => {
  const { state, egress } = issuer([await keyOf('a')])
  const url = 'https://id.example/.well-known/openid-configuration'
  const find = () => new RemoteKeys({ issuer: 'https://id.example/' }, egress, () => state.now).find('a', 'RS256')
  state.bodies[url] = JSON.stringify({ issuer: 'https://id.example/', jwks_uri: 'https://id.example/k' })
  expect(await find()).toBeDefined()
  for (const body of [
    '{"issuer":"https://evil.example/","jwks_uri":"https://id.example/k"}',
    '{}',
    'null',
    'nonsense',
  ]) {
    state.bodies[url] = body
    await expect(find()).rejects.toBeInstanceOf(KeysUnavailable)
  }
})
