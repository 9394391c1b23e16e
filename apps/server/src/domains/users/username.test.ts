import { expect, test } from 'bun:test'
import { testInstance } from '../../testing/server.ts'
import { InstanceSettings } from '../instances/index.ts'
import { checkUsername } from './username.ts'

test('a username follows the rules of its instance, and never looks like another kind of identifier', async () => {
  const { ctx } = await testInstance()
  const withRules = (username: object) => ({ ...ctx().instance, settings: InstanceSettings.parse({ username }) })
  const plain = withRules({})
  const codeOf = (instance: typeof plain, name: string) => {
    try {
      checkUsername(instance, name)
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  expect(checkUsername(plain, 'ada_l-1')).toBe('ada_l-1')
  expect(codeOf(plain, 'ada')).toBe('form_username_invalid_length')
  expect(codeOf(plain, 'a'.repeat(65))).toBe('form_username_invalid_length')
  expect(codeOf(plain, '123456')).toBe('form_username_needs_non_number_char')
  expect(codeOf(withRules({ allowNumeric: true }), '123456')).toBeUndefined()
  for (const bad of ['ada lovelace', 'ada@home', '+491234', 'ada/x', 'adä.x', 'ada\u200bl', 'ada\u0000l'])
    expect(codeOf(plain, bad)).toBe('form_username_invalid_character')
  const extended = withRules({ allowExtendedCharacters: true })
  expect(checkUsername(extended, 'a\u0308da.l')).toBe('äda.l')
  for (const bad of ['ada lovelace', 'ada@home', '+491234', 'ada/x', 'ada\u200bl', 'ada\u202el'])
    expect(codeOf(extended, bad)).toBe('form_username_invalid_character')
})

test('K10 a username of very many marks is refused before they are composed', async () => {
  const { ctx } = await testInstance()
  const startedAt = performance.now()
  // Marks in the wrong order are sorted: these took 14 seconds of the whole server, and a form holds six times as many.
  const marks = `a${'\u0301'.repeat(10_000)}${'\u0316'.repeat(10_000)}`
  expect(() => checkUsername(ctx().instance, marks)).toThrow(
    expect.objectContaining({ code: 'form_username_invalid_length' }),
  )
  expect(performance.now() - startedAt).toBeLessThan(1000)
})
