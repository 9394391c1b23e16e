import { expect, test } from 'bun:test'
import { testInstance } from '../../testing/server.ts'

test('a change of settings keeps what it does not name, also when two come at once; a bad one changes nothing', async () => {
  const { server, ctx } = await testInstance()
  const { instances } = server.runtime
  const { id } = ctx().instance
  await Promise.all([
    instances.changeSettings(id, { password: { minLength: 10 }, allowedOrigins: ['https://a.example'] }),
    instances.changeSettings(id, { password: { requireNumber: true }, secondFactors: { totp: true } }),
  ])
  const { password, secondFactors, allowedOrigins } = ctx().instance.settings
  expect(password).toMatchObject({ minLength: 10, requireNumber: true, requireUppercase: false })
  expect(secondFactors).toMatchObject({ totp: true, required: false })
  expect(allowedOrigins).toEqual(['https://a.example'])

  const attempts = [{ password: { minLength: 3 } }, { password: { minLenght: 9 } }, { nonsense: true }, [], null, 'x']
  for (const change of attempts)
    await expect(instances.changeSettings(id, change)).rejects.toMatchObject({ code: 'form_param_value_invalid' })
  expect(ctx().instance.settings.password.minLength).toBe(10)
  await expect(instances.changeSettings('ins_nobody', {})).rejects.toMatchObject({ code: 'resource_not_found' })
})
