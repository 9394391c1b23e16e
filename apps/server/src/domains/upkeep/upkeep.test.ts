import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import { TestBrowser } from '../../faces/frontend/testing.ts'
import { createCtx } from '../../runtime.ts'
import { type TestInstance, testInstance, testServer } from '../../testing/server.ts'
import type { Instance } from '../instances/index.ts'
import { clients, clientTokens, sessions } from '../sessions/tables.ts'
import { signIns } from '../signin/tables.ts'
import { signUps } from '../signup/tables.ts'
import { users } from '../users/tables.ts'
import { createOneTimeToken } from '../verifications/index.ts'
import { oneTimeTokens, verificationCodes } from '../verifications/tables.ts'
import { deleteWhatIsOver, Upkeep } from './index.ts'

const tables = { clients, clientTokens, sessions, signIns, signUps, users, oneTimeTokens, verificationCodes }

const counts = (t: TestInstance) =>
  transaction(t.ctx(), async (tx) => {
    const entries = []
    for (const [name, table] of Object.entries(tables)) entries.push([name, await tx.db.$count(table)] as const)
    return Object.fromEntries(entries) as Record<keyof typeof tables, number>
  })
const day = 86_400_000

async function livedIn() {
  const t = await testInstance()
  const browser = new TestBrowser(t)
  await browser.signUp('ada@example.com')
  await new TestBrowser(t).post('/client/sign_ins', { identifier: 'ada@example.com', strategy: 'email_code' })
  await transaction(t.ctx(), (tx) =>
    createOneTimeToken(tx, { kind: 'handshake', subjectId: 'x', expiresAt: new Date(tx.now().getTime() + 60_000) }),
  )
  return { t, browser }
}

test('nothing that still counts is deleted', async () => {
  const { t } = await livedIn()
  const before = await counts(t)
  expect(await deleteWhatIsOver(t.ctx())).toBe(0)
  expect(await counts(t)).toEqual(before)
})

test('codes, tokens and sign-ins go after a day or two, sessions after a month, clients with their last token', async () => {
  const { t } = await livedIn()
  const before = await counts(t)
  t.advance(2.5 * day)
  await deleteWhatIsOver(t.ctx())
  expect(await counts(t)).toEqual({ ...before, oneTimeTokens: 0, verificationCodes: 0, signIns: 0 })
  t.advance(40 * day)
  await deleteWhatIsOver(t.ctx())
  expect(await counts(t)).toMatchObject({ sessions: 0, signUps: 0, clients: before.clients, users: 1 })
  t.advance(366 * day)
  await deleteWhatIsOver(t.ctx(), { limit: 1 })
  expect(await counts(t)).toMatchObject({ clients: 0, clientTokens: 0, users: 1 })
})

test('a destroyed client goes at once if it has no history', async () => {
  const t = await testInstance()
  const browser = new TestBrowser(t)
  await browser.send('PUT', '/client')
  expect((await counts(t)).clients).toBe(1)
  await browser.send('DELETE', '/client')
  expect((await counts(t)).clients).toBe(0)
})

test('instances keep to themselves, and of two servers one does it', async () => {
  const [{ t }, other] = [await livedIn(), await livedIn()]
  const before = await counts(other.t)
  t.advance(2.5 * day)
  await deleteWhatIsOver(t.ctx())
  expect(await counts(other.t)).toEqual(before)

  const { runtime } = await testServer()
  // Other tests leave hundreds of instances behind, and each would be looked through.
  const instances = Object.assign(Object.create(runtime.instances), { list: () => [t.ctx().instance] })
  const ctxOf = (i: Instance) => createCtx(runtime, i, { type: 'system', job: 'upkeep' })
  const make = () => new Upkeep({ ...runtime, instances, ctxOf })
  const holder = runtime.database.connectSystem(1)
  await holder`select pg_advisory_lock(39130003)`
  expect(await make().run()).toBeUndefined()
  await holder.close()
  expect(await make().run()).toBeNumber()
})

test('a retired key goes when nothing that it signed is valid any more, and not before', async () => {
  const t = await testInstance()
  const { instances } = t.server.runtime
  const instanceId = t.ctx().instance.id
  const kids = () => t.ctx().instance.signingKeys.map((k) => k.kid)
  const [old] = kids()
  const { kid, retiring } = await instances.rotateSigningKey({ instanceId, longestLifetime: 3600 })
  expect(retiring).toEqual([{ kid: old as string, until: expect.any(Date) }])
  const later = (ms: number) => new Date(Date.now() + ms)
  await instances.deleteRetiredKeys(later(3600_000))
  expect(kids().sort()).toEqual([kid, old as string].sort())
  await instances.deleteRetiredKeys(later(2 * 3600_000))
  expect(kids()).toEqual([kid])
})
