import { createHash } from 'node:crypto'
import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { decide, standingOf } from '../access/index.ts'
import type { SyncRule } from '../instances/index.ts'
import { findMembershipAccess, type MembershipAccess } from '../organizations/index.ts'
import type { Access } from './connection.ts'

/** What is known about a person at this moment, as far as documents are concerned. */
export type Standing = {
  /** False once the session ended, or the person is gone or banned. */
  isSignedIn: boolean
  userId: string
  /** The organization of the document, if the person belongs to it; with what they may do there. */
  membership: MembershipAccess | undefined
}

/** Names what a person may do in the document's organization: it differs as soon as the role or its rights do. */
export function versionOf({ membership }: Standing): string {
  if (!membership) return 'none'
  return createHash('sha256')
    .update([...membership.permissions].sort().join(' '))
    .digest('base64url')
    .slice(0, 16)
}

/** The owner that a document id begins with: `org_…/anything` or `user_…/anything`. */
export function ownerOf(docId: string): { type: 'organization' | 'user'; id: string } | undefined {
  const [, id] = docId.match(/^((?:org|user)_[A-Za-z0-9]+)\/./) ?? []
  if (!id) return undefined
  return { type: id.startsWith('org_') ? 'organization' : 'user', id }
}

/**
 * The one rule for people's own access: a document follows the owner that its id names. Of an organization's document
 * the first settings rule whose pattern fits decides, without one every member may read and write. Any other id is
 * granted by the application's server only.
 */
export function accessByRules(rules: readonly SyncRule[], docId: string, standing: Standing): Access | undefined {
  const owner = ownerOf(docId)
  if (!standing.isSignedIn || !owner) return undefined
  if (owner.type === 'user') return owner.id === standing.userId ? 'write' : undefined
  const { membership } = standing
  if (membership?.organizationId !== owner.id) return undefined
  const rule = rules.find(({ pattern }) => matches(pattern, docId))
  const held = standingOf(membership, [])
  const may = (permission: string | undefined) => permission === undefined || decide(held, { permission }) === 'pass'
  if (!may(rule?.read)) return undefined
  return may(rule?.write) ? 'write' : 'read'
}

/** `*` stands for any characters, everything else for itself. */
function matches(pattern: string, docId: string): boolean {
  return matchesParts(pattern.split('*'), docId)
}

/** Whether an id consists of these parts in this order, with anything between them. One part alone is the whole id. */
export function matchesParts(parts: readonly string[], docId: string): boolean {
  const first = parts[0] as string
  const last = parts[parts.length - 1] as string
  if (parts.length === 1) return first === docId
  if (!docId.startsWith(first) || !docId.endsWith(last) || docId.length < first.length + last.length) return false
  // Leftmost matches suffice: whatever they leave is at least as much as any other choice would.
  let at = first.length
  const end = docId.length - last.length
  for (const part of parts.slice(1, -1)) {
    const found = docId.indexOf(part, at)
    if (found < 0 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}

/** Written once: every socket that opens asks this. */
const standingSql = `
  select not u.banned and ($2::text is null or exists (
      select from sessions s where s.id = $2 and s.user_id = u.id and s.status = 'active'
        and least(s.expire_at, s.abandon_at) > $3::timestamptz)) as signed_in
  from users u where u.id = $1`

/**
 * Reads a person's standing for a document from the tables themselves: what other domains keep in memory is dropped by
 * the same event that makes us ask, and may not be dropped yet. Both queries travel together.
 */
export async function findStanding(
  ctx: Ctx,
  input: { docId: string; userId: string; sessionId: string | undefined },
): Promise<Standing> {
  const { userId, sessionId = null } = input
  const owner = ownerOf(input.docId)
  const organizationId = owner?.type === 'organization' ? owner.id : null
  const [[person], membership] = await transaction(ctx, (tx) =>
    Promise.all([
      tx.connection.unsafe(standingSql, [userId, sessionId, ctx.now().toISOString()]),
      organizationId === null ? undefined : findMembershipAccess(tx, { organizationId, userId }),
    ]),
  )
  return { isSignedIn: person?.signed_in ?? false, userId, membership }
}
