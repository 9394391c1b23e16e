import { z } from 'zod'
import { asymmetricAlgorithms } from '../../kernel/jwks.ts'
import { compileClaims } from '../../kernel/shortcodes.ts'
import { ChannelType } from './channel-types.ts'

/**
 * Who may read and write documents whose id begins with an owner. The first rule whose pattern fits decides;
 * `*` stands for any characters. A permission that is absent asks for membership alone.
 */
export const SyncRule = z.strictObject({
  /** Compared with the whole document id, e.g. `org_*` followed by `/tasks`. */
  pattern: z.string().min(1).max(255),
  read: z.string().optional(),
  write: z.string().optional(),
})
export type SyncRule = z.infer<typeof SyncRule>

/** The same for people of another issuer, by what their tokens say. The first rule that fits decides, without one nobody may. */
export const SyncIssuerRule = z.strictObject({
  /** As above; `{subject}` and `{organization}` stand for what the token says. */
  pattern: z.string().min(1).max(255),
  /** A permission that the token has to carry. Absent: none. */
  read: z.string().optional(),
  /** The same; `false`: nobody writes. */
  write: z.union([z.string(), z.literal(false)]).optional(),
})
export type SyncIssuerRule = z.infer<typeof SyncIssuerRule>

const claim = z.string().min(1).max(255)

/** Somebody else who signs tokens that open documents: an issuer with a set of public keys. */
export const SyncIssuer = z.strictObject({
  /** Stands before its people's ids, so that they are nobody else's: `name:subject`. */
  name: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/),
  /** Exactly the `iss` of its tokens. */
  issuer: z.url({ protocol: /^https?$/ }).max(512),
  /** Where its keys are. Absent: where its discovery document says. */
  jwksUrl: z
    .url({ protocol: /^https?$/ })
    .max(512)
    .optional(),
  /** The `aud` of tokens that are meant for this. */
  audience: z.string().min(1).max(512),
  /** Empty: every one that a public key verifies. */
  algorithms: z.array(z.enum(asymmetricAlgorithms)).default([]),
  /** The `typ` of its tokens, where it has to be one: `at+jwt`. Absent: `JWT`, `at+jwt` or none. */
  type: z.string().min(1).max(64).optional(),
  /** What its claims are called. A name may be a path: `o.id`. */
  claims: z
    .strictObject({
      subject: claim.default('sub'),
      organization: claim.default('org_id'),
      permissions: claim.default('permissions'),
      /** A claim that names the document, or with `*` at its end many; where it stands it decides in the rules' place. */
      document: claim.optional(),
      /** With it: `read` or `write`. */
      access: claim.default('access'),
    })
    .prefault({}),
  rules: z.array(SyncIssuerRule).max(100).default([]),
})
export type SyncIssuer = z.infer<typeof SyncIssuer>

/** How people with an address of an organization's domain come to it. */
export const EnrollmentMode = z.enum(['manual_invitation', 'automatic_invitation', 'automatic_suggestion'])
export type EnrollmentMode = z.infer<typeof EnrollmentMode>

const section = <T extends z.ZodRawShape>(shape: T) => z.strictObject(shape).prefault({} as never)

/** They are in every session token, which has to fit into a cookie. */
export const maxSessionClaimsBytes = 2048

function refuseBadClaims(claims: Record<string, unknown>, refinement: z.RefinementCtx) {
  try {
    compileClaims(claims, { maxBytes: maxSessionClaimsBytes })
  } catch (error) {
    refinement.addIssue({ code: 'custom', message: (error as Error).message })
  }
}

const use = z.enum(['off', 'optional', 'required'])
const webUrl = z.url({ protocol: /^https?$/ })

/** Everything an operator can set for an instance. Absent parts take their defaults; unknown names are refused. */
export const InstanceSettings = z.strictObject({
  applicationName: z.string().min(1).max(100).default('Usher'),
  /** Where the application lives: links in emails and redirects without a target lead there. */
  homeUrl: webUrl.optional(),
  signInUrl: webUrl.optional(),
  signUpUrl: webUrl.optional(),
  /** Shown by the components and in emails. */
  logoUrl: webUrl.optional(),
  privacyPolicyUrl: webUrl.optional(),
  termsUrl: webUrl.optional(),
  supportEmail: z.email().optional(),
  /** Origins whose pages may call the browser API and open sockets. In development loopback origins need no entry. */
  allowedOrigins: z.array(webUrl).default([]),
  /** Several people signed in on one browser at a time. */
  multiSession: z.boolean().default(false),
  signUp: section({
    /** `restricted`: with an invitation or by the allow-list only. `waitlist`: as restricted, and one can ask. */
    mode: z.enum(['public', 'restricted', 'waitlist']).default('public'),
    /** Whether first and last name are asked for. */
    names: use.default('optional'),
    /** Nobody gets an account without accepting the terms. */
    legalConsent: z.boolean().default(false),
  }),
  emailAddress: section({
    use: use.default('required'),
    /** Whether it is an identifier that one can sign in with. */
    signIn: z.boolean().default(true),
    verifyAtSignUp: z.boolean().default(true),
    /** Six-digit codes by email, as a way in and to prove an address. */
    codes: z.boolean().default(true),
    /** Links by email, for the same. */
    links: z.boolean().default(false),
    /** A link opened in another browser than the one that asked is refused. */
    linkRequiresSameClient: z.boolean().default(false),
  }),
  phoneNumber: section({
    use: use.default('off'),
    signIn: z.boolean().default(true),
    verifyAtSignUp: z.boolean().default(true),
    /** ISO 3166 codes of the countries that text messages are sent to. Empty: all but those known for fraud. */
    countries: z.array(z.string().regex(/^[A-Z]{2}$/)).default([]),
    /** Text messages in a day, over all numbers; then the instance sends no more until the next day. */
    dailyLimit: z.number().int().min(0).max(10_000_000).default(5000),
  }),
  username: section({
    use: use.default('off'),
    signIn: z.boolean().default(true),
    minLength: z.number().int().min(4).max(64).default(4),
    maxLength: z.number().int().min(4).max(64).default(64),
    /** Also `.` and what else is not a letter, digit, `_` or `-`. */
    allowExtendedCharacters: z.boolean().default(false),
    allowNumeric: z.boolean().default(false),
  }),
  password: section({
    use: use.default('required'),
    minLength: z.number().int().min(8).max(72).default(8),
    requireUppercase: z.boolean().default(false),
    requireLowercase: z.boolean().default(false),
    requireNumber: z.boolean().default(false),
    requireSpecialCharacter: z.boolean().default(false),
    /** 0: strength is not asked for; 1 to 4: the least zxcvbn score that is accepted. */
    minStrength: z.number().int().min(0).max(4).default(0),
    /** New passwords that are on the offline list of leaked ones are refused. */
    refuseBreached: z.boolean().default(true),
    /** Also at sign-in: the person has to choose a new one by a reset. */
    refuseBreachedAtSignIn: z.boolean().default(false),
  }),
  passkeys: section({
    enabled: z.boolean().default(false),
    autofill: z.boolean().default(true),
    signInButton: z.boolean().default(true),
    /** A verified passkey counts for both factors. */
    satisfiesSecondFactor: z.boolean().default(true),
  }),
  secondFactors: section({
    totp: z.boolean().default(false),
    phoneCode: z.boolean().default(false),
    backupCodes: z.boolean().default(false),
    /** Whoever has none must set one up before their session counts. */
    required: z.boolean().default(false),
  }),
  reverification: section({
    /** Sensitive changes ask for a factor again when the last one is older than this. */
    enabled: z.boolean().default(true),
    afterMinutes: z.number().int().min(1).max(1440).default(10),
  }),
  /** A right password on an unknown device also needs an emailed code. Absent: in production. */
  clientTrust: z.boolean().optional(),
  lockout: section({
    enabled: z.boolean().default(true),
    /** Failed attempts at one account's factors until it is locked. */
    maxAttempts: z.number().int().min(5).max(1000).default(100),
    /** Minutes until it unlocks by itself; 0: only by an operator. */
    minutes: z.number().int().min(0).max(525_600).default(60),
  }),
  /** Unknown identifiers are answered as known ones are. */
  enumerationProtection: z.boolean().default(false),
  restrictions: section({
    allowlist: z.boolean().default(false),
    blocklist: z.boolean().default(false),
    blockEmailSubaddresses: z.boolean().default(false),
    blockDisposableEmailDomains: z.boolean().default(false),
    ignoreDotsForGmail: z.boolean().default(false),
  }),
  /** A challenge at sign-up; tokens from `POST /v1/testing_tokens` pass it. */
  botCheck: section({
    enabled: z.boolean().default(false),
    widget: z.enum(['smart', 'invisible']).default('smart'),
  }),
  users: section({
    deleteSelf: z.boolean().default(true),
  }),
  session: section({
    /** Seconds until a session ends whatever happens. */
    maximumLifetime: z.number().int().min(300).max(31_536_000).default(604_800),
    /** Seconds without a sign of life until a session ends. */
    inactivityTimeout: z.number().int().min(300).max(31_536_000).default(604_800),
    /** Seconds that a session token lives. Short, because it outlives the revocation of its session. */
    tokenLifetime: z.number().int().min(30).max(3600).default(60),
    /** Claims of the application's own in every session token, with shortcodes such as `{{user.public_metadata}}`. */
    claims: z.record(z.string(), z.unknown()).superRefine(refuseBadClaims).default({}),
  }),
  messages: section({
    /** BCP 47 tag of the language of emails and text messages for people who have not said theirs. */
    locale: z
      .string()
      .regex(/^[a-z]{2}(-[A-Z]{2})?$/)
      .default('en-US'),
  }),
  organizations: section({
    enabled: z.boolean().default(true),
    /** Members and open invitations together; 0 is unlimited. */
    maxAllowedMemberships: z.number().int().min(0).max(1_000_000).default(0),
    creatorRole: z.string().default('org:admin'),
    defaultRole: z.string().default('org:member'),
    adminDelete: z.boolean().default(true),
    /** Nobody works without an organization: there are no personal accounts. */
    forceSelection: z.boolean().default(false),
    /** People may create organizations themselves; each person may still be told otherwise. */
    creation: z.boolean().default(true),
    /** Organizations that one person may create, unless said otherwise of them; 0 is unlimited. */
    creationLimit: z.number().int().min(0).max(1_000_000).default(0),
    /** The form for a new organization begins with a name made from the domain of the person's address. */
    creationDefaults: z.boolean().default(false),
    slugs: z.boolean().default(true),
    /** Organizations may have email domains whose people join by themselves. */
    domains: z.boolean().default(false),
    /** How people of a domain may join; `manual_invitation`: as anybody. */
    enrollmentModes: z.array(EnrollmentMode).default([...EnrollmentMode.options]),
  }),
  apiKeys: section({
    /** People may make keys of their own in the browser. The application's server may always make them. */
    users: z.boolean().default(false),
    /** The same for organizations, by whoever has the permission. */
    organizations: z.boolean().default(false),
    /** Keys that are good at a time, for one person or organization. */
    maxPerSubject: z.number().int().min(1).max(10_000).default(100),
    /** New keys are kept sealed as well, so that the application's server can ask for them again. */
    readableSecrets: z.boolean().default(false),
  }),
  audit: section({
    /** Days that entries of the audit logs are kept; 0: for good. */
    retentionDays: z.number().int().min(0).max(36_500).default(365),
  }),
  sync: section({
    rules: z.array(SyncRule).max(100).default([]),
    /** Seconds that a token for a document lives. */
    tokenLifetime: z.number().int().min(10).max(300).default(120),
    /** Whether a token may stand in the URL, where proxies log it: as often as its client comes back, or once. */
    queryTokens: z.enum(['allow', 'once', 'refuse']).default('allow'),
    /** Clients that cannot renew their token stay until their right ends, not until the token does. */
    keepStockClients: z.boolean().default(false),
    /** Whose tokens open documents beside the instance's own. */
    issuers: z
      .array(SyncIssuer)
      .max(20)
      .refine((all) => new Set(all.map((one) => one.issuer)).size === all.length, { error: 'each issuer once' })
      .refine((all) => new Set(all.map((one) => one.name)).size === all.length, { error: 'each name once' })
      .default([]),
  }),
  channels: section({
    /** The first whose pattern fits a channel's name decides; those that are built in come after them. */
    types: z.array(ChannelType).max(100).default([]),
  }),
  events: section({
    /** Days for which what happened can be read again and replayed. */
    retentionDays: z.number().int().min(7).max(3650).default(30),
  }),
  webhooks: section({
    /** Who is told when an endpoint is disabled. Absent: `supportEmail`. */
    noticeEmail: z.email().optional(),
    /** An endpoint that accepts nothing for so long gets no more deliveries. */
    disableAfterHours: z.number().int().min(1).max(720).default(120),
    /** Days for which it can be seen what was delivered. */
    logDays: z.number().int().min(1).max(365).default(14),
  }),
  rateLimits: section({
    /** Attempts per minute and IP address (IPv6: /64) at sign-in, sign-up and code entry. */
    attemptsPerMinute: z.number().int().min(1).max(100_000).default(60),
    /** Attempts per minute in the whole instance; beyond it something is wrong. */
    instanceAttemptsPerMinute: z.number().int().min(1).max(10_000_000).default(20_000),
  }),
})
export type InstanceSettings = z.infer<typeof InstanceSettings>

/** The settings of an instance: what is stored, and defaults for the rest. */
export function completeSettings(instanceName: string, stored: Partial<InstanceSettings>): InstanceSettings {
  return InstanceSettings.parse({ ...defaultNames(instanceName), ...stored })
}

/** An application that has not said its name goes by that of its instance. */
export const defaultNames = (instanceName: string) => ({
  applicationName: instanceName === 'development' ? 'Usher' : instanceName,
})
