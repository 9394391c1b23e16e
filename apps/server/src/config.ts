import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { z } from 'zod'
import type { TextProvider } from './domains/messaging/text-transport.ts'
import { parseLimits, type SyncLimits } from './domains/sync/limits.ts'
import { type Keyring, parseKeyring } from './kernel/secrets.ts'

const optionalUrl = (protocol: RegExp) => z.url({ protocol }).optional()

/** The environment as the operator writes it. An empty value counts as absent. */
const Environment = z.object({
  /** The one port that serves everything. 0 takes a free one. */
  USHER_PORT: z.coerce.number().int().min(0).max(65535).default(3913),
  /** Address to listen on. Loopback unless told otherwise: a container sets 0.0.0.0. */
  USHER_LISTEN: z.string().default('127.0.0.1'),
  /** Where the embedded database and generated secrets live. */
  USHER_DATA_DIR: z.string().default('.usher'),
  /** PostgreSQL 15 or later. Without it Usher runs its own PostgreSQL in the data directory. */
  DATABASE_URL: optionalUrl(/^postgres(ql)?$/),
  REDIS_URL: optionalUrl(/^rediss?$/),
  /** The origin under which browsers reach this server. Every link in an email is built from it. */
  USHER_PUBLIC_URL: optionalUrl(/^https?$/),
  /** Seals what is stored and must be read back. See `parseKeyring`. Without it one is made in the data directory. */
  USHER_SECRET: z.string().optional(),
  /** Without it, emails are only kept and shown at `/inbox` (development instances). */
  SMTP_URL: optionalUrl(/^smtps?$/),
  /** Sender of emails, e.g. `Acme <no-reply@acme.example>`. */
  USHER_MAIL_FROM: z.string().default('Usher <no-reply@localhost>'),
  /** Base URL of a provider of text messages that speaks Twilio's API. */
  USHER_SMS_URL: optionalUrl(/^https?$/),
  /** Account at that provider (`AC…`). Without it, texts are only kept and shown at `/inbox` (development instances). */
  USHER_SMS_ACCOUNT: z
    .string()
    .regex(/^[\w-]{1,64}$/)
    .optional(),
  /** The name of an API key, where it is not the account itself that calls. */
  USHER_SMS_USER: z.string().optional(),
  USHER_SMS_SECRET: z.string().optional(),
  /** Sender of texts: a number in E.164, a name that the provider knows, or a messaging service (`MG…`). */
  USHER_SMS_FROM: z.string().max(64).optional(),
  /** Addresses of proxies whose forwarded headers are believed, separated by commas. */
  USHER_TRUSTED_PROXIES: z.string().default(''),
  /** What the server may fetch beside the public internet: hosts, `host:port` pairs or CIDR ranges, by commas. */
  USHER_EGRESS_ALLOW: z.string().default(''),
  /** Shared token of the stand-alone sync server (`usher sync-server start`). */
  USHER_SYNC_TOKEN: z.string().optional(),
  /** Limits of the realtime plane that differ from the defaults: `name=value,name=value`, names as in `SyncLimits`. */
  USHER_SYNC_LIMITS: z.string().default(''),
  /** Bearer token for `/metrics`. Without it only loopback callers that came through no proxy see them. */
  USHER_METRICS_TOKEN: z.string().min(16).optional(),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
})

export type Config = {
  port: number
  listen: string
  dataDir: string
  databaseUrl: string | undefined
  redisUrl: string | undefined
  /** Origin without a trailing slash; undefined: derived from the port once it is known. */
  publicUrl: string | undefined
  keyring: Keyring
  smtpUrl: string | undefined
  mailFrom: string
  textProvider: TextProvider | undefined
  trustedProxies: ReadonlySet<string>
  egressAllow: readonly string[]
  syncToken: string | undefined
  syncLimits: Partial<SyncLimits>
  metricsToken: string | undefined
  logLevel: string
}

export type Overrides = { port?: string | undefined; dataDir?: string | undefined; listen?: string | undefined }

/**
 * The only reader of the environment. Flags win over variables.
 *
 * @throws {Error} that names every problem at once, and never repeats a value (it could be a secret)
 */
export function loadConfig(env: Record<string, string | undefined>, overrides: Overrides = {}): Config {
  const given = Object.fromEntries(
    Object.entries(env).filter(([name, value]) => value !== '' || name === 'USHER_SYNC_TOKEN'),
  )
  const parsed = Environment.safeParse({
    ...given,
    ...(overrides.port !== undefined && { USHER_PORT: overrides.port }),
    ...(overrides.dataDir !== undefined && { USHER_DATA_DIR: overrides.dataDir }),
    ...(overrides.listen !== undefined && { USHER_LISTEN: overrides.listen }),
  })
  const problems = parsed.success ? [] : parsed.error.issues.map((i) => `${i.path.join('.')}: ${i.message}`)
  let keyring: Keyring | undefined
  const secret = given.USHER_SECRET
  if (secret) {
    try {
      keyring = parseKeyring(secret)
    } catch (error) {
      problems.push(`USHER_SECRET: ${(error as Error).message}`)
    }
  }
  let syncLimits: Partial<SyncLimits> = {}
  try {
    syncLimits = parseLimits(given.USHER_SYNC_LIMITS ?? '')
  } catch (error) {
    problems.push(`USHER_SYNC_LIMITS: ${(error as Error).message}`)
  }
  if (parsed.success && parsed.data.USHER_PUBLIC_URL) {
    const { pathname, search, hash } = new URL(parsed.data.USHER_PUBLIC_URL)
    if (pathname !== '/' || search || hash) problems.push('USHER_PUBLIC_URL: must be an origin, without path or query')
  }
  const textParts = ['USHER_SMS_ACCOUNT', 'USHER_SMS_SECRET', 'USHER_SMS_FROM'].filter((name) => !given[name])
  if (textParts.length > 0 && Object.keys(given).some((name) => name.startsWith('USHER_SMS_')))
    problems.push(`${textParts.join(', ')}: needed to send text messages`)
  if (!parsed.success || problems.length > 0) {
    throw new ConfigError(`Usher cannot start:\n${problems.map((p) => `  - ${p}`).join('\n')}`)
  }
  const e = parsed.data
  const dataDir = resolve(e.USHER_DATA_DIR)
  return {
    port: e.USHER_PORT,
    listen: e.USHER_LISTEN,
    dataDir,
    databaseUrl: e.DATABASE_URL,
    redisUrl: e.REDIS_URL,
    publicUrl: e.USHER_PUBLIC_URL && new URL(e.USHER_PUBLIC_URL).origin,
    keyring: keyring ?? localKeyring(dataDir),
    smtpUrl: e.SMTP_URL,
    mailFrom: e.USHER_MAIL_FROM,
    textProvider: textProviderOf(e),
    trustedProxies: new Set(list(e.USHER_TRUSTED_PROXIES)),
    egressAllow: list(e.USHER_EGRESS_ALLOW),
    syncToken: e.USHER_SYNC_TOKEN,
    syncLimits,
    metricsToken: e.USHER_METRICS_TOKEN,
    logLevel: e.LOG_LEVEL,
  }
}

function textProviderOf(e: z.infer<typeof Environment>): TextProvider | undefined {
  const { USHER_SMS_ACCOUNT: accountSid, USHER_SMS_SECRET: secret, USHER_SMS_FROM: from } = e
  if (!accountSid || !secret || !from) return undefined
  const url = (e.USHER_SMS_URL ?? 'https://api.twilio.com').replace(/\/+$/, '')
  return { url, accountSid, user: e.USHER_SMS_USER ?? accountSid, secret, from }
}

const list = (value: string) =>
  value
    .split(',')
    .map((entry) => entry.trim())
    .filter(Boolean)

/** A problem of the operator's making: printed without a stack. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/** The secret of a data directory, made at first use. No secret has a default. */
function localKeyring(dataDir: string): Keyring {
  const file = resolve(dataDir, 'secret')
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  if (!existsSync(file)) {
    try {
      // `wx`: of two processes that start at once, one writes and the other reads what it wrote.
      writeFileSync(file, `1:${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
  chmodSync(file, 0o600)
  return parseKeyring(readFileSync(file, 'utf8').trim())
}
