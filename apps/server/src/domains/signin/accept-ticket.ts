import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { getTicket, spendTicket } from '../signup/index.ts'
import { findUserByEmail } from '../users/index.ts'

export type AcceptedTicket = {
  /** `complete`: applied to the person who is signed in; else where the person has to go on. */
  status: 'sign_in' | 'sign_up' | 'complete'
  redirectUrl: string | null
}

/**
 * What to do with somebody who followed the link of a ticket. An invitation is accepted at once when its own person is
 * signed in on this client; everybody else proves themselves first.
 *
 * @param input.signedInUserIds people signed in on the client that followed the link
 * @throws {UsherError} `ticket_invalid`, `ticket_expired` or `token_used`
 */
export async function acceptTicket(
  ctx: Ctx,
  input: { ticket: unknown; signedInUserIds: readonly string[] },
): Promise<AcceptedTicket> {
  return transaction(ctx, async (tx) => {
    const ticket = await getTicket(tx, input.ticket)
    const { redirectUrl } = ticket
    if ('userId' in ticket) return { status: 'sign_in', redirectUrl }
    const user = await findUserByEmail(tx, ticket.emailAddress)
    if (!user) return { status: 'sign_up', redirectUrl }
    if (!input.signedInUserIds.includes(user.id)) return { status: 'sign_in', redirectUrl }
    await spendTicket(tx, ticket.token.id, user.id)
    return { status: 'complete', redirectUrl }
  })
}
