import { and, eq } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { listUsers } from '../users/index.ts'
import { type SignUpRecord, signUpOver, withCode } from './queries.ts'
import { signUps } from './tables.ts'

/** Any sign-up, for the application's server. @throws {UsherError} `resource_not_found` */
export function readSignUp(ctx: Ctx | Tx, id: string): Promise<SignUpRecord> {
  return transaction(ctx, async (tx) => {
    const [row] = await tx.db.select().from(signUps).where(eq(signUps.id, id))
    if (!row) throw new UsherError('resource_not_found', 'There is no such sign-up.')
    const isOver = row.status === 'missing_requirements' && row.abandonAt <= tx.now()
    return withCode(tx, isOver ? { ...row, status: 'abandoned' } : row)
  })
}

export type AnnotateSignUpInput = {
  id: string
  /** The application's own id of the person; the user gets it when the sign-up completes. */
  externalId?: string | null | undefined
  /** Whether the application has done what it does about sign-ups; Usher itself waits for nothing. */
  customAction?: boolean | null | undefined
}

/**
 * Notes what the application knows about somebody who is signing up.
 *
 * @throws {UsherError} `resource_not_found`, also for a sign-up that is over; `form_identifier_exists` for an external
 *   id that a user has
 */
export function annotateSignUp(ctx: Ctx | Tx, input: AnnotateSignUpInput): Promise<SignUpRecord> {
  const { id, externalId, customAction } = input
  return transaction(ctx, async (tx) => {
    const found = await readSignUp(tx, id)
    if (found.status !== 'missing_requirements') throw signUpOver()
    if (externalId && (await listUsers(tx, { externalId: [externalId], limit: 1, offset: 0 })).length > 0)
      throw new UsherError('form_identifier_exists', 'That external id is in use.', { param: 'external_id' })
    const set = {
      ...(externalId !== undefined && { externalId: externalId || null }),
      ...(typeof customAction === 'boolean' && { customAction }),
    }
    if (Object.keys(set).length === 0) return found
    const [row] = await tx.db
      .update(signUps)
      .set(set)
      .where(and(eq(signUps.id, id), eq(signUps.status, 'missing_requirements')))
      .returning()
    if (!row) throw signUpOver()
    return withCode(tx, row)
  })
}
