import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import {
  findPassword,
  importTotp,
  removePassword,
  setImportedPassword,
  setPassword,
  verifyPassword,
} from '../../domains/credentials/index.ts'
import { type Browser, createClient, createSession, listSessions, watchSessions } from '../../domains/sessions/index.ts'
import {
  attemptFirstFactor,
  attemptSecondFactor,
  createSignIn,
  getSignIn,
  prepareFirstFactor,
  prepareSecondFactor,
  resetPassword,
} from '../../domains/signin/index.ts'
import {
  addEmailAddress,
  addPhoneNumber,
  createUser,
  deleteEmailAddress,
  getUser,
  lockUser,
  setPrimaryEmailAddress,
  type UserRecord,
  unlockUser,
  updateUser,
} from '../../domains/users/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { testInstance } from '../../testing/server.ts'
import { mailedCode, mailsTo, TestBrowser } from './testing.ts'

const ada = 'ada@example.com'
const password = 'correct horse battery'
const fresh = 'another good passphrase'
const strategy = 'reset_password_email_code'
const ban = (ctx: Ctx, id: string) => updateUser(ctx, { id, banned: true })

async function withAda(settings: object = {}) {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, {
    rateLimits: { attemptsPerMinute: 100_000 },
    ...settings,
  })
  const { userId } = await new TestBrowser(t).signUp(ada, password)
  return { t, userId, browser: new TestBrowser(t) }
}

/** A reset whose code was right and that waits for the new password. */
async function withProvenReset() {
  const made = await withAda()
  const begun = await made.browser.post('/client/sign_ins', { identifier: ada, strategy })
  const path = `/client/sign_ins/${begun.body.response.id}`
  const code = await mailedCode(made.t, ada)
  const proven = await made.browser.post(`${path}/attempt_first_factor`, { strategy, code })
  expect(proven.body.response.status).toBe('needs_new_password')
  return { ...made, path }
}

test('A1 ten thousand walks through every step in any order set no password without the mailed code', async () => {
  const { t, userId } = await withAda({ lockout: { enabled: false } })
  const ctx = t.ctx()
  const seed = 0xa11ce
  const walkers = 4
  const paths = 10_000
  const refusals = new Map<string, number>()
  const strategies = [
    strategy,
    'reset_password_phone_code',
    'email_code',
    'phone_code',
    'passkey',
    'totp',
    'oauth_google',
  ]

  /** One browser that walks from the start of a reset again and again, in an order of its own. */
  const walk = async (walker: number) => {
    let state = seed + walker
    const random = (n: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return (state >>> 8) % n
    }
    const { clientId } = await createClient(ctx, { carrier: 'cookie' })
    const browser: Browser = { clientId, carrier: 'cookie', userAgent: null, ipAddress: null }
    // Emails are few, so each walker asks for one, and walks on with that reset.
    const { signIn } = await createSignIn(ctx, browser, { identifier: ada, strategy })
    expect(signIn.code?.recipient).toBe(ada)
    const started = signIn.id
    const any = () => strategies[random(strategies.length)] as string
    const another = async (tx: Ctx) => (await createSignIn(tx, browser, { identifier: ada })).signIn.id
    const steps: ((tx: Ctx, id: string) => Promise<unknown>)[] = [
      (tx, id) =>
        resetPassword(tx, browser, { id, password: `stolen password ${walker}`, signOutOfOtherSessions: true }),
      // No code of six digits: the walk is not to win by luck.
      (tx, id) => attemptFirstFactor(tx, browser, { id, strategy: any(), code: 'abcdef', publicKeyCredential: '{}' }),
      (tx, id) => attemptFirstFactor(tx, browser, { id, strategy: any() }),
      (tx, id) => attemptSecondFactor(tx, browser, { id, strategy: any(), code: 'abcdef' }),
      (tx, id) => prepareSecondFactor(tx, browser, { id, strategy: any() }),
      (tx, id) => prepareFirstFactor(tx, browser, { id, strategy: 'oauth_google' }),
      (tx, id) => getSignIn(tx, { clientId, id }),
    ]
    const walkPath = async (tx: Ctx) => {
      const id = random(10) === 0 ? await another(tx) : started
      const taken: number[] = []
      for (let length = 1 + random(3); length > 0; length -= 1) {
        const choice = random(steps.length)
        taken.push(choice)
        try {
          await steps[choice]?.(tx, id)
        } catch (error) {
          if (!(error instanceof UsherError)) throw new Error(`walker ${walker}, steps ${taken}`, { cause: error })
          refusals.set(error.code, (refusals.get(error.code) ?? 0) + 1)
        }
      }
      if (id === started && random(10) > 0) return
      // No step leads back to here, so that a path that got further is seen by a later look as well.
      const { status, passwordResetAt } = await getSignIn(tx, { clientId, id })
      const expected = { walker, taken, status: 'needs_first_factor', passwordResetAt: null }
      expect({ walker, taken, status, passwordResetAt }).toEqual(expected as never)
    }
    // Many paths to a transaction: what a refusal leaves behind is there for the next one, and they are walked sooner.
    for (let walked = 0; walked < paths / walkers; walked += 50)
      await transaction(ctx, async (tx) => {
        for (let i = 0; i < 50; i += 1) await walkPath(tx)
      })
    const last = await getSignIn(ctx, { clientId, id: started })
    expect(last).toMatchObject({ status: 'needs_first_factor', passwordResetAt: null })
  }
  await Promise.all(Array.from({ length: walkers }, (_, walker) => walk(walker)))
  expect(await verifyPassword(ctx, { userId, password })).toBe(true)
  // The walks met the refusals that they are about, and not one that ended them all early.
  expect(refusals.get('verification_failed') ?? 0).toBeGreaterThan(1000)
  expect((await mailsTo(t, ada)).some((m) => m.template === 'password_changed')).toBe(false)
}, 240_000)

test('A17 a reset that was proven by an address goes with the address', async () => {
  const { t, userId, browser, path } = await withProvenReset()
  const { primaryEmailAddressId: old } = await getUser(t.ctx(), userId)
  const { id } = await addEmailAddress(t.ctx(), { userId, emailAddress: 'ada@new.example', verifiedBy: 'admin' })
  await setPrimaryEmailAddress(t.ctx(), { userId, emailAddressId: id })
  await deleteEmailAddress(t.ctx(), old as string)
  const { status, body } = await browser.post(`${path}/reset_password`, { password: fresh })
  expect({ status, code: body.errors[0].code }).toEqual({ status: 400, code: 'verification_expired' })
  expect(await verifyPassword(t.ctx(), { userId, password })).toBe(true)
})

test('A17 a reset under way ends when the owner changes the password, is locked or is banned', async () => {
  const changed = await withProvenReset()
  await setPassword(changed.t.ctx(), { userId: changed.userId, password: 'what the owner chose' })
  const late = await changed.browser.post(`${changed.path}/reset_password`, { password: fresh })
  expect(late.body.errors[0].code).toBe('verification_expired')
  const ctx = changed.t.ctx()
  expect(await verifyPassword(ctx, { userId: changed.userId, password: 'what the owner chose' })).toBe(true)

  for (const [act, code] of [
    [lockUser, 'user_locked'],
    [ban, 'user_banned'],
  ] as const) {
    const made = await withProvenReset()
    await act(made.t.ctx(), made.userId)
    const { body } = await made.browser.post(`${made.path}/reset_password`, { password: fresh })
    expect(body.errors[0].code).toBe(code)
    expect(await verifyPassword(made.t.ctx(), { userId: made.userId, password })).toBe(true)
  }
})

test('M5 a second factor is asked for half an hour, and not after the password that led to it was changed', async () => {
  const { t, userId, browser } = await withAda({ secondFactors: { totp: true } })
  await transaction(t.ctx(), (tx) => importTotp(tx, { userId, secret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP' }))
  const begin = async () => (await browser.post('/client/sign_ins', { identifier: ada, password })).body.response
  const guess = async (id: string) =>
    (await browser.post(`/client/sign_ins/${id}/attempt_second_factor`, { strategy: 'totp', code: 'abcdef' })).body
      .errors[0].code
  const begun = await begin()
  expect(begun.status).toBe('needs_second_factor')
  expect(begun.abandon_at).toBeLessThanOrEqual(Date.now() + 30 * 60_000)
  expect(await guess(begun.id)).toBe('form_code_incorrect')
  const { runtime } = t.server
  runtime.now = () => new Date(Date.now() + 31 * 60_000)
  try {
    expect(await guess(begun.id)).toBe('verification_already_verified')
  } finally {
    runtime.now = () => new Date()
  }
  const again = await begin()
  await setPassword(t.ctx(), { userId, password: fresh })
  expect(await guess(again.id)).toBe('verification_expired')
})

test('A10 the owner is told which device’s guess locked the account', async () => {
  const { t, browser } = await withAda({ lockout: { enabled: true, maxAttempts: 5, minutes: 30 } })
  const agent = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'
  for (let i = 0; i < 5; i += 1)
    await browser.post('/client/sign_ins', { identifier: ada, password: 'a guess' }, { 'user-agent': agent })
  const [mail] = await mailsTo(t, ada)
  expect(mail?.template).toBe('account_locked')
  expect(mail?.text).toContain('Firefox')
})

test('where accounts are not told, nothing that somebody set up or that befell them tells one from nobody', async () => {
  const { t, userId } = await withAda({
    enumerationProtection: true,
    phoneNumber: { use: 'optional' },
    lockout: { enabled: true, maxAttempts: 5, minutes: 30 },
  })
  const shape = async (identifier: string) => {
    const browser = new TestBrowser(t)
    const begun = await browser.post('/client/sign_ins', { identifier })
    const reset = await browser.post('/client/sign_ins', { identifier, strategy })
    const base = `/client/sign_ins/${reset.body.response.id}`
    const guesses = []
    for (let i = 0; i < 5; i += 1)
      guesses.push(await browser.post(`${base}/attempt_first_factor`, { strategy, code: 'abcdef' }))
    const wrong = await browser.post('/client/sign_ins', { identifier, password: 'a wrong password' })
    return {
      status: begun.status,
      factors: begun.body.response.supported_first_factors.map((f: Record<string, unknown>) => ({
        ...f,
        email_address_id: typeof f.email_address_id,
        safe_identifier: f.safe_identifier === identifier,
      })),
      reset: { status: reset.status, verification: Object.keys(reset.body.response.first_factor_verification) },
      guesses: guesses.map(({ status, body }) => ({ status, error: body.errors[0].code })),
      wrong: { status: wrong.status, error: wrong.body.errors },
    }
  }
  const nobodys = await shape('nobody@example.com')
  expect(nobodys.wrong.error[0].code).toBe('form_password_or_identifier_incorrect')
  await addPhoneNumber(t.ctx(), { userId, phoneNumber: '+12025550143', verifiedBy: 'admin' })
  await addEmailAddress(t.ctx(), { userId, emailAddress: 'second@example.com', verifiedBy: 'admin' })
  // With more than others have; this locks the account on the way.
  expect(await shape(ada)).toEqual(nobodys)
  expect((await mailsTo(t, ada)).some((m) => m.template === 'account_locked')).toBe(true)
  // Locked: the right password is answered as a wrong one is.
  const locked = await new TestBrowser(t).post('/client/sign_ins', { identifier: ada, password })
  expect(locked.body.errors[0].code).toBe('form_password_or_identifier_incorrect')
  expect(await shape(ada)).toEqual(nobodys)
  await ban(t.ctx(), userId)
  expect(await shape(ada)).toEqual(nobodys)
  // With less: nothing is sent that could not be used.
  const bob = await new TestBrowser(t).signUp('bob@example.com')
  await removePassword(t.ctx(), { userId: bob.userId })
  expect(await shape('bob@example.com')).toEqual(nobodys)
  expect((await mailsTo(t, 'bob@example.com')).some((m) => m.template === 'reset_password_code')).toBe(false)
}, 60_000)

test('a right guess at a locked account leaves the hash as it is: the next answer would come sooner', async () => {
  const { t, userId } = await withAda({ enumerationProtection: true })
  const digest = new Bun.CryptoHasher('md5').update(password).digest('hex')
  await setImportedPassword(t.ctx(), { userId, hasher: 'md5', digest })
  await lockUser(t.ctx(), userId)
  const guess = async () => (await new TestBrowser(t).post('/client/sign_ins', { identifier: ada, password })).body
  expect((await guess()).errors[0].code).toBe('form_password_or_identifier_incorrect')
  const stored = () => transaction(t.ctx(), (tx) => findPassword(tx, userId))
  expect(await stored()).toMatchObject({ hasher: 'md5', hash: digest })
  await unlockUser(t.ctx(), userId)
  expect((await guess()).response.status).toBe('complete')
  expect((await stored())?.hasher).toBe('argon2id')
})

test('A8 whoever took over a session guesses at the password no faster than at a sign-in, and is not kept out of it', async () => {
  const { t } = await withAda({ lockout: { enabled: true, maxAttempts: 5, minutes: 30 } })
  const browser = new TestBrowser(t)
  const signedIn = await browser.post('/client/sign_ins', { identifier: ada, password })
  const path = (name: string) => `/me${name}?_clerk_session_id=${signedIn.body.response.created_session_id}`
  const form = { current_password: 'a guess', new_password: fresh }
  const answers: string[] = []
  for (let i = 0; i < 32; i += 1)
    answers.push((await browser.post(path(i % 2 ? '/change_password' : '/remove_password'), form)).body.errors[0].code)
  expect(answers.slice(0, 30)).toEqual(Array(30).fill('form_password_incorrect'))
  expect(answers.slice(30)).toEqual(['too_many_requests', 'too_many_requests'])
  const elsewhere = await new TestBrowser(t).post('/client/sign_ins', { identifier: ada, password })
  expect(elsewhere.body.errors[0].code).toBe('user_locked')
  expect((await browser.get(path(''))).status).toBe(200)
}, 60_000)

test('whoever has a number and no mailbox vouches for a new device by it', async () => {
  const { t, browser } = await withAda({ clientTrust: true, phoneNumber: { use: 'optional' } })
  const phoneNumber = '+12025550143'
  const { id: userId } = await createUser(t.ctx(), {})
  await addPhoneNumber(t.ctx(), { userId, phoneNumber, verifiedBy: 'admin' })
  await setPassword(t.ctx(), { userId, password })
  const begun = await browser.post('/client/sign_ins', { identifier: phoneNumber, password })
  expect(begun.body.response).toMatchObject({
    status: 'needs_client_trust',
    supported_second_factors: [{ strategy: 'phone_code', safe_identifier: phoneNumber }],
  })
  const path = `/client/sign_ins/${begun.body.response.id}`
  await browser.post(`${path}/prepare_second_factor`, { strategy: 'phone_code' })
  const attempt = { strategy: 'phone_code', code: '424242' }
  const done = await browser.post(`${path}/attempt_second_factor`, attempt)
  expect(done.body.response.status).toBe('complete')
})

test('what happens to an account while its password is looked at counts', async () => {
  const { t, userId } = await withAda()
  const ctx = t.ctx()
  const secret = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP'
  const changes: [string, () => Promise<unknown>, () => Promise<unknown>][] = [
    ['user_banned', () => ban(ctx, userId), () => updateUser(ctx, { id: userId, banned: false })],
    ['user_locked', () => lockUser(ctx, userId), () => unlockUser(ctx, userId)],
    ['conflict', () => setPassword(ctx, { userId, password: fresh }), () => setPassword(ctx, { userId, password })],
    ['conflict', () => transaction(ctx, (tx) => importTotp(tx, { userId, secret })), async () => {}],
  ]
  const signIn = (user: UserRecord, passwordHash: string) =>
    transaction(ctx, async (tx) => {
      const client = await createClient(tx, { carrier: 'cookie' })
      using watch = watchSessions(tx)
      const seen = { user, passwordHash, watch }
      return createSession(tx, { clientId: client.clientId, userId, strategy: 'password', seen })
    })
  const see = () =>
    transaction(ctx, async (tx) => ({ user: await getUser(tx, userId), hash: await findPassword(tx, userId) }))
  for (const [code, change, back] of changes) {
    const { user, hash } = await see()
    await change()
    await expect(signIn(user, hash?.hash ?? '')).rejects.toMatchObject({ code })
    await back()
  }
  const { user, hash } = await see()
  expect((await signIn(user, hash?.hash ?? '')).session).toMatchObject({ userId, status: 'active' })
})

test('sign-ins of one browser at once leave one session', async () => {
  const { t, browser } = await withAda()
  await browser.post('/client/sign_ins', { identifier: ada })
  const attempts = await Promise.all(
    Array.from({ length: 6 }, () => browser.post('/client/sign_ins', { identifier: ada, password })),
  )
  expect(attempts.some(({ body }) => body.response?.status === 'complete')).toBe(true)
  const { data } = await listSessions(t.ctx(), { status: 'active', limit: 50, offset: 0 })
  // The other one is that of the sign-up, in another browser.
  expect(new Set(data.map((s) => s.clientId)).size).toBe(2)
  expect(data).toHaveLength(2)
})

test('a hash that came from elsewhere signs in in one step, in several browsers at once, and is ours from then on', async () => {
  const { t, userId } = await withAda()
  const digest = await Bun.password.hash(fresh, { algorithm: 'bcrypt', cost: 4 })
  await setImportedPassword(t.ctx(), { userId, hasher: 'bcrypt', digest })
  const signIn = () => new TestBrowser(t).post('/client/sign_ins', { identifier: ada, password: fresh })
  const attempts = await Promise.all(Array.from({ length: 4 }, signIn))
  expect(attempts.map(({ body }) => body.response?.status ?? body.errors[0].code)).toEqual(Array(4).fill('complete'))
  const stored = await transaction(t.ctx(), (tx) => findPassword(tx, userId))
  expect(stored?.hasher).toBe('argon2id')
  expect((await signIn()).body.response.status).toBe('complete')
})
