import { and, asc, eq, inArray } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { requireApplication } from '../../kernel/require-application.ts'
import { emit } from '../events/index.ts'
import { machineScopes, machines } from './tables.ts'

export type MachineScope = typeof machineScopes.$inferSelect
export type ScopeInput = { fromMachineId: string; toMachineId: string }

/** Machines that one may talk to: they stand in each of its JWTs. */
const maxScopes = 150

/**
 * Lets a machine talk to another. Once more for the same two changes nothing.
 *
 * @throws {UsherError} `forbidden`, `resource_not_found`, or `form_param_value_invalid` for itself or too many
 */
export async function createScope(ctx: Ctx | Tx, { fromMachineId, toMachineId }: ScopeInput): Promise<MachineScope> {
  requireApplication(ctx)
  return transaction(ctx, async (tx) => {
    await addScopes(tx, fromMachineId, [toMachineId])
    emit(tx, { type: 'machine.updated', subject: fromMachineId, data: { scope_added: toMachineId } })
    const [scope] = await tx.db.select().from(machineScopes).where(isScope({ fromMachineId, toMachineId }))
    return scope as MachineScope
  })
}

/** From the commit on no token of the one is accepted for the other. @throws {UsherError} `forbidden` or `resource_not_found` */
export async function deleteScope(ctx: Ctx | Tx, input: ScopeInput): Promise<void> {
  requireApplication(ctx)
  return transaction(ctx, async (tx) => {
    const gone = await tx.db.delete(machineScopes).where(isScope(input)).returning({ to: machineScopes.toMachineId })
    if (gone.length === 0) throw new UsherError('resource_not_found', 'There is no such scope.')
    emit(tx, { type: 'machine.updated', subject: input.fromMachineId, data: { scope_removed: input.toMachineId } })
  })
}

const isScope = ({ fromMachineId, toMachineId }: ScopeInput) =>
  and(eq(machineScopes.fromMachineId, fromMachineId), eq(machineScopes.toMachineId, toMachineId))

/** @throws {UsherError} `resource_not_found` or `form_param_value_invalid` */
export async function addScopes(tx: Tx, fromMachineId: string, toMachineIds: string[]): Promise<void> {
  if (toMachineIds.length === 0) return
  const invalid = (message: string) => new UsherError('form_param_value_invalid', message, { param: 'to_machine_id' })
  if (toMachineIds.includes(fromMachineId)) throw invalid('A machine needs no scope for itself.')
  // The row of the machine is the turn: what is counted behind it stays true.
  const wanted = [...new Set(toMachineIds)]
  const [from] = await tx.db.select().from(machines).where(eq(machines.id, fromMachineId)).for('update')
  const known = await tx.db.select({ id: machines.id }).from(machines).where(inArray(machines.id, wanted))
  if (!from || known.length < wanted.length) throw new UsherError('resource_not_found', 'There is no such machine.')
  await tx.db
    .insert(machineScopes)
    .values(
      wanted.map((toMachineId) => ({ instanceId: tx.instance.id, fromMachineId, toMachineId, createdAt: tx.now() })),
    )
    .onConflictDoNothing()
  if ((await tx.db.$count(machineScopes, eq(machineScopes.fromMachineId, fromMachineId))) > maxScopes)
    throw invalid(`A machine has ${maxScopes} scopes at most.`)
}

/** Ids of the machines that each may talk to, in the order in which they were allowed. */
export async function findScopedMachines(tx: Tx, ids: string[]): Promise<Map<string, string[]>> {
  if (ids.length === 0) return new Map()
  const rows = await tx.db
    .select()
    .from(machineScopes)
    .where(inArray(machineScopes.fromMachineId, ids))
    .orderBy(asc(machineScopes.createdAt), machineScopes.toMachineId)
  const byMachine = Map.groupBy(rows, (row) => row.fromMachineId)
  return new Map([...byMachine].map(([id, scopes]) => [id, scopes.map((scope) => scope.toMachineId)]))
}
