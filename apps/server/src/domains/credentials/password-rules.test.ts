import { afterAll, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TestBrowser } from '../../faces/frontend/testing.ts'
import { testInstance } from '../../testing/server.ts'
import { InstanceSettings } from '../instances/index.ts'
import { checkPasswordRules, isBreached, useBreachedPasswords } from './index.ts'
import { estimateStrength } from './password-strength.ts'

/** The suggestions that the components can show, in whatever language they are. */
const known =
  'allUppercase anotherWord associatedYears capitalization dates l33t longerKeyboardPattern noNeed pwned recentYears repeated reverseWords sequences useWords'.split(
    ' ',
  )

const folder = mkdtempSync(join(tmpdir(), 'usher-breached-'))
afterAll(() => {
  useBreachedPasswords(undefined)
  rmSync(folder, { recursive: true })
})

test('each rule refuses by its own code, and nothing is asked for that was not set', async () => {
  const { ctx } = await testInstance()
  const check = (rules: object, password: unknown, identifiers: string[] = []) => {
    const instance = { ...ctx().instance, settings: InstanceSettings.parse({ password: rules }) }
    try {
      checkPasswordRules(instance, password, 'password', { identifiers })
      return 'accepted'
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  const good = 'correct horse battery'
  expect(check({}, good)).toBe('accepted')
  for (const nothing of ['', null, undefined, ['x'], {}]) expect(check({}, nothing)).toBe('form_param_nil')
  expect(check({}, 'short 1')).toBe('form_password_length_too_short')
  expect(check({}, 'x'.repeat(73))).toBe('form_password_length_too_long')
  expect(check({ requireUppercase: true }, good)).toBe('form_password_no_uppercase')
  expect(check({ requireUppercase: true }, 'Écorrect horse')).toBe('accepted')
  expect(check({ requireLowercase: true }, good.toUpperCase())).toBe('form_password_no_lowercase')
  expect(check({ requireNumber: true }, good)).toBe('form_password_no_number')
  expect(check({ requireSpecialCharacter: true }, good)).toBe('form_password_no_special_char')
  expect(check({ requireSpecialCharacter: true }, 'correct-horse-battery')).toBe('accepted')
  expect(check({}, 'Ada@Example.com', ['ada@example.com'])).toBe('form_password_matches_identifier')
  for (const leaked of ['password', '12345678', 'Password', 'qwertyuiop'])
    expect(check({}, leaked)).toBe('form_password_pwned')
  expect(check({ refuseBreached: false }, 'password')).toBe('accepted')
  expect(check({ minStrength: 4 }, 'abcdefgh1990')).toBe('form_password_not_strong_enough')
  expect(check({ minStrength: 4 }, good)).toBe('accepted')
})

test('a password that is too weak is refused with what would make it better, in the words of the components', async () => {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { password: { minStrength: 4 } })
  const browser = new TestBrowser(t)
  const form = { email_address: 'ada@example.com', password: 'abcdefgh1990' }
  const { status, body } = await browser.post('/client/sign_ups', form)
  expect({ status, code: body.errors[0].code }).toEqual({ status: 422, code: 'form_password_not_strong_enough' })
  const { suggestions } = body.errors[0].meta.zxcvbn
  expect(suggestions.length).toBeGreaterThan(0)
  for (const { code, message } of suggestions) {
    expect(known).toContain(code)
    expect(message).toMatch(/^[A-Z].+\.$/)
  }
  expect(new Set(suggestions.map((s: { code: string }) => s.code)).size).toBe(suggestions.length)
})

test('every weak password gets a suggestion that the components have words for, in bounded time', () => {
  const endless = '4@8({[<369!1|5$70+%2z'.repeat(4).slice(0, 72)
  for (const weak of ['password', 'qwertyuiop', 'Jessica', 'aaaaaaaaaa', '19901990', 'p4ssw0rd', 'drowssap', endless]) {
    const startedAt = performance.now()
    const { suggestions } = estimateStrength(weak)
    expect(performance.now() - startedAt).toBeLessThan(1500)
    expect(suggestions.length).toBeGreaterThan(0)
    for (const { code } of suggestions) expect(known).toContain(code)
  }
  expect(estimateStrength('p4ssw0rd').score).toBe(0)
})

test('A19 an operator’s list of leaked passwords is searched in place, whatever its size', () => {
  const hashOf = (text: string) => createHash('sha1').update(text).digest('hex').toUpperCase()
  const leaked = Array.from({ length: 20_000 }, (_, i) => `leaked password ${i}`)
  const path = join(folder, 'leaked.txt')
  const lines = leaked.map((p, i) => `${hashOf(p)}:${i + 1}`).sort()
  writeFileSync(path, `${lines.join('\r\n')}\r\n`)
  expect(isBreached('leaked password 7')).toBe(false)
  useBreachedPasswords(path)
  for (const password of leaked) if (!isBreached(password)) throw new Error(`${password} was not found`)
  for (let i = 0; i < 2000; i += 1) if (isBreached(`never leaked ${i}`)) throw new Error('found what is not there')
  writeFileSync(path, lines.map((l) => l.slice(0, 40)).join('\n'))
  useBreachedPasswords(path)
  expect(isBreached('leaked password 19999')).toBe(true)
  const wrong = join(folder, 'wrong.txt')
  writeFileSync(wrong, 'password\n123456\n'.repeat(100))
  expect(() => useBreachedPasswords(wrong)).toThrow('no list of leaked passwords')
  writeFileSync(wrong, [...lines.slice(10_000), ...lines.slice(0, 10_000)].join('\n'))
  expect(() => useBreachedPasswords(wrong)).toThrow('not sorted')
  writeFileSync(wrong, '')
  expect(() => useBreachedPasswords(wrong)).toThrow('no list of leaked passwords')
  writeFileSync(wrong, lines.slice(0, 1).join('\n'))
  useBreachedPasswords(wrong)
  expect(() => useBreachedPasswords(join(folder, 'missing.txt'))).toThrow()
})

test('A19 a leaked password signs nobody in where that is asked for; stuffing from many addresses trips one limit', async () => {
  const t = await testInstance()
  const change = (more: object) => t.server.runtime.instances.changeSettings(t.ctx().instance.id, more)
  await change({ password: { refuseBreached: false }, rateLimits: { attemptsPerMinute: 100_000 } })
  await new TestBrowser(t).signUp('ada@example.com', 'qwertyuiop')
  const attempt = () =>
    new TestBrowser(t).post('/client/sign_ins', { identifier: 'ada@example.com', password: 'qwertyuiop' })
  expect((await attempt()).body.response.status).toBe('complete')
  await change({ password: { refuseBreachedAtSignIn: true } })
  expect((await attempt()).body.errors[0].code).toBe('form_password_pwned')

  await change({ rateLimits: { attemptsPerMinute: 100_000, instanceAttemptsPerMinute: 8 } })
  const answers = []
  for (let i = 0; i < 12; i += 1) {
    // Each from an address of its own, as an application's proxy tells it.
    const forwarded = {
      'clerk-secret-key': t.secretKey,
      'clerk-proxy-url': 'http://localhost:3000/__clerk',
      'x-forwarded-for': `198.51.100.${i}`,
    }
    const form = { identifier: `victim-${i}@example.com`, password: 'qwertyuiop' }
    answers.push(await new TestBrowser(t).post('/client/sign_ins', form, forwarded))
  }
  expect(answers.filter((a) => a.status === 429).length).toBeGreaterThanOrEqual(3)
})
