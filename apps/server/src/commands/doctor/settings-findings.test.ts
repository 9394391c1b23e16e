import { expect, test } from 'bun:test'
import { randomBytes } from 'node:crypto'
import type { Config } from '../../config.ts'
import type { Instance } from '../../domains/instances/index.ts'
import { testInstance } from '../../testing/server.ts'
import { isGuessable, settingsFindings } from './settings-findings.ts'

const secret = randomBytes(32).toString('base64')

/** A production instance that lacks nothing, with what a test makes different about it. */
async function findingsOf(change: { config?: Partial<Config>; instance?: Partial<Instance>; secret?: string } = {}) {
  const t = await testInstance('production')
  const held = t.ctx().instance
  const settings = {
    ...held.settings,
    homeUrl: 'https://app.acme.example',
    allowedOrigins: ['https://app.acme.example'],
  }
  const instance = { ...held, host: 'auth.acme.example', settings, ...change.instance }
  const config = {
    ...t.server.runtime.config,
    databaseUrl: 'postgres://db.acme.example/usher',
    smtpUrl: 'smtps://mail.acme.example',
    mailFrom: 'Acme <no-reply@acme.example>',
    trustedProxies: new Set(['127.0.0.1']),
    ...change.config,
  }
  const found = settingsFindings(config, instance, undefined, { USHER_SECRET: change.secret ?? secret })
  return found.filter(({ state }) => state === 'missing').map(({ about }) => about)
}

test('an instance that has everything lacks nothing', async () => {
  expect(await findingsOf()).toEqual([])
})

test('every missing thing is named', async () => {
  const { settings } = (await testInstance('production')).ctx().instance
  const home = { homeUrl: 'https://app.acme.example', allowedOrigins: [] }
  const withSettings = (more: object) => ({ instance: { settings: { ...settings, ...home, ...more } } })
  expect(await findingsOf({ secret: '' })).toEqual(['USHER_SECRET'])
  expect(await findingsOf({ config: { smtpUrl: undefined } })).toEqual(['SMTP_URL'])
  expect(await findingsOf({ config: { mailFrom: 'Usher <no-reply@localhost>' } })).toEqual(['USHER_MAIL_FROM'])
  expect(await findingsOf({ config: { trustedProxies: new Set() } })).toEqual(['USHER_TRUSTED_PROXIES'])
  expect(await findingsOf({ instance: { environment: 'development' } })).toEqual(['instance'])
  expect(await findingsOf({ instance: { host: 'acme.localhost' } })).toEqual(['host'])
  expect(await findingsOf(withSettings({ homeUrl: 'http://app.acme.example' }))).toEqual(['HTTPS'])
  expect(await findingsOf(withSettings({ allowedOrigins: ['https://localhost:3000'] }))).toEqual(['HTTPS'])
  expect(await findingsOf(withSettings({ phoneNumber: { ...settings.phoneNumber, use: 'optional' } }))).toEqual([
    'USHER_SMS_ACCOUNT',
  ])
  expect(await findingsOf(withSettings({ botCheck: { enabled: true, widget: 'smart' } }))).toEqual([
    'USHER_CAPTCHA_SITE_KEY',
  ])
})

test('secrets that people make up are told from random ones', () => {
  for (const made of ['x'.repeat(40), 'change-me-change-me-change-me-change', 'a secret that both of the servers hold'])
    expect(isGuessable(made)).toBe(true)
  for (let i = 0; i < 100; i += 1) {
    expect(isGuessable(randomBytes(32).toString('base64'))).toBe(false)
    expect(isGuessable(randomBytes(32).toString('hex'))).toBe(false)
  }
})
