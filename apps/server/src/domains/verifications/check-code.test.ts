import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import { testInstance } from '../../testing/server.ts'
import { listMessages } from '../messaging/index.ts'
import { checkCode, codeStatusAt, consumeOneTimeToken, createOneTimeToken, findCode, sendCode } from './index.ts'

const subject = { purpose: 'sign_in', subjectId: 'sia_1' } as const

async function withCode(emailAddress = 'ada@example.com') {
  const t = await testInstance()
  await transaction(t.ctx(), (tx) => sendCode(tx, { ...subject, emailAddress }))
  const [message] = await listMessages(t.ctx(), { limit: 1 })
  return { t, code: message?.text.match(/\b\d{6}\b/)?.[0] ?? '' }
}

test('A8 parallel guesses get five comparisons and no more', async () => {
  const { t, code } = await withCode()
  const wrong = code === '000000' ? '111111' : '000000'
  const codes = [...Array.from({ length: 200 }, () => wrong), code]
  const outcomes = await Promise.all(
    codes.map((guess) =>
      checkCode(t.ctx(), { ...subject, code: guess }).then(
        () => 'accepted',
        (e) => e.code,
      ),
    ),
  )
  expect(outcomes.filter((o) => o === 'form_code_incorrect' || o === 'accepted')).toHaveLength(5)
  expect(outcomes.filter((o) => o === 'accepted').length).toBeLessThanOrEqual(1)
  if (outcomes.at(-1) !== 'accepted')
    await expect(checkCode(t.ctx(), { ...subject, code })).rejects.toMatchObject({ code: 'verification_failed' })
}, 60_000)

test('A8 the right code is refused after five wrong ones, one after the other', async () => {
  const { t, code } = await withCode()
  const wrong = code === '000000' ? '111111' : '000000'
  for (let i = 0; i < 5; i += 1)
    await expect(checkCode(t.ctx(), { ...subject, code: wrong })).rejects.toMatchObject({ code: 'form_code_incorrect' })
  await expect(checkCode(t.ctx(), { ...subject, code })).rejects.toMatchObject({ code: 'verification_failed' })
})

test('a code is accepted once, for its purpose, in its time', async () => {
  const { t, code } = await withCode()
  await expect(checkCode(t.ctx(), { ...subject, purpose: 'reset_password', code })).rejects.toMatchObject({
    code: 'verification_failed',
  })
  const results = await Promise.allSettled(Array.from({ length: 4 }, () => checkCode(t.ctx(), { ...subject, code })))
  expect(results.filter((r) => r.status === 'fulfilled')).toHaveLength(1)
  const late = await withCode()
  late.t.advance(10 * 60_000)
  await expect(checkCode(late.t.ctx(), { ...subject, code: late.code })).rejects.toMatchObject({
    code: 'verification_expired',
  })
})

test('test addresses take a known code in development and get no mail; in production they are like any other', async () => {
  const { t, code } = await withCode('ada+clerk_test@example.com')
  expect(code).toBe('')
  expect(await checkCode(t.ctx(), { ...subject, code: '424242' })).toEqual({
    recipient: 'ada+clerk_test@example.com',
  })
  const found = await transaction(t.ctx(), (tx) => findCode(tx, subject))
  expect(found && codeStatusAt(found, new Date())).toBe('verified')
})

test('a one-time token is spent once and only as what it is', async () => {
  const t = await testInstance()
  const expiresAt = new Date(Date.now() + 60_000)
  const { token } = await transaction(t.ctx(), (tx) =>
    createOneTimeToken(tx, { kind: 'invitation', subjectId: 'inv_1', expiresAt }),
  )
  const spend = (kind: 'invitation' | 'sign_in_token') =>
    transaction(t.ctx(), (tx) => consumeOneTimeToken(tx, kind, token)).then(
      () => 'spent',
      (e) => e.code,
    )
  expect(await spend('sign_in_token')).toBe('ticket_invalid')
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => spend('invitation')))
  expect(outcomes.filter((o) => o === 'spent')).toHaveLength(1)
  expect(new Set(outcomes)).toEqual(new Set(['spent', 'token_used']))
})

test('an address is sent ten codes in ten minutes, whichever flow asks', async () => {
  const t = await testInstance()
  const ask = (subjectId: string) =>
    transaction(t.ctx(), (tx) => sendCode(tx, { purpose: 'sign_in', subjectId, emailAddress: 'ada@example.com' }))
  for (let i = 0; i < 10; i += 1) await ask(`sia_${i}`)
  await expect(ask('sia_x')).rejects.toMatchObject({ code: 'too_many_requests' })
  expect(await listMessages(t.ctx(), { limit: 50 })).toHaveLength(10)
  t.advance(10 * 60_000)
  expect(await ask('sia_y')).toMatchObject({ attempts: 0 })
})
