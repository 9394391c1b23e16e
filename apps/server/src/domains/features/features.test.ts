import { expect, test } from 'bun:test'
import type { Ctx } from '../../kernel/ctx.ts'
import { testInstance } from '../../testing/server.ts'
import { createPermission } from '../access/index.ts'
import { addMemberPermission, getMembership } from '../organizations/index.ts'
import { frontiers, outcome, outcomes } from '../organizations/testing.ts'
import { getUser } from '../users/index.ts'
import {
  createFeature,
  deleteFeature,
  getFeature,
  grantFeature,
  listFeatures,
  listFeaturesOf,
  updateFeature,
  withdrawFeature,
} from './index.ts'

const page = { limit: 100, offset: 0 }

test('a grant counts more than the default, and nothing counts once the feature is switched off', async () => {
  const t = await testInstance()
  const { organization, bob } = await frontiers(t)
  const member = { organizationId: organization.id, userId: bob.id }
  await createPermission(t.ctx(), { key: 'org:reports:read', name: 'Read' })
  await addMemberPermission(t.ctx(), { ...member, permission: 'org:reports:read' })
  const holds = async () => {
    const { permissions, features } = await getMembership(t.ctx(), member)
    const { features: own } = await getUser(t.ctx(), bob.id)
    return [permissions.includes('org:reports:read'), features.includes('reports'), own.includes('reports')]
  }
  const sources = async () => {
    const of = async (holder: { organizationId: string } | { userId: string }) =>
      (await listFeaturesOf(t.ctx(), holder)).map((f) => `${f.source} ${f.has}`)
    return [await of({ organizationId: organization.id }), await of({ userId: bob.id })].flat()
  }
  // Of a feature that nobody defined the permission counts.
  expect(await holds()).toEqual([true, false, false])
  await createFeature(t.ctx(), { slug: 'reports', name: 'Reports' })
  expect(await holds()).toEqual([false, false, false])
  expect(await sources()).toEqual(['default false', 'default false'])
  const holder = { organizationId: organization.id }
  await grantFeature(t.ctx(), { holder, feature: 'reports', enabled: true })
  expect(await holds()).toEqual([true, true, false])
  expect(await sources()).toEqual(['direct true', 'default false'])
  await grantFeature(t.ctx(), { holder: { userId: bob.id }, feature: 'reports', enabled: true })
  expect(await holds()).toEqual([true, true, true])
  await updateFeature(t.ctx(), { id: 'reports', enabled: false })
  expect(await holds()).toEqual([false, false, false])
  expect(await sources()).toEqual(['switched_off false', 'switched_off false'])
  await updateFeature(t.ctx(), { id: 'reports', enabled: true, defaultFor: 'everyone' })
  await grantFeature(t.ctx(), { holder, feature: 'reports', enabled: false })
  expect(await holds()).toEqual([false, false, true])
  await withdrawFeature(t.ctx(), { holder, feature: 'reports' })
  expect(await holds()).toEqual([true, true, true])
  for (const [defaultFor, expected] of [
    ['organizations', [true, true, true]],
    ['users', [false, false, true]],
  ] as const) {
    await updateFeature(t.ctx(), { id: 'reports', defaultFor })
    expect(await holds()).toEqual([...expected])
  }
  await deleteFeature(t.ctx(), 'reports')
  expect(await holds()).toEqual([true, false, false])
})

test('only the application defines features and says who has them', async () => {
  const t = await testInstance()
  const { organization, ada } = await frontiers(t)
  const { id } = await createFeature(t.ctx(), { slug: 'reports', name: 'Reports' })
  const holder = { organizationId: organization.id }
  const calls: ((ctx: Ctx) => Promise<unknown>)[] = [
    (ctx) => createFeature(ctx, { slug: 'other', name: 'Other' }),
    (ctx) => updateFeature(ctx, { id, defaultFor: 'everyone' }),
    (ctx) => deleteFeature(ctx, id),
    (ctx) => grantFeature(ctx, { holder, feature: id, enabled: true }),
    (ctx) => withdrawFeature(ctx, { holder, feature: id }),
  ]
  for (const call of calls) expect(await outcome(call(ada.ctx()))).toBe('forbidden')
  for (const call of calls) expect(await outcome(call(t.ctx({ type: 'anonymous' })))).toBe('forbidden')
})

test('I4 features and holders of another instance are not there', async () => {
  const [t, other] = [await testInstance(), await testInstance()]
  const { organization, bob } = await frontiers(other)
  const theirs = await createFeature(other.ctx(), { slug: 'reports', name: 'Reports' })
  await createFeature(t.ctx(), { slug: 'own', name: 'Own' })
  const calls: (() => Promise<unknown>)[] = [
    () => getFeature(t.ctx(), theirs.id),
    () => getFeature(t.ctx(), 'reports'),
    () => updateFeature(t.ctx(), { id: theirs.id, name: 'Mine' }),
    () => deleteFeature(t.ctx(), theirs.id),
    () => grantFeature(t.ctx(), { holder: { userId: bob.id }, feature: 'own', enabled: true }),
    () => grantFeature(t.ctx(), { holder: { organizationId: organization.id }, feature: 'own', enabled: true }),
    () => listFeaturesOf(t.ctx(), { userId: bob.id }),
  ]
  for (const call of calls) expect(await outcome(call())).toBe('resource_not_found')
  expect((await listFeatures(t.ctx(), page)).data.map((f) => f.slug)).toEqual(['own'])
})

test('a slug is given once and a grant kept once, however many ask at once', async () => {
  const t = await testInstance()
  const { organization } = await frontiers(t)
  const create = () => createFeature(t.ctx(), { slug: 'reports', name: 'Reports' })
  expect(await outcomes(10, create)).toEqual({ done: 1, duplicate_record: 9 })
  const holder = { organizationId: organization.id }
  const grant = (i: number) => grantFeature(t.ctx(), { holder, feature: 'reports', enabled: i % 2 === 0 })
  expect(await outcomes(20, grant)).toEqual({ done: 20 })
  expect(await listFeaturesOf(t.ctx(), holder)).toHaveLength(1)
  const withdraw = () => withdrawFeature(t.ctx(), { holder, feature: 'reports' })
  expect(await outcomes(10, withdraw)).toEqual({ done: 1, resource_not_found: 9 })
})

test('I22 a slug is one word that claims can hold, and never one of the system’s', async () => {
  const ctx = (await testInstance()).ctx()
  for (const slug of ['', 'A', 'a b', 'a,b', 'o:a', 'a:b', 'sys_profile', 'é', 'x'.repeat(51)])
    expect([slug, await outcome(createFeature(ctx, { slug, name: 'X' }))]).toEqual([slug, 'form_param_format_invalid'])
  expect(await outcome(createFeature(ctx, { slug: '__proto__', name: 'X' }))).toBe('done')
  expect(await outcome(updateFeature(ctx, { id: '__proto__', slug: 'a,b' }))).toBe('form_param_format_invalid')
})
