import type { Ctx } from '../../kernel/ctx.ts'
import {
  type Access,
  type ExternalPerson,
  externalAccess,
  findDeletedDocuments,
  judgeConnection,
  type Principal,
  versionOfIssuer,
} from '../sync/index.ts'
import type { ChannelVerdict, Judgement } from './judgement.ts'
import { documentChannel, isDocumentChannel } from './names.ts'
import { documentTypeFor } from './rules.ts'

/** Somebody with a token for one document: in its own channel, as at the document itself, and in no other. */
export type DocumentPrincipal = {
  kind: 'document'
  instanceId: string
  userId: string
  docId: string
  granted: Access
  /** Who they are to the document. */
  principal: Principal
}

/** Somebody of another issuer: in the channels of the documents that the settings give to them. */
export type ExternalPrincipal = { kind: 'external'; instanceId: string; userId: string; person: ExternalPerson }

/** What an access to a document is worth in its channel. */
function verdictOf({ instance }: Ctx, name: string, access: Access): ChannelVerdict {
  const type = documentTypeFor(instance.settings.channels.types, name)
  return {
    type,
    rights: {
      publish: type.publish !== 'server' && access === 'write',
      presence: type.presence,
      history: type.history !== 'none',
    },
  }
}

/** What somebody with a token for one document may do in its channel: what they may do in the document, by its tables. */
export async function judgeDocument(
  ctx: Ctx,
  { docId, granted, principal }: DocumentPrincipal,
  names: readonly string[],
): Promise<Judgement> {
  const [verdict, deleted] = await Promise.all([
    judgeConnection(ctx, principal, docId, granted),
    findDeletedDocuments(ctx, [docId]),
  ])
  const nothing = { isSignedIn: false, verdicts: new Map() }
  if (!verdict.allowed) return { ...nothing, ended: verdict }
  if (deleted.has(docId)) return { ...nothing, ended: { reason: 'room_deleted', message: 'the document was deleted' } }
  const own = documentChannel(docId)
  const verdicts = names.map((name) => [name, name === own ? verdictOf(ctx, name, verdict.access) : undefined] as const)
  return { isSignedIn: true, verdicts: new Map(verdicts) }
}

/** What somebody of another issuer may do in channels of documents: what their token says, as long as the settings say the same. */
export async function judgeExternal(
  ctx: Ctx,
  { person }: ExternalPrincipal,
  names: readonly string[],
): Promise<Judgement> {
  const issuer = ctx.instance.settings.sync.issuers.find(({ name }) => name === person.issuer.name)
  if (!issuer || versionOfIssuer(issuer) !== person.version) {
    const ended = { reason: 'unauthenticated' as const, message: 'the issuer’s rights have changed: get a new token' }
    return { isSignedIn: false, verdicts: new Map(), ended }
  }
  const documents = names.flatMap((name) => {
    const docId = docIdOf(name)
    const access = docId === undefined ? undefined : externalAccess(person, docId)
    return docId !== undefined && access ? [{ name, docId, access }] : []
  })
  const deleted = await findDeletedDocuments(
    ctx,
    documents.map(({ docId }) => docId),
  )
  const verdicts = documents.map(
    ({ name, docId, access }) => [name, deleted.has(docId) ? undefined : verdictOf(ctx, name, access)] as const,
  )
  return { isSignedIn: true, verdicts: new Map(verdicts) }
}

const docIdOf = (name: string) => (isDocumentChannel(name) ? name.slice(documentChannel('').length) : undefined)
