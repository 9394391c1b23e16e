import { eq } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { registerUserHooks } from '../users/index.ts'
import { enrollPeopleOf } from './enrollment.ts'
import { announceEndOfMemberships } from './manage-memberships.ts'
import { memberships } from './tables.ts'

const waiting = new WeakMap<object, Set<string>>()

/** Last in the transaction: whoever signs up by an invitation is a member by then, and needs no suggestion. */
function enrollBeforeCommit(tx: Tx, userId: string): void {
  if (!tx.instance.settings.organizations.domains) return
  const known = waiting.get(tx.connection)
  if (known) {
    known.add(userId)
    return
  }
  const people = new Set([userId])
  waiting.set(tx.connection, people)
  tx.beforeCommit(async () => {
    waiting.delete(tx.connection)
    for (const id of people) await enrollPeopleOf(tx, { userId: id })
  })
}

registerUserHooks({
  addressProven: enrollBeforeCommit,
  beforeDelete: (tx, userId) => announceEndOfMemberships(tx, eq(memberships.userId, userId)),
})
