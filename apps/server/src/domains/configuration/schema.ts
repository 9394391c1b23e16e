import { z } from 'zod'
import { UsherError } from '../../kernel/errors.ts'
import { defaultNames, InstanceSettings } from '../instances/index.ts'
import { signingAlgorithms } from '../sessions/index.ts'
import { type EnvReference, resolveReferences, Secret } from './references.ts'

const secret = z
  .custom<EnvReference>((value) => value instanceof Secret, {
    message: "write env('NAME') here: a secret does not stand in the file",
  })
  .transform((value) => value as unknown as Secret)

const Description = z.string().max(1000).default('')
const DisplayName = z.string().min(1).max(256)

const Permission = z.strictObject({ name: DisplayName, description: Description })

const Role = z.strictObject({
  name: DisplayName,
  description: Description,
  /** Keys of permissions, those of the system (`org:sys_…`) too. */
  permissions: z.array(z.string()).default([]),
})

const webUrl = z.url({ protocol: /^https?$/ })

const Feature = z.strictObject({
  name: DisplayName,
  description: Description,
  /** Switched off, nobody has it. */
  enabled: z.boolean().default(true),
  /** Who has it without being given it. */
  defaultFor: z.enum(['nobody', 'organizations', 'users', 'everyone']).default('nobody'),
  avatarUrl: webUrl.optional(),
})

const RoleSet = z.strictObject({
  name: DisplayName,
  description: Description,
  /** Keys of roles. */
  roles: z.array(z.string()).min(1),
  /** What new members get. Of the set that every organization has at first, the settings say it. */
  defaultRole: z.string().optional(),
  /** What the maker of an organization gets. */
  creatorRole: z.string().optional(),
})

const JwtTemplate = z.strictObject({
  /** Claims with shortcodes such as `{{user.id}}`. */
  claims: z.record(z.string(), z.unknown()),
  /** Seconds that a token lives. */
  lifetime: z.number().default(60),
  /** Seconds by which `nbf` lies before `iat`. */
  allowedClockSkew: z.number().default(5),
  signingAlgorithm: z.enum(signingAlgorithms).default('RS256'),
  /** A key of the application's own; without it the instance's key signs, in RS256. */
  signingKey: secret.optional(),
})

const CustomProvider = z.strictObject({
  /** OpenID Connect issuer; its discovery document says the rest. */
  issuer: webUrl.optional(),
  authorizationUrl: webUrl.optional(),
  tokenUrl: webUrl.optional(),
  userInfoUrl: webUrl.optional(),
  /** Which claims of the user info hold what, where they differ from OpenID Connect's. */
  claims: z
    .strictObject({
      sub: z.string().optional(),
      email: z.string().optional(),
      emailVerified: z.string().optional(),
      firstName: z.string().optional(),
      lastName: z.string().optional(),
      username: z.string().optional(),
      picture: z.string().optional(),
    })
    .optional(),
  pkce: z.boolean().optional(),
})

const Connection = z.strictObject({
  /** Shown on the button; a known provider has a name of its own. */
  name: DisplayName.optional(),
  enabled: z.boolean().default(true),
  /** One can sign in and up with it; otherwise it can only be linked. */
  authenticatable: z.boolean().default(true),
  blockEmailSubaddresses: z.boolean().default(false),
  /** Without it, a development instance leads to the provider that is built in. */
  clientId: z.string().min(1).optional(),
  clientSecret: secret.optional(),
  /** Asked for beside those that signing in needs. */
  scopes: z.array(z.string()).default([]),
  logoUrl: webUrl.optional(),
  /** Of a provider of your own (`custom_…`): where it is. */
  custom: CustomProvider.optional(),
})

const Webhook = z.strictObject({
  description: Description,
  /** `user.created`, or `user.*`. Without it, of everything. */
  eventTypes: z.array(z.string()).optional(),
  enabled: z.boolean().default(true),
  /** `whsec_…`. Without it, Usher makes one. */
  secret: secret.optional(),
})

/** By URL, in the one spelling that URLs have. `#2` is the second endpoint of a URL. */
const Webhooks = z
  .record(
    z.string().refine((key) => URL.canParse(key) && /^https?:/.test(key), 'an endpoint goes by its URL, https://…'),
    Webhook,
  )
  .transform((all) => Object.fromEntries(Object.entries(all).map(([url, webhook]) => [new URL(url).href, webhook])))

const itemSchemas: Record<string, z.ZodObject> = {
  permissions: Permission,
  features: Feature,
  roles: Role,
  roleSets: RoleSet,
  jwtTemplates: JwtTemplate,
  connections: Connection,
  webhooks: Webhook,
}

/** What an entry of a part is without a word about it. */
export function itemDefaults(part: string): Record<string, unknown> {
  const fields = Object.entries(itemSchemas[part]?.shape ?? {})
  return Object.fromEntries(fields.map(([name, field]) => [name, z.safeParse(field, undefined).data]))
}

/** All that a file can say about an instance. Unknown names are refused. */
export const Configuration = z.strictObject({
  /** Settings of the instance; what is not named has its default. */
  settings: InstanceSettings.optional(),
  /** Permissions of the application's own by key: `org:tasks:write`. */
  permissions: z.record(z.string(), Permission).optional(),
  /** Features by slug: `reports`, to which permissions such as `org:reports:read` belong. */
  features: z.record(z.string(), Feature).optional(),
  /** Roles by key: `org:admin`. The two built-in ones stay as they are where the file does not name them. */
  roles: z.record(z.string(), Role).optional(),
  /** Which roles organizations choose from, by key: `role_set:default`. */
  roleSets: z.record(z.string(), RoleSet).optional(),
  /** JWT templates by name. */
  jwtTemplates: z.record(z.string(), JwtTemplate).optional(),
  /** Social providers by key: `google`, or `custom_…` for one of your own. */
  connections: z.record(z.string(), Connection).optional(),
  /** Endpoints of webhooks by URL. */
  webhooks: Webhooks.optional(),
})
export type ConfigurationInput = z.input<typeof Configuration>
export type Configuration = z.output<typeof Configuration>

/**
 * Reads what a file says.
 *
 * @param environment where `env('NAME')` looks
 * @param of the instance that it is read for
 * @throws {UsherError} `form_param_value_invalid` with a line for each problem, each with the path of the key
 */
export function parseConfiguration(
  file: unknown,
  environment: Record<string, string | undefined>,
  of: { instanceName: string },
): Configuration {
  const { value, problems } = resolveReferences(file, environment)
  const parsed = Configuration.safeParse(withDefaultNames(value, of.instanceName))
  if (!parsed.success) problems.push(...parsed.error.issues.flatMap(describeIssue))
  if (parsed.data && problems.length === 0) return parsed.data
  throw new UsherError('form_param_value_invalid', problems.map((problem) => `  - ${problem}`).join('\n'))
}

function withDefaultNames(value: unknown, instanceName: string): unknown {
  const settings = (value as { settings?: unknown } | null)?.settings
  if (typeof settings !== 'object' || settings === null) return value
  return { ...(value as object), settings: { ...defaultNames(instanceName), ...settings } }
}

function describeIssue(issue: z.core.$ZodIssue): string[] {
  const path = issue.path.join('.')
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => `${path === '' ? key : `${path}.${key}`}: there is no such key`)
  const message = issue.code === 'invalid_key' ? issue.issues[0]?.message : issue.message
  return [`${path || 'the file'}: ${message}`]
}
