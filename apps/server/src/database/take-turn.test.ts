import { expect, test } from 'bun:test'
import { createGroup, listGroups } from '../domains/organizations/index.ts'
import { frontiers, outcomes } from '../domains/organizations/testing.ts'
import { createWebhookEndpoint, listWebhookEndpoints } from '../domains/webhooks/index.ts'
import { testInstance } from '../testing/server.ts'
import { transaction } from './index.ts'
import { takeTurn } from './take-turn.ts'

test('a turn is had by one transaction at a time, and another instance has turns of its own', async () => {
  const [one, other] = [await testInstance(), await testInstance()]
  let inside = 0
  let most = 0
  const visit = () =>
    transaction(one.ctx(), async (tx) => {
      await takeTurn(tx, 'bathroom')
      most = Math.max(most, ++inside)
      // The other instance's turn is free meanwhile; if it were the same, this would wait for ever.
      await transaction(other.ctx(), (its) => takeTurn(its, 'bathroom'))
      inside--
    })
  await Promise.all([visit(), visit(), visit()])
  expect({ inside, most }).toEqual({ inside: 0, most: 1 })
})

test('the last free place is given once, however many ask at once', async () => {
  const t = await testInstance()
  // An address, so that no name has to be looked up.
  const add = (i: number) => createWebhookEndpoint(t.ctx(), { url: `https://93.184.216.34/hooks/${i}` })
  for (let i = 0; i < 99; i += 1) await add(i)
  expect(await outcomes(6, (i) => add(100 + i))).toEqual({ done: 1, conflict: 5 })
  expect((await listWebhookEndpoints(t.ctx(), { limit: 500, offset: 0 })).totalCount).toBe(100)
})

test('groups of one organization wait for each other, and all of them arrive', async () => {
  const t = await testInstance()
  const { organization } = await frontiers(t)
  const names = Array.from({ length: 8 }, (_, i) => `Group ${i}`)
  await Promise.all(names.map((name) => createGroup(t.ctx(), { organizationId: organization.id, name })))
  const { totalCount } = await listGroups(t.ctx(), { organizationId: organization.id, limit: 20, offset: 0 })
  expect(totalCount).toBe(8)
})
