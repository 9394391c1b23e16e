import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { listMessages } from '../messaging/index.ts'
import { isTestPhoneNumber, parsePhoneNumber } from '../users/index.ts'
import { checkCode, sendCode } from './index.ts'

const send = (t: TestInstance, phoneNumber: string, subjectId = `sia_${phoneNumber}`) =>
  transaction(t.ctx(), (tx) => sendCode(tx, { purpose: 'sign_in_phone', subjectId, phoneNumber }))

const outcomes = (tries: Promise<unknown>[]) =>
  Promise.all(
    tries.map((t) =>
      t.then(
        () => 'sent',
        (e) => e.code,
      ),
    ),
  )

const configure = (t: TestInstance, phoneNumber: Record<string, unknown>) =>
  t.server.runtime.instances.changeSettings(t.ctx().instance.id, { phoneNumber: { use: 'optional', ...phoneNumber } })

test('a code goes out as a text message and is good once', async () => {
  const t = await testInstance()
  await send(t, '+14155552671')
  const [message] = await listMessages(t.ctx(), { limit: 1 })
  expect(message).toMatchObject({ channel: 'sms', toAddress: '+14155552671' })
  const code = message?.text.match(/\b\d{6}\b/)?.[0] ?? ''
  const subject = { purpose: 'sign_in_phone', subjectId: 'sia_+14155552671' } as const
  await expect(checkCode(t.ctx(), { ...subject, purpose: 'sign_up_phone', code })).rejects.toMatchObject({
    code: 'verification_failed',
  })
  expect(await checkCode(t.ctx(), { ...subject, code })).toEqual({ recipient: '+14155552671' })
  await expect(checkCode(t.ctx(), { ...subject, code })).rejects.toMatchObject({
    code: 'verification_already_verified',
  })
})

test('test numbers take a known code in development and are sent nothing; in production they are like any other', async () => {
  const t = await testInstance()
  await send(t, '+15555550100')
  expect(await listMessages(t.ctx(), { limit: 10 })).toEqual([])
  await checkCode(t.ctx(), { purpose: 'sign_in_phone', subjectId: 'sia_+15555550100', code: '424242' })
  expect(parsePhoneNumber(t.ctx().instance, '+1 (555) 555-0199')).toBe('+15555550199')
  const live = await testInstance('production')
  expect(isTestPhoneNumber(live.ctx().instance, '+12015550100')).toBe(false)
  expect(() => parsePhoneNumber(live.ctx().instance, '+15555550100')).toThrow('not a valid phone number')
})

test('numbers are one E.164 number, or refused', async () => {
  const { instance } = (await testInstance()).ctx()
  for (const [typed, number] of [
    [' +44 20 7946 0958 ', '+442079460958'],
    ['+1 (415) 555-2671', '+14155552671'],
    ['+49 151 23456789', '+4915123456789'],
  ] as const)
    expect(parsePhoneNumber(instance, typed)).toBe(number)
  for (const typed of [
    '',
    '4155552671',
    '+1',
    '+1415555267a',
    '+14155552671;ext=5',
    '+1 415 555 2671, +1 415 555 2672',
  ])
    expect(() => parsePhoneNumber(instance, typed)).toThrow('not a valid phone number')
  for (const typed of [null, 14155552671, ['+14155552671'], { a: 1 }, '+999123456789'])
    expect(() => parsePhoneNumber(instance, typed)).toThrow()
})

test('M13 premium numbers and countries that are not served are refused', async () => {
  const t = await testInstance()
  // Premium rate in the United States, the United Kingdom and France.
  for (const number of ['+19002345678', '+449012345678', '+33891123456'])
    expect(() => parsePhoneNumber(t.ctx().instance, number)).toThrow('not a valid phone number')
  const codeOf = (number: string) => {
    try {
      return parsePhoneNumber(t.ctx().instance, number)
    } catch (error) {
      return (error as { code?: string }).code
    }
  }
  expect(codeOf('+94712345678')).toBe('unsupported_country_code')
  expect(codeOf('+881612345678')).toBe('unsupported_country_code')
  await configure(t, { countries: ['LK'] })
  expect(codeOf('+94712345678')).toBe('+94712345678')
  expect(codeOf('+14155552671')).toBe('unsupported_country_code')
})

test('M13 a range of numbers is sent thirty texts an hour, however many ask at once', async () => {
  const t = await testInstance()
  const range = Array.from({ length: 120 }, (_, i) => `+1415555${String(2000 + i)}`)
  const results = await outcomes(range.map((number) => send(t, number)))
  expect(results.filter((r) => r === 'sent')).toHaveLength(30)
  expect(results.filter((r) => r === 'too_many_requests')).toHaveLength(90)
  expect(await listMessages(t.ctx(), { limit: 200 })).toHaveLength(30)
  await send(t, '+14155562000')
  t.advance(3600_000)
  await send(t, '+14155552999')
})

test('M13 an instance sends as many texts a day as its limit says, over all numbers', async () => {
  const t = await testInstance()
  await configure(t, { dailyLimit: 12 })
  const numbers = Array.from({ length: 40 }, (_, i) => `+1415${200 + i}2671`)
  const results = await outcomes(numbers.map((number) => send(t, number)))
  expect(results.filter((r) => r === 'sent')).toHaveLength(12)
  expect(await listMessages(t.ctx(), { limit: 200 })).toHaveLength(12)
  const late = await send(t, '+14155552671').catch((e) => e)
  expect(late.details.retryAfterSeconds).toBeGreaterThan(0)
  t.advance(24 * 3600_000)
  await send(t, '+14155552671')
})

test('M13 one number is sent five texts in ten minutes, whichever flow asks', async () => {
  const t = await testInstance()
  for (let i = 0; i < 5; i += 1) await send(t, '+14155552671', `sia_${i}`)
  await expect(send(t, '+14155552671', 'sia_x')).rejects.toMatchObject({ code: 'too_many_requests' })
})
