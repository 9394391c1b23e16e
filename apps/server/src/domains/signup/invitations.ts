import { and, asc, count, desc, eq, ilike } from 'drizzle-orm'
import type { Metadata } from '../../database/columns.ts'
import { escapeLike, type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import type { Page } from '../../kernel/pagination.ts'
import { newToken } from '../../kernel/secrets.ts'
import { emit } from '../events/index.ts'
import { queueEmail } from '../messaging/index.ts'
import { findUserByEmail } from '../users/index.ts'
import { createOneTimeToken, parseEmailAddress, revokeTokensOf } from '../verifications/index.ts'
import { invitations } from './tables.ts'

/** An invitation to the application, not to an organization. */
export type Invitation = typeof invitations.$inferSelect

export type CreateInvitationInput = {
  emailAddress: unknown
  redirectUrl?: string | null
  publicMetadata?: Metadata
  /** False: no email is sent, the caller hands out the link. */
  notify?: boolean
  /** 1 to 365. */
  expiresInDays?: number
  /** Invite although an account or an open invitation has the address; the open one is revoked. */
  ignoreExisting?: boolean
  /** Which text the email has. */
  template?: 'invitation' | 'waitlist_invitation'
  /** Origin of the links, from the face. */
  publicUrl: string
}

/**
 * Invites an address to sign up.
 *
 * @returns the invitation and the link that was mailed; it is shown this once
 * @throws {UsherError} `form_param_format_invalid`, `form_identifier_exists` or `duplicate_record`
 */
export async function createInvitation(
  ctx: Ctx | Tx,
  input: CreateInvitationInput,
): Promise<{ invitation: Invitation; url: string }> {
  const emailAddress = parseEmailAddress(input.emailAddress)
  return transaction(ctx, async (tx) => {
    if (!input.ignoreExisting && (await findUserByEmail(tx, emailAddress)))
      throw new UsherError('form_identifier_exists', 'This address has an account already.', { param: 'email_address' })
    const now = tx.now()
    const open = and(eq(invitations.emailAddress, emailAddress), eq(invitations.status, 'pending'))
    const [previous] = await tx.db.select().from(invitations).where(open)
    if (previous) {
      if (!input.ignoreExisting && previous.expiresAt > now)
        throw new UsherError('duplicate_record', 'There is an open invitation for this address.', {
          meta: { email_addresses: [emailAddress] },
        })
      await close(tx, previous.id, previous.expiresAt > now ? 'revoked' : 'expired')
    }
    const invitation = await insert(tx, {
      id: newId('invitation'),
      instanceId: tx.instance.id,
      emailAddress,
      status: 'pending',
      publicMetadata: input.publicMetadata ?? {},
      redirectUrl: input.redirectUrl ?? null,
      notify: input.notify ?? true,
      createdAt: now,
      updatedAt: now,
      expiresAt: new Date(now.getTime() + (input.expiresInDays ?? 30) * 24 * 3600_000),
    })
    const token = newToken()
    const { id: subjectId, expiresAt } = invitation
    await createOneTimeToken(tx, { kind: 'invitation', subjectId, expiresAt, token })
    const url = `${input.publicUrl}/v1/tickets/accept?ticket=${token}`
    if (invitation.notify)
      await queueEmail(tx, {
        template: input.template ?? 'invitation',
        to: emailAddress,
        data: { url },
        expiresAt,
      })
    emit(tx, { type: 'invitation.created', subject: invitation.id, data: {} })
    return { invitation, url }
  })
}

async function insert(tx: Tx, row: typeof invitations.$inferInsert): Promise<Invitation> {
  try {
    const [made] = await tx.db.insert(invitations).values(row).returning()
    return made as Invitation
  } catch (error) {
    if (!isUniqueViolation(error, 'invitations_open')) throw error
    throw new UsherError('duplicate_record', 'There is an open invitation for this address.', {
      meta: { email_addresses: [row.emailAddress] },
    })
  }
}

async function close(tx: Tx, id: string, status: 'revoked' | 'expired'): Promise<Invitation | undefined> {
  const [closed] = await tx.db
    .update(invitations)
    .set({ status, updatedAt: tx.now() })
    .where(and(eq(invitations.id, id), eq(invitations.status, 'pending')))
    .returning()
  if (closed) await revokeTokensOf(tx, 'invitation', id)
  return closed
}

/** Takes an open invitation back. @throws {UsherError} `resource_not_found` when there is no open one with this id */
export async function revokeInvitation(ctx: Ctx | Tx, id: string): Promise<Invitation> {
  return transaction(ctx, async (tx) => {
    const closed = await close(tx, id, 'revoked')
    if (!closed) throw new UsherError('resource_not_found', 'There is no open invitation with this id.')
    emit(tx, { type: 'invitation.revoked', subject: id, data: {} })
    return closed
  })
}

export type ListInvitationsInput = {
  status?: Invitation['status']
  /** Part of the address. */
  query?: string
  /** `-created_at`, `+email_address`, `expires_at`, … */
  orderBy?: string
  limit: number
  offset: number
}

const orderable = {
  created_at: invitations.createdAt,
  email_address: invitations.emailAddress,
  expires_at: invitations.expiresAt,
}

/** Invitations, newest first. @throws {UsherError} `form_param_value_invalid` for an unknown order */
export async function listInvitations(ctx: Ctx | Tx, input: ListInvitationsInput): Promise<Page<Invitation>> {
  const [, sign, name = ''] = (input.orderBy ?? '-created_at').match(/^([+-]?)(\w+)$/) ?? []
  if (!Object.hasOwn(orderable, name))
    throw new UsherError('form_param_value_invalid', 'Invitations cannot be ordered by that.', { param: 'order_by' })
  const column = orderable[name as keyof typeof orderable]
  return transaction(ctx, async (tx) => {
    const where = and(
      input.status && eq(invitations.status, input.status),
      input.query ? ilike(invitations.emailAddress, `%${escapeLike(input.query)}%`) : undefined,
    )
    const order = [sign === '-' ? desc(column) : asc(column), invitations.id]
    const data = await tx.db
      .select()
      .from(invitations)
      .where(where)
      .orderBy(...order)
      .limit(input.limit)
      .offset(input.offset)
    const [total] = await tx.db.select({ n: count() }).from(invitations).where(where)
    return { data, totalCount: total?.n ?? 0 }
  })
}
