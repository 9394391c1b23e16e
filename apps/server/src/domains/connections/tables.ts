import { boolean, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { instanceId, instant, json } from '../../database/columns.ts'

/** A social provider that an instance offers. Providers are data; this is what an instance says about one. */
export const socialConnections = pgTable(
  'social_connections',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    /** Key of a known provider (`google`), or `custom_…`. The strategy is `oauth_` and this. */
    provider: text('provider').notNull(),
    name: text('name').notNull(),
    enabled: boolean('enabled').notNull().default(true),
    /** One can sign in and up with it; otherwise it can only be linked. */
    authenticatable: boolean('authenticatable').notNull().default(true),
    blockEmailSubaddresses: boolean('block_email_subaddresses').notNull().default(false),
    /** Null: the shared demo credentials of development instances, which lead to the built-in provider. */
    clientId: text('client_id'),
    sealedClientSecret: text('sealed_client_secret'),
    scopes: json<string[]>('scopes').notNull().default([]),
    logoUrl: text('logo_url'),
    /** Of a custom provider: where it is and how its answers are read. */
    custom: json<CustomProvider | null>('custom'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [uniqueIndex('social_connections_provider').on(t.instanceId, t.provider)],
)

export type CustomProvider = {
  /** OpenID Connect issuer; its discovery document says the rest. */
  issuer?: string
  /** For plain OAuth 2, where there is no discovery. */
  authorizationUrl?: string
  tokenUrl?: string
  userInfoUrl?: string
  /** Which claims of the user info hold what, where they differ from OpenID Connect's. */
  claims?: Partial<
    Record<'sub' | 'email' | 'emailVerified' | 'firstName' | 'lastName' | 'username' | 'picture', string>
  >
  pkce?: boolean
}
