import { afterAll, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from './config.ts'

const dataDir = mkdtempSync(join(tmpdir(), 'usher-config-'))
afterAll(() => rmSync(dataDir, { recursive: true, force: true }))

test('names every problem at once and repeats no value', () => {
  const env = {
    USHER_PORT: '99999',
    DATABASE_URL: 'mysql://root:hunter2@db/x',
    LOG_LEVEL: 'loud',
    USHER_SECRET: 'hunter2',
  }
  let message = ''
  try {
    loadConfig(env, { dataDir })
  } catch (error) {
    message = (error as Error).message
  }
  for (const name of Object.keys(env)) expect(message).toContain(name)
  expect(message).not.toContain('hunter2')
})

test('what a password hash costs can be raised and lowered, though not below what OWASP asks for', () => {
  const costOf = (value: string) => loadConfig({ USHER_PASSWORD_COST: value }, { dataDir }).passwordCost
  expect(costOf('')).toEqual({ memoryKiB: 65_536, passes: 3 })
  expect(costOf('m=19456,t=2')).toEqual({ memoryKiB: 19_456, passes: 2 })
  expect(costOf('m=262144,t=20')).toEqual({ memoryKiB: 262_144, passes: 20 })
  for (const bad of [
    'm=19455,t=2',
    'm=19456,t=1',
    'm=262145,t=3',
    'm=65536,t=21',
    't=3,m=65536',
    '65536',
    'm=65536,t=3,p=4',
  ])
    expect(() => costOf(bad)).toThrow('USHER_PASSWORD_COST: has to be written as m=65536,t=3')
})

test('flags win over the environment', () => {
  expect(loadConfig({ USHER_PORT: '1' }, { dataDir, port: '2' }).port).toBe(2)
})

test('a public URL with a path is refused, one without loses its trailing slash', () => {
  expect(() => loadConfig({ USHER_PUBLIC_URL: 'https://a.example/x' }, { dataDir })).toThrow('USHER_PUBLIC_URL')
  expect(loadConfig({ USHER_PUBLIC_URL: 'https://a.example/' }, { dataDir }).publicUrl).toBe('https://a.example')
})

test('a data directory gets a secret of its own, once, readable by its owner only', () => {
  const first = loadConfig({}, { dataDir }).keyring
  const file = join(dataDir, 'secret')
  const written = readFileSync(file, 'utf8')
  expect(loadConfig({}, { dataDir }).keyring).toEqual(first)
  expect(readFileSync(file, 'utf8')).toBe(written)
  expect(statSync(file).mode & 0o777).toBe(0o600)
})

test('the bot check needs a site key and its secret; the invisible widget has its own or the same', () => {
  expect(loadConfig({}, { dataDir }).challengeProvider).toBeUndefined()
  const keys = { USHER_CAPTCHA_SITE_KEY: 'site', USHER_CAPTCHA_SECRET: 'hush' }
  const smart = { siteKey: 'site', secret: 'hush' }
  expect(loadConfig(keys, { dataDir }).challengeProvider).toMatchObject({ smart, invisible: smart })
  const own = { USHER_CAPTCHA_INVISIBLE_SITE_KEY: 'other', USHER_CAPTCHA_INVISIBLE_SECRET: 'hush too' }
  expect(loadConfig({ ...keys, ...own }, { dataDir }).challengeProvider?.invisible.siteKey).toBe('other')
  const { USHER_CAPTCHA_SECRET: _, ...half } = keys
  expect(() => loadConfig(half, { dataDir })).toThrow('USHER_CAPTCHA_SECRET')
  expect(() => loadConfig(own, { dataDir })).toThrow('USHER_CAPTCHA_SITE_KEY')
})
