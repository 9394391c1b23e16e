import { sql } from 'drizzle-orm'
import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { findMembershipAccess } from '../organizations/index.ts'
import { getUser } from '../users/index.ts'
import { type DocumentPrincipal, type ExternalPrincipal, judgeDocument, judgeExternal } from './judge-documents.ts'
import type { Judgement } from './judgement.ts'
import { isReserved, matchType, type Person, rightsOf, typeFor } from './rules.ts'

/** Who is at the other end of a socket of channels. */
export type ChannelPrincipal =
  | { kind: 'session'; instanceId: string; userId: string; sessionId: string }
  | { kind: 'backend'; instanceId: string }
  | DocumentPrincipal
  | ExternalPrincipal

/**
 * What somebody may do in channels at this moment, by the tables themselves: what other domains keep in memory is
 * dropped by the same event that makes us ask, and may not be dropped yet. One question, however many channels.
 */
export async function judgeChannels(
  ctx: Ctx,
  principal: ChannelPrincipal,
  names: readonly string[],
): Promise<Judgement> {
  const { types } = ctx.instance.settings.channels
  if (principal.kind === 'document') return judgeDocument(ctx, principal, names)
  if (principal.kind === 'external') return judgeExternal(ctx, principal, names)
  if (principal.kind === 'backend') {
    const all = names.map((name) => {
      const type = typeFor(types, name)
      return [
        name,
        { type, rights: { publish: !isReserved(name), presence: type.presence, history: type.history !== 'none' } },
      ] as const
    })
    return { isSignedIn: true, verdicts: new Map(all) }
  }
  // A document's own channel is reached through the document.
  const matches = names.map((name) => [name, name.startsWith('doc:') ? undefined : matchType(types, name)] as const)
  const asksForFeatures = matches.some(([, m]) =>
    [m?.type.subscribe, m?.type.publish].some((rule) => typeof rule === 'object' && rule.feature !== undefined),
  )
  const organizationIds = new Set(matches.flatMap(([, m]) => m?.organizationId ?? []))
  const person = await findPerson(ctx, principal, [...organizationIds], asksForFeatures)
  const verdicts = matches.map(([name, found]) => {
    const rights = found && rightsOf(found, person)
    return [name, found && rights ? { type: found.type, rights } : undefined] as const
  })
  return { isSignedIn: person.isSignedIn, verdicts: new Map(verdicts) }
}

async function findPerson(
  ctx: Ctx,
  { userId, sessionId }: { userId: string; sessionId: string },
  organizationIds: readonly string[],
  withFeatures: boolean,
): Promise<Person> {
  return transaction(ctx, async (tx) => {
    const [[row], memberships] = await Promise.all([
      tx.db.execute<{ signed_in: boolean }>(sql`
        select not u.banned and exists (
            select from sessions s where s.id = ${sessionId} and s.user_id = u.id and s.status = 'active'
              and least(s.expire_at, s.abandon_at) > ${ctx.now().toISOString()}::timestamptz) as signed_in
        from users u where u.id = ${userId}`),
      Promise.all(organizationIds.map((organizationId) => findMembershipAccess(tx, { organizationId, userId }))),
    ])
    const isSignedIn = row?.signed_in ?? false
    const features = withFeatures && isSignedIn ? (await getUser(tx, userId)).features : []
    const held = memberships.flatMap((m) => (m ? [[m.organizationId, m] as const] : []))
    return { isSignedIn, userId, features, memberships: new Map(held) }
  })
}
