import { sql } from 'drizzle-orm'
import { type Tx, textArray } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { listMemberships } from '../organizations/index.ts'
import { type Access, accessByRules, findStanding, ownerOf } from '../sync/index.ts'

/** What a person may do with a document at this moment; the decision by which sockets are let in, and no other. */
export async function accessOf(
  tx: Tx,
  { docId, userId }: { docId: string; userId: string },
): Promise<Access | undefined> {
  const { actor, instance } = tx
  const sessionId = actor.type === 'user' && actor.userId === userId ? actor.sessionId : undefined
  const standing = await findStanding(tx, { docId, userId, sessionId })
  return accessByRules(instance.settings.sync.rules, docId, standing)
}

/** @throws {UsherError} `sync_access_denied` */
export async function requireAccess(tx: Tx, input: { docId: string; userId: string; access: Access }): Promise<void> {
  const access = await accessOf(tx, input)
  if (!access || (input.access === 'write' && access !== 'write'))
    throw new UsherError('sync_access_denied', 'You may not do this with the document.')
}

/** A person with a vault who may read. */
export type Reader = { userId: string; publicKey: string; signPublicKey: string; keySignature: string }

/** Memberships are read in pages of this. */
const page = 500

/** Everybody who may read a document and has a vault, in the order of their ids. */
export async function findReaders(tx: Tx, docId: string): Promise<Reader[]> {
  const owner = ownerOf(docId)
  if (!owner) return []
  const of =
    owner.type === 'user'
      ? sql`u.id = ${owner.id}`
      : sql`exists (select from memberships m where m.user_id = u.id and m.organization_id = ${owner.id})`
  const candidates = (await tx.db.execute(sql`
    select v.user_id as "userId", v.public_key as "publicKey", v.sign_public_key as "signPublicKey", v.key_signature as "keySignature"
    from vaults v join users u on u.id = v.user_id where not u.banned and ${of} order by v.user_id`)) as unknown as Reader[]
  if (owner.type === 'user') return candidates.map((reader) => ({ ...reader }))
  const { rules } = tx.instance.settings.sync
  const readers: Reader[] = []
  for (let at = 0; at < candidates.length; at += page) {
    const part = candidates.slice(at, at + page)
    const userIds = part.map(({ userId }) => userId)
    const { data } = await listMemberships(tx, { organizationId: owner.id, userIds, limit: page, offset: 0 })
    const memberships = new Map(data.map((membership) => [membership.userId, membership]))
    readers.push(
      ...part.filter(({ userId }) =>
        accessByRules(rules, docId, { isSignedIn: true, userId, membership: memberships.get(userId) }),
      ),
    )
  }
  return readers
}

/** Public keys of people, whether they may read or not: what they gave once is checked by their signature. */
export async function findKeyHolders(tx: Tx, userIds: readonly string[]): Promise<Reader[]> {
  if (userIds.length === 0) return []
  const found = (await tx.db.execute(sql`
    select user_id as "userId", public_key as "publicKey", sign_public_key as "signPublicKey", key_signature as "keySignature"
    from vaults where user_id = any(${textArray(userIds)}::text[]) order by user_id`)) as unknown as Reader[]
  return found.map((reader) => ({ ...reader }))
}
