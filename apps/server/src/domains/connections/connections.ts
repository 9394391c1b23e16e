import { and, eq } from 'drizzle-orm'
import type { Db } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { type Keyring, seal, unseal } from '../../kernel/secrets.ts'
import { customProvider, findProvider, type Provider } from './providers.ts'
import { type CustomProvider, socialConnections } from './tables.ts'

/** A provider that an instance offers, ready to use. */
export type SocialConnection = {
  provider: Provider
  /** OpenID Connect issuer of a custom provider, whose discovery document says where everything is. */
  issuer: string | null
  name: string
  enabled: boolean
  authenticatable: boolean
  blockEmailSubaddresses: boolean
  logoUrl: string | null
  scopes: string[]
  /** Null: development's shared demo credentials, which lead to the built-in provider. */
  credentials: { clientId: string; clientSecret: string } | null
}

type Row = typeof socialConnections.$inferSelect

const purpose = (row: Pick<Row, 'instanceId' | 'provider'>) => `social_connection:${row.instanceId}:${row.provider}`

/** Opens a stored connection. Undefined for a provider that this version does not know any more. */
export function openConnection(keyring: Keyring, row: Row): SocialConnection | undefined {
  const provider = row.custom ? customProvider(row.provider, row.name, row.custom) : findProvider(row.provider)
  if (!provider) return undefined
  const { name, enabled, authenticatable, blockEmailSubaddresses, logoUrl, scopes } = row
  return {
    provider,
    issuer: row.custom?.issuer ?? null,
    name,
    enabled,
    authenticatable,
    blockEmailSubaddresses,
    logoUrl,
    scopes,
    credentials:
      row.clientId === null
        ? null
        : {
            clientId: row.clientId,
            clientSecret: row.sealedClientSecret ? unseal(keyring, purpose(row), row.sealedClientSecret) : '',
          },
  }
}

/** What an instance's database says about its providers, as it is inside a transaction. */
export async function readConnections(db: Db, keyring: Keyring, instanceId: string) {
  const rows = await db.select().from(socialConnections).where(eq(socialConnections.instanceId, instanceId))
  return rows.map((row) => ({
    ...row,
    clientSecret: row.sealedClientSecret ? unseal(keyring, purpose(row), row.sealedClientSecret) : undefined,
  }))
}

export type ConnectionInput = {
  /** `google`, … or `custom_…`. */
  provider: string
  name?: string
  enabled?: boolean
  authenticatable?: boolean
  blockEmailSubaddresses?: boolean
  clientId?: string | null
  clientSecret?: string | null
  scopes?: string[]
  logoUrl?: string | null
  custom?: CustomProvider
}

/**
 * Offers a provider, or changes what is said about one; what is not named stays as it is.
 *
 * @param db a system transaction
 * @throws {UsherError} `form_param_value_invalid`; `oauth_provider_not_configured` for a production instance without
 *   credentials of its own
 */
export async function setConnection(
  db: Db,
  keyring: Keyring,
  instance: { id: string; environment: 'development' | 'production' },
  input: ConnectionInput,
  now: Date,
): Promise<void> {
  const { provider } = input
  const where = and(eq(socialConnections.instanceId, instance.id), eq(socialConnections.provider, provider))
  const [held] = await db.select().from(socialConnections).where(where)
  const custom = input.custom ?? held?.custom ?? null
  const known = provider.startsWith('custom_') ? undefined : findProvider(provider)
  if (!known && !/^custom_[a-z0-9_]{1,40}$/.test(provider))
    throw new UsherError('form_param_value_invalid', `There is no provider "${provider}". Name your own custom_….`)
  if (!known) checkCustom(custom)
  const clientId = input.clientId === undefined ? (held?.clientId ?? null) : input.clientId
  if (clientId === null && (instance.environment === 'production' || !known))
    throw new UsherError(
      'oauth_provider_not_configured',
      `${known?.name ?? provider} needs a client id and secret of your own${known ? ' in production' : ''}.`,
    )
  const row = {
    name: input.name ?? held?.name ?? known?.name ?? provider,
    enabled: input.enabled ?? held?.enabled ?? true,
    authenticatable: input.authenticatable ?? held?.authenticatable ?? true,
    blockEmailSubaddresses: input.blockEmailSubaddresses ?? held?.blockEmailSubaddresses ?? false,
    clientId,
    sealedClientSecret:
      input.clientSecret === undefined
        ? (held?.sealedClientSecret ?? null)
        : input.clientSecret && seal(keyring, purpose({ instanceId: instance.id, provider }), input.clientSecret),
    scopes: input.scopes ?? held?.scopes ?? [],
    logoUrl: input.logoUrl === undefined ? (held?.logoUrl ?? null) : input.logoUrl,
    custom,
    updatedAt: now,
  }
  await db
    .insert(socialConnections)
    .values({ id: newId('socialConnection'), instanceId: instance.id, provider, createdAt: now, ...row })
    .onConflictDoUpdate({ target: [socialConnections.instanceId, socialConnections.provider], set: row })
}

function checkCustom(custom: CustomProvider | null): void {
  const urls = [custom?.issuer, custom?.authorizationUrl, custom?.tokenUrl, custom?.userInfoUrl]
  const complete = custom?.issuer || (custom?.authorizationUrl && custom.tokenUrl && custom.userInfoUrl)
  if (!complete)
    throw new UsherError(
      'form_param_value_invalid',
      'A provider of your own needs an issuer, or the URLs of authorization, token and user info.',
    )
  for (const url of urls)
    if (url !== undefined && !/^https?:\/\//.test(url))
      throw new UsherError('form_param_value_invalid', `${url} is not a URL of the web.`)
}

/** Takes a provider away. Accounts that are linked stay linked. @throws {UsherError} `resource_not_found` */
export async function removeConnection(db: Db, instanceId: string, provider: string): Promise<void> {
  const gone = await db
    .delete(socialConnections)
    .where(and(eq(socialConnections.instanceId, instanceId), eq(socialConnections.provider, provider)))
    .returning({ id: socialConnections.id })
  if (gone.length === 0) throw new UsherError('resource_not_found', `${provider} is not offered.`)
}
