import { and, asc, count, desc, eq, ilike, inArray, type SQL } from 'drizzle-orm'
import { escapeLike, type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import type { Page } from '../../kernel/pagination.ts'
import { emit } from '../events/index.ts'
import { queueEmailIfPossible } from '../messaging/index.ts'
import { checkMayHave } from '../restrictions/index.ts'
import { parseEmailAddress } from '../verifications/index.ts'
import { createInvitation, type Invitation } from './invitations.ts'
import { invitations, waitlistEntries } from './tables.ts'

/** Somebody who asked to be let in. */
export type WaitlistEntry = typeof waitlistEntries.$inferSelect
/** With the invitation that came of it. */
export type WaitlistRecord = WaitlistEntry & { invitation: Invitation | null }

/**
 * Puts an address on the waitlist. One that is on it already stays as it is, and the answer is the same: the list says
 * nothing about who is on it.
 *
 * @throws {UsherError} `form_param_format_invalid`, or what restrictions refuse
 */
export function joinWaitlist(
  ctx: Ctx | Tx,
  input: { emailAddress: unknown; notify?: boolean },
): Promise<WaitlistRecord> {
  const emailAddress = parseEmailAddress(input.emailAddress)
  return transaction(ctx, async (tx) => {
    await checkMayHave(tx, { kind: 'email_address', value: emailAddress })
    const now = tx.now()
    const [made] = await tx.db
      .insert(waitlistEntries)
      .values({
        id: newId('waitlistEntry'),
        instanceId: tx.instance.id,
        emailAddress,
        status: 'pending',
        createdAt: now,
        updatedAt: now,
      })
      .onConflictDoNothing()
      .returning()
    if (made) emit(tx, { type: 'waitlistEntry.created', subject: made.id, data: {} })
    if (made && input.notify !== false)
      await queueEmailIfPossible(tx, { template: 'waitlist_confirmation', to: emailAddress, data: {} })
    const [entry] = made
      ? [made]
      : await tx.db.select().from(waitlistEntries).where(eq(waitlistEntries.emailAddress, emailAddress))
    return withInvitation(tx, entry as WaitlistEntry)
  })
}

export type ListWaitlistInput = {
  status?: WaitlistEntry['status']
  /** Part of the address. */
  query?: string
  /** `+created_at`, `-created_at`, `email_address`, … */
  orderBy?: string
  limit: number
  offset: number
}

const orderable = { created_at: waitlistEntries.createdAt, email_address: waitlistEntries.emailAddress }

/** @throws {UsherError} `form_param_value_invalid` for an unknown order */
export function listWaitlist(ctx: Ctx | Tx, input: ListWaitlistInput): Promise<Page<WaitlistRecord>> {
  const [, sign, name = ''] = (input.orderBy ?? '-created_at').match(/^([+-]?)(\w+)$/) ?? []
  // Entries are changed once, when they are invited or rejected, so that this is when that was.
  const column = name === 'invited_at' ? waitlistEntries.updatedAt : orderable[name as keyof typeof orderable]
  if (!Object.hasOwn(orderable, name) && name !== 'invited_at')
    throw new UsherError('form_param_value_invalid', 'The waitlist cannot be ordered by that.', { param: 'order_by' })
  const where: SQL | undefined = and(
    input.status && eq(waitlistEntries.status, input.status),
    input.query ? ilike(waitlistEntries.emailAddress, `%${escapeLike(input.query)}%`) : undefined,
  )
  return transaction(ctx, async (tx) => {
    const entries = await tx.db
      .select()
      .from(waitlistEntries)
      .where(where)
      .orderBy(sign === '-' ? desc(column) : asc(column), desc(waitlistEntries.id))
      .limit(input.limit)
      .offset(input.offset)
    const [total] = await tx.db.select({ n: count() }).from(waitlistEntries).where(where)
    const ids = entries.flatMap((e) => e.invitationId ?? [])
    const found = ids.length > 0 ? await tx.db.select().from(invitations).where(inArray(invitations.id, ids)) : []
    const data = entries.map((entry) => ({
      ...entry,
      invitation: found.find((i) => i.id === entry.invitationId) ?? null,
    }))
    return { data, totalCount: total?.n ?? 0 }
  })
}

/**
 * Lets a waiting person in: they are sent an invitation.
 *
 * @returns the entry, and the invitation's link, which is shown this once
 * @throws {UsherError} `resource_not_found`, or `duplicate_record` when the person was let in already
 */
export function inviteFromWaitlist(
  ctx: Ctx | Tx,
  { id, ...input }: { id: string; ignoreExisting?: boolean; publicUrl: string },
): Promise<{ entry: WaitlistRecord; url: string }> {
  return transaction(ctx, async (tx) => {
    const entry = await change(tx, id, ['pending', 'rejected'], { status: 'invited' })
    const { invitation, url } = await createInvitation(tx, {
      ...input,
      emailAddress: entry.emailAddress,
      template: 'waitlist_invitation',
    })
    const [linked] = await tx.db
      .update(waitlistEntries)
      .set({ invitationId: invitation.id })
      .where(eq(waitlistEntries.id, id))
      .returning()
    return { entry: { ...(linked as WaitlistEntry), invitation }, url }
  })
}

/** @throws {UsherError} `resource_not_found`, or `duplicate_record` when the person was let in or turned down already */
export function rejectFromWaitlist(ctx: Ctx | Tx, id: string): Promise<WaitlistRecord> {
  return transaction(ctx, async (tx) => withInvitation(tx, await change(tx, id, ['pending'], { status: 'rejected' })))
}

/** @throws {UsherError} `resource_not_found`, or `duplicate_record` for a person who was let in: nothing takes that back */
export async function deleteWaitlistEntry(ctx: Ctx | Tx, id: string): Promise<void> {
  await transaction(ctx, async (tx) => {
    const entry = await getEntry(tx, id)
    const gone = await tx.db
      .delete(waitlistEntries)
      .where(and(eq(waitlistEntries.id, entry.id), inArray(waitlistEntries.status, ['pending', 'rejected'])))
      .returning()
    if (gone.length === 0) throw over()
  })
}

/** Notes that a waiting person has an account now. For the end of every sign-up. */
export async function completeWaitlistEntry(tx: Tx, emailAddress: string): Promise<void> {
  await tx.db
    .update(waitlistEntries)
    .set({ status: 'completed', updatedAt: tx.now() })
    .where(and(eq(waitlistEntries.emailAddress, emailAddress), inArray(waitlistEntries.status, ['pending', 'invited'])))
}

async function change(
  tx: Tx,
  id: string,
  from: WaitlistEntry['status'][],
  set: Partial<WaitlistEntry>,
): Promise<WaitlistEntry> {
  const entry = await getEntry(tx, id)
  const [changed] = await tx.db
    .update(waitlistEntries)
    .set({ ...set, updatedAt: tx.now() })
    .where(and(eq(waitlistEntries.id, entry.id), inArray(waitlistEntries.status, from)))
    .returning()
  if (!changed) throw over()
  emit(tx, { type: 'waitlistEntry.updated', subject: id, data: {} })
  return changed
}

const over = () => new UsherError('duplicate_record', 'This was decided already.')

async function getEntry(tx: Tx, id: string): Promise<WaitlistEntry> {
  const [entry] = await tx.db.select().from(waitlistEntries).where(eq(waitlistEntries.id, id))
  if (!entry) throw new UsherError('resource_not_found', 'There is no such entry on the waitlist.')
  return entry
}

async function withInvitation(tx: Tx, entry: WaitlistEntry): Promise<WaitlistRecord> {
  const [invitation = null] = entry.invitationId
    ? await tx.db.select().from(invitations).where(eq(invitations.id, entry.invitationId))
    : []
  return { ...entry, invitation }
}
