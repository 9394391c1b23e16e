import { z } from 'zod'

/** What is asked of a person beside what the pattern says. All that is named is needed. */
export const ChannelRule = z.strictObject({
  /** With or without `org:`, as everywhere; `{feature}` stands for that part of the channel's name. */
  permission: z.string().min(1).max(255).optional(),
  role: z.string().min(1).max(255).optional(),
  feature: z.string().min(1).max(255).optional(),
})
export type ChannelRule = z.infer<typeof ChannelRule>

const part = /^(\{org_id\}|\{user_id\}|\{feature\}|\*|[A-Za-z0-9._~-]+)$/

function isChannelPattern(pattern: string): boolean {
  const parts = pattern.split(':')
  const once = ['{org_id}', '{user_id}', '{feature}'].every((name) => parts.filter((p) => p === name).length <= 1)
  return once && parts.length >= 2 && parts.length <= 10 && parts.every((p) => part.test(p))
}

/** Refuses what could not be checked later, when it would refuse every message. */
function refuseBadSchema(schema: Record<string, unknown>, refinement: z.RefinementCtx) {
  try {
    z.fromJSONSchema(schema)
  } catch (error) {
    refinement.addIssue({ code: 'custom', message: `this JSON schema cannot be used: ${(error as Error).message}` })
  }
}

const EventName = z.string().regex(/^[A-Za-z0-9._:-]{1,64}$/)
const EventSchema = z.record(z.string(), z.unknown()).superRefine(refuseBadSchema)

/** What channels of one kind are called, who may do what in them, what is said in them and what is kept of it. */
export const ChannelType = z.strictObject({
  /**
   * Parts between colons: text, `*` (any part; at the end the rest of the name), `{org_id}` (an organization that the
   * person belongs to), `{user_id}` (the person), `{feature}` (any part, for permissions to name).
   */
  pattern: z
    .string()
    .max(200)
    .refine(isChannelPattern, 'parts between colons: text, *, {org_id}, {user_id}, {feature}'),
  /** Beside what the pattern demands. Nothing: whoever the pattern lets in. */
  subscribe: ChannelRule.default({}),
  /** `server`: only the application's server, by its secret key. */
  publish: z.union([z.literal('server'), ChannelRule]).default('server'),
  /** Whether subscribers may show that they are there. */
  presence: z.boolean().default(true),
  /** `none`: whoever is not there misses it. `memory`: kept for some minutes. `durable`: kept in the database. */
  history: z.enum(['none', 'memory', 'durable']).default('memory'),
  /** Days for which messages of a durable channel are kept; 0: for good. */
  retentionDays: z.number().int().min(0).max(3650).default(30),
  /** Names of events with the JSON schema of their data. Where there are any, no others are accepted. */
  events: z.record(EventName, EventSchema).optional(),
})
export type ChannelType = z.infer<typeof ChannelType>
