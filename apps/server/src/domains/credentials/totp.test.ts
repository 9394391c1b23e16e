import { expect, test } from 'bun:test'
import { HOTP, Secret } from 'otpauth'
import { transaction } from '../../database/index.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { createUser, getUser } from '../users/index.ts'
import {
  confirmTotp,
  createBackupCodes,
  importBackupCodes,
  importTotp,
  removeTotp,
  secondFactorsOf,
  startTotp,
  useBackupCode,
  verifyTotp,
} from './index.ts'
import { backupCodes, totps } from './tables.ts'

/** The code that an app shows, some steps from now. */
function codeOf(t: TestInstance, secret: string, steps = 0) {
  const counter = Math.floor(t.ctx().now().getTime() / 30_000) + steps
  return HOTP.generate({ secret: Secret.fromBase32(secret), counter })
}

async function enrolled() {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, {
    secondFactors: { totp: true, backupCodes: true },
  })
  const { id: userId } = await createUser(t.ctx(), {
    emailAddresses: [{ emailAddress: 'ada@example.com', verifiedBy: 'admin' }],
  })
  const { secret, uri } = await startTotp(t.ctx(), { userId, accountName: 'ada@example.com' })
  await confirmTotp(t.ctx(), { userId, code: codeOf(t, secret) })
  // The confirming code is spent: move past its step.
  t.advance(60_000)
  const verify = (code: unknown) => transaction(t.ctx(), (tx) => verifyTotp(tx, { userId, code }))
  const use = (code: unknown) => transaction(t.ctx(), (tx) => useBackupCode(tx, { userId, code }))
  return { t, userId, secret, uri, verify, use }
}

test('an authenticator counts once a code of it was entered', async () => {
  const t = await testInstance()
  const { id: userId } = await createUser(t.ctx(), {})
  const first = await startTotp(t.ctx(), { userId, accountName: 'ada@example.com' })
  expect(first.uri).toStartWith('otpauth://totp/')
  const second = await startTotp(t.ctx(), { userId, accountName: 'ada@example.com' })
  expect(second.secret).not.toBe(first.secret)
  const code = codeOf(t, second.secret)
  expect(await transaction(t.ctx(), (tx) => verifyTotp(tx, { userId, code }))).toBe(false)
  await expect(confirmTotp(t.ctx(), { userId, code: codeOf(t, first.secret) })).rejects.toMatchObject({
    code: 'form_code_incorrect',
  })
  expect((await getUser(t.ctx(), userId)).totpEnabled).toBe(false)
  expect(await confirmTotp(t.ctx(), { userId, code })).toMatchObject({ verified: true })
  expect(await getUser(t.ctx(), userId)).toMatchObject({
    totpEnabled: true,
    twoFactorEnabled: true,
    mfaDisabledAt: null,
  })
  await expect(startTotp(t.ctx(), { userId, accountName: 'ada' })).rejects.toMatchObject({
    code: 'verification_already_verified',
  })
})

test('M1 the code that confirms an authenticator is spent by it', async () => {
  const t = await testInstance()
  const { id: userId } = await createUser(t.ctx(), {})
  const { secret } = await startTotp(t.ctx(), { userId, accountName: 'ada' })
  const code = codeOf(t, secret)
  await confirmTotp(t.ctx(), { userId, code })
  expect(await transaction(t.ctx(), (tx) => verifyTotp(tx, { userId, code }))).toBe(false)
})

test('M1 one code succeeds once, one after the other and fifty at a time', async () => {
  const { t, secret, verify } = await enrolled()
  const code = codeOf(t, secret)
  expect(await verify(code)).toBe(true)
  expect(await verify(code)).toBe(false)
  t.advance(30_000)
  const next = codeOf(t, secret)
  const outcomes = await Promise.all(Array.from({ length: 50 }, () => verify(next)))
  expect(outcomes.filter(Boolean)).toHaveLength(1)
})

test('M1 a code of an earlier step is refused after a later one', async () => {
  const { t, secret, verify } = await enrolled()
  expect(await verify(codeOf(t, secret, 1))).toBe(true)
  for (const step of [-1, 0, 1]) expect(await verify(codeOf(t, secret, step))).toBe(false)
})

test('M2 codes of one step around now are accepted and no others', async () => {
  const { t, secret, verify } = await enrolled()
  t.advance(300_000)
  for (const step of [-5, -4, -3, -2, 2, 3, 4, 5])
    expect([step, await verify(codeOf(t, secret, step))]).toEqual([step, false])
  for (const step of [-1, 0, 1]) expect([step, await verify(codeOf(t, secret, step))]).toEqual([step, true])
  for (const code of ['', '12345', '1234567', 'abcdef', null, 123456, ['1']]) expect(await verify(code)).toBe(false)
})

test('the secret is sealed for its owner', async () => {
  const { t, secret } = await enrolled()
  const [row] = await transaction(t.ctx(), (tx) => tx.db.select().from(totps))
  expect(row?.sealedSecret).toStartWith('u1.')
  expect(row?.sealedSecret).not.toContain(secret)
})

test('the last factor takes backup codes and the mark of two factors along', async () => {
  const { t, userId, secret, verify } = await enrolled()
  await createBackupCodes(t.ctx(), { userId })
  const user = await getUser(t.ctx(), userId)
  expect(secondFactorsOf(t.ctx().instance, user)).toEqual([{ strategy: 'totp' }, { strategy: 'backup_code' }])
  await removeTotp(t.ctx(), { userId })
  expect(await verify(codeOf(t, secret))).toBe(false)
  const after = await getUser(t.ctx(), userId)
  expect(after).toMatchObject({ totpEnabled: false, backupCodeEnabled: false, twoFactorEnabled: false })
  expect(after.mfaDisabledAt).toBeInstanceOf(Date)
  expect(secondFactorsOf(t.ctx().instance, after)).toEqual([])
  await expect(removeTotp(t.ctx(), { userId })).rejects.toMatchObject({ code: 'resource_not_found' })
})

test('M8 a backup code works once, however many show it at a time', async () => {
  const { t, userId, use } = await enrolled()
  const { codes } = await createBackupCodes(t.ctx(), { userId })
  expect(new Set(codes).size).toBe(10)
  for (const code of codes) expect(code).toMatch(/^([0-9a-hjkmnp-tv-z]{4}-){3}[0-9a-hjkmnp-tv-z]{4}$/)
  const [first = '', second = ''] = codes
  const outcomes = await Promise.all(Array.from({ length: 12 }, () => use(first)))
  expect(outcomes.filter(Boolean)).toHaveLength(1)
  expect(await use(first)).toBe(false)
  expect(await use(second.toUpperCase().replaceAll('-', ' '))).toBe(true)
  for (const code of ['', 'x', first.slice(1), 'a'.repeat(200), null]) expect(await use(code)).toBe(false)
})

test('M8 backup codes are stored as slow keyed hashes, and new ones replace the old', async () => {
  const { t, userId, use } = await enrolled()
  const old = await createBackupCodes(t.ctx(), { userId })
  const rows = await transaction(t.ctx(), (tx) => tx.db.select().from(backupCodes))
  expect(rows).toHaveLength(10)
  for (const row of rows) expect(old.codes.some((code) => row.codeHash.includes(code.replaceAll('-', '')))).toBe(false)
  const { codes } = await createBackupCodes(t.ctx(), { userId })
  expect(await use(old.codes[0])).toBe(false)
  expect(await createBackupCodes(t.ctx(), { userId, onlyIfNone: true })).toBeUndefined()
  expect(await use(codes[0])).toBe(true)
})

test('M8 of backup codes that are made at the same time one set is left', async () => {
  const { t, userId, use } = await enrolled()
  const sets = await Promise.all(Array.from({ length: 4 }, () => createBackupCodes(t.ctx(), { userId })))
  expect(await transaction(t.ctx(), (tx) => tx.db.select().from(backupCodes))).toHaveLength(10)
  const good = []
  for (const { codes } of sets) good.push(await use(codes[0]))
  expect(good.filter(Boolean)).toHaveLength(1)
})

test('factors come along from elsewhere', async () => {
  const t = await testInstance()
  const { id: userId } = await createUser(t.ctx(), {})
  const secret = 'JBSWY3DPEHPK3PXP'
  await transaction(t.ctx(), async (tx) => {
    await importTotp(tx, { userId, secret })
    const digest = await Bun.password.hash('from-bcrypt', { algorithm: 'bcrypt', cost: 4 })
    await importBackupCodes(tx, { userId, codes: ['12345678', 'abcd-EFGH', digest] })
  })
  const check = (code: string) =>
    transaction(t.ctx(), async (tx) => [
      await verifyTotp(tx, { userId, code }),
      await useBackupCode(tx, { userId, code }),
    ])
  expect(await check(codeOf(t, secret))).toEqual([true, false])
  expect(await check('ABCDefgh')).toEqual([false, true])
  for (const used of [true, false]) expect(await check('from-bcrypt')).toEqual([false, used])
  expect(await getUser(t.ctx(), userId)).toMatchObject({ twoFactorEnabled: true, backupCodeEnabled: true })
  await expect(transaction(t.ctx(), (tx) => importTotp(tx, { userId, secret: 'short' }))).rejects.toMatchObject({
    code: 'form_param_format_invalid',
  })
})
