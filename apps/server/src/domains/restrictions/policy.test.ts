import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { createUser } from '../users/index.ts'
import { addAllowlistIdentifier, addBlocklistIdentifier, checkMayHave, checkMaySignIn, isAllowlisted } from './index.ts'

const restrict = (instance: TestInstance, restrictions: object) =>
  instance.server.runtime.instances.changeSettings(instance.ctx().instance.id, { restrictions })
const refusal = (instance: TestInstance, value: string, kind: 'email_address' | 'phone_number' = 'email_address') =>
  transaction(instance.ctx(), (tx) => checkMayHave(tx, { kind, value })).then(
    () => undefined,
    (error) => error.code,
  )

test('the block-list holds addresses, domains and numbers, and no sub-address goes around it', async () => {
  const instance = await testInstance()
  const ctx = instance.ctx()
  for (const identifier of ['Mallory@Example.com', '*@evil.example', '+1 (202) 555-0170'])
    await addBlocklistIdentifier(ctx, { identifier })
  expect(await refusal(instance, 'mallory@example.com')).toBeUndefined()
  await restrict(instance, { blocklist: true })
  for (const value of ['mallory@example.com', 'mallory+1@example.com', 'anybody@evil.example'])
    expect(await refusal(instance, value)).toBe('form_email_address_blocked')
  expect(await refusal(instance, '+12025550170', 'phone_number')).toBe('not_allowed_access')
  for (const value of ['ada@example.com', 'mallory@example.org', 'x@not-evil.example', 'x@sub.evil.example'])
    expect(await refusal(instance, value)).toBeUndefined()
  const signIn = transaction(instance.ctx(), (tx) =>
    checkMaySignIn(tx, { kind: 'email_address', value: 'mallory@example.com' }),
  )
  await expect(signIn).rejects.toMatchObject({ code: 'not_allowed_access' })
  // Another instance's list is nobody else's.
  const other = await testInstance()
  await restrict(other, { blocklist: true })
  expect(await refusal(other, 'mallory@example.com')).toBeUndefined()
})

test('sub-addresses, throw-away domains and Gmail’s dots are refused where that is asked for', async () => {
  const instance = await testInstance()
  expect(await refusal(instance, 'ada+1@mailinator.com')).toBeUndefined()
  await restrict(instance, {
    blockEmailSubaddresses: true,
    blockDisposableEmailDomains: true,
    ignoreDotsForGmail: true,
  })
  for (const value of ['ada+1@example.com', 'ada=x@example.com', 'ada#x@example.com'])
    expect(await refusal(instance, value)).toBe('form_email_address_blocked')
  for (const value of ['x@mailinator.com', 'x@anything.33mail.com'])
    expect(await refusal(instance, value)).toBe('form_email_address_blocked')
  await createUser(instance.ctx(), { emailAddresses: [{ emailAddress: 'ada.l@gmail.com', verifiedBy: 'admin' }] })
  expect(await refusal(instance, 'adal@gmail.com')).toBe('form_identifier_exists')
  expect(await refusal(instance, 'a.d.a.l@googlemail.com')).toBe('form_identifier_exists')
  expect(await refusal(instance, 'ada.l@gmail.com')).toBeUndefined()
  for (const value of ['adal@example.com', 'bob@gmail.com']) expect(await refusal(instance, value)).toBeUndefined()
})

test('the allow-list admits an address or a whole domain, once it is on', async () => {
  const instance = await testInstance()
  await addAllowlistIdentifier(instance.ctx(), { identifier: '*@acme.example' })
  const admitted = (value: string) =>
    transaction(instance.ctx(), (tx) => isAllowlisted(tx, { kind: 'email_address', value }))
  expect(await admitted('ada@acme.example')).toBe(false)
  await restrict(instance, { allowlist: true })
  expect(await admitted('ada@acme.example')).toBe(true)
  expect(await admitted('ada@acme.example.evil.example')).toBe(false)
  expect(await admitted('ada@sub.acme.example')).toBe(false)
})

test('an entry is an address, a domain, a number or a wallet; the second one is refused, also in parallel', async () => {
  const { ctx } = await testInstance()
  for (const identifier of [
    '',
    'acme.example',
    '*',
    '*@*',
    'a*@acme.example',
    ['a@b.example'],
    null,
    'a@b.example, c@d.example',
  ])
    await expect(Promise.resolve().then(() => addBlocklistIdentifier(ctx(), { identifier }))).rejects.toMatchObject({
      code: 'form_param_format_invalid',
    })
  const all = await Promise.allSettled(
    Array.from({ length: 10 }, () => addBlocklistIdentifier(ctx(), { identifier: 'twice@example.com' })),
  )
  expect(all.filter((r) => r.status === 'fulfilled')).toHaveLength(1)
  const refused = all.filter((r) => r.status === 'rejected')
  expect(refused.every((r) => r.reason.code === 'duplicate_record')).toBe(true)
})
