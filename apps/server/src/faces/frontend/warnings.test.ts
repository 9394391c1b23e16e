import { expect, test } from 'bun:test'
import { testInstance } from '../../testing/server.ts'
import { mailsTo, TestBrowser } from './testing.ts'

const chrome =
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36'
const headers = { 'user-agent': chrome }
const password = 'correct horse battery'
const addresses = { old: 'ada@example.com', new: 'countess@example.org' }

async function withTwoAddresses(environment?: 'production') {
  const t = await testInstance(environment)
  const browser = new TestBrowser(t)
  await browser.signUp(addresses.old, password)
  const added = (await browser.post('/me/email_addresses', { email_address: addresses.new })).body.response
  await browser.post(`/me/email_addresses/${added.id}/prepare_verification`, { strategy: 'email_code' })
  const code = (await mailsTo(t, addresses.new))[0]?.text.match(/^\d{6}$/m)?.[0] ?? ''
  await browser.post(`/me/email_addresses/${added.id}/attempt_verification`, { code })
  const templates = async (to: string) => (await mailsTo(t, to)).map((m) => m.template)
  return { t, browser, newId: added.id as string, templates }
}

test('a change of the primary address is told to the old and the new one, with device, place and time', async () => {
  const { t, browser, newId, templates } = await withTwoAddresses()
  const changed = await browser.send('PATCH', '/me', { primary_email_address_id: newId }, headers)
  expect(changed.body.response.primary_email_address_id).toBe(newId)
  for (const to of [addresses.old, addresses.new])
    expect((await templates(to))[0]).toBe('primary_email_address_changed')
  const [mail] = await mailsTo(t, addresses.old)
  expect(mail?.text).toContain(addresses.new)
  for (const fact of ['Device: Chrome 140, macOS', 'Place: unknown place', 'IP address: 127.0.0.1', 'UTC'])
    expect(mail?.text).toContain(fact)
  // Saying the same again changes nothing, and nobody is told.
  await browser.send('PATCH', '/me', { primary_email_address_id: newId }, headers)
  expect((await templates(addresses.old)).filter((name) => name === 'primary_email_address_changed')).toHaveLength(1)
})

test('an address that is removed hears of it, and so does the one that stays; a claim that was never proven does not', async () => {
  const { browser, newId, templates } = await withTwoAddresses()
  const claim = (await browser.post('/me/email_addresses', { email_address: 'stranger@example.net' })).body.response
  await browser.send('DELETE', `/me/email_addresses/${claim.id}`, {}, headers)
  expect(await templates('stranger@example.net')).toEqual([])
  await browser.send('DELETE', `/me/email_addresses/${newId}`, {}, headers)
  for (const to of [addresses.old, addresses.new]) expect((await templates(to))[0]).toBe('email_address_removed')
})

test('a changed and a removed password are told', async () => {
  const { t, browser, templates } = await withTwoAddresses()
  const next = 'another horse battery'
  await browser.post('/me/change_password', { current_password: password, new_password: next }, headers)
  expect((await templates(addresses.old))[0]).toBe('password_changed')
  expect((await mailsTo(t, addresses.old))[0]?.text).toContain('Chrome 140, macOS')
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { password: { use: 'optional' } })
  await browser.post('/me/remove_password', { current_password: next }, headers)
  expect((await templates(addresses.old))[0]).toBe('password_removed')
  expect(await templates(addresses.new)).toEqual(['verification_code'])
})

test('the attempt that locks an account tells its owner, once', async () => {
  const { t, templates } = await withTwoAddresses()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { lockout: { maxAttempts: 5 } })
  const stranger = new TestBrowser(t)
  for (let attempt = 0; attempt < 8; attempt += 1)
    await stranger.post('/client/sign_ins', {
      strategy: 'password',
      identifier: addresses.old,
      password: `no ${attempt}`,
    })
  expect((await templates(addresses.old)).filter((name) => name === 'account_locked')).toHaveLength(1)
  const [mail] = (await mailsTo(t, addresses.old)).filter((m) => m.template === 'account_locked')
  expect(mail?.text).toContain('You can sign in again in 60 minutes.')
})

test('whoever signs up in their language gets the code in it, and every code and warning after that', async () => {
  const t = await testInstance()
  const browser = new TestBrowser(t)
  const form = { email_address: 'jean@example.com', password, locale: 'fr-FR' }
  const { id } = (await browser.post('/client/sign_ups', form)).body.response
  await browser.post(`/client/sign_ups/${id}/prepare_verification`, { strategy: 'email_code' })
  const [first] = await mailsTo(t, 'jean@example.com')
  expect(first?.subject).toContain('est votre code')
  const code = first?.text.match(/^\d{6}$/m)?.[0] ?? ''
  await browser.post(`/client/sign_ups/${id}/attempt_verification`, { strategy: 'email_code', code })
  const added = (await browser.post('/me/email_addresses', { email_address: 'jean@example.org' })).body.response
  await browser.post(`/me/email_addresses/${added.id}/prepare_verification`, { strategy: 'email_code' })
  expect((await mailsTo(t, 'jean@example.org'))[0]?.subject).toContain('est votre code')
  await browser.post('/me/change_password', { current_password: password, new_password: 'une autre longue phrase' })
  expect((await mailsTo(t, 'jean@example.com'))[0]?.subject).toStartWith('Votre mot de passe')
})
