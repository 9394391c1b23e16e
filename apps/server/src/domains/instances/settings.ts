import { z } from 'zod'

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

const section = <T extends z.ZodRawShape>(shape: T) => z.strictObject(shape).prefault({} as never)

/** Everything an operator can set for an instance. Absent parts take their defaults; unknown names are refused. */
export const InstanceSettings = z.strictObject({
  applicationName: z.string().min(1).max(100).default('Usher'),
  /** Where the application lives: links in emails and redirects without a target lead there. */
  homeUrl: z.url({ protocol: /^https?$/ }).optional(),
  signInUrl: z.url({ protocol: /^https?$/ }).optional(),
  signUpUrl: z.url({ protocol: /^https?$/ }).optional(),
  /** Origins whose pages may call the browser API and open sockets. In development loopback origins need no entry. */
  allowedOrigins: z.array(z.url({ protocol: /^https?$/ })).default([]),
  /** Several people signed in on one browser at a time. */
  multiSession: z.boolean().default(false),
  signUp: section({
    mode: z.enum(['public', 'restricted']).default('public'),
    /** Whether first and last name are asked for. */
    names: z.enum(['off', 'optional', 'required']).default('optional'),
  }),
  password: section({
    minLength: z.number().int().min(8).max(72).default(8),
  }),
  session: section({
    /** Seconds until a session ends whatever happens. */
    maximumLifetime: z.number().int().min(300).max(31_536_000).default(604_800),
    /** Seconds without a sign of life until a session ends. */
    inactivityTimeout: z.number().int().min(300).max(31_536_000).default(604_800),
    /** Seconds that a session token lives. Short, because it outlives the revocation of its session. */
    tokenLifetime: z.number().int().min(30).max(3600).default(60),
  }),
  organizations: section({
    enabled: z.boolean().default(true),
    /** Members and open invitations together; 0 is unlimited. */
    maxAllowedMemberships: z.number().int().min(0).max(1_000_000).default(0),
    creatorRole: z.string().default('org:admin'),
    defaultRole: z.string().default('org:member'),
    adminDelete: z.boolean().default(true),
    forceSelection: z.boolean().default(false),
  }),
  sync: section({
    rules: z.array(SyncRule).max(100).default([]),
    /** Seconds that a token for a document lives. */
    tokenLifetime: z.number().int().min(10).max(300).default(120),
  }),
  /** Attempts per minute and IP address (IPv6: /64) at sign-in, sign-up and code entry. */
  rateLimits: section({
    attemptsPerMinute: z.number().int().min(1).max(100_000).default(60),
  }),
})
export type InstanceSettings = z.infer<typeof InstanceSettings>
