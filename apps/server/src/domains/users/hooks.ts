import type { Tx } from '../../database/index.ts'

/** What domains above this one do when something happens to a person, in the same transaction. */
export type UserHooks = {
  /** An address was proven. */
  addressProven: (tx: Tx, userId: string) => void | Promise<void>
  /** Before a person is deleted with everything that belongs to them. */
  beforeDelete: (tx: Tx, userId: string) => Promise<void>
}

const registered = new Set<UserHooks>()

/** Imports go one way, so whoever needs to know says so once, when the program starts. */
export function registerUserHooks(hooks: UserHooks): void {
  registered.add(hooks)
}

export async function tellAddressProven(tx: Tx, userId: string): Promise<void> {
  for (const hooks of registered) await hooks.addressProven(tx, userId)
}

export async function tellBeforeDelete(tx: Tx, userId: string): Promise<void> {
  for (const hooks of registered) await hooks.beforeDelete(tx, userId)
}
