import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { z } from 'zod'
import type { ChallengeProvider } from './domains/bot-check/index.ts'
import { type HashCost, parseHashCost } from './domains/credentials/hash-cost.ts'
import type { Bucket } from './domains/images/object-storage.ts'
import type { TextProvider } from './domains/messaging/text-transport.ts'
import { parseLimits, type SyncLimits } from './domains/sync/limits.ts'
import { ConfigError } from './kernel/config-error.ts'
import { type Keyring, parseKeyring } from './kernel/secrets.ts'

const optionalUrl = (protocol: RegExp) => z.url({ protocol }).optional()

const portRange = 'has to be a number from 0 to 65535 (also as --port)'
const port = z.coerce.number(portRange).int(portRange).min(0, portRange).max(65535, portRange)

/** The environment as the operator writes it. An empty value counts as absent. */
const Environment = z.object({
  /** The one port that serves everything. 0 takes a free one. */
  USHER_PORT: port.default(3913),
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
  /** Site key and secret of the bot check, at a provider that speaks Turnstile's API. */
  USHER_CAPTCHA_SITE_KEY: z.string().optional(),
  USHER_CAPTCHA_SECRET: z.string().optional(),
  /** The same for the invisible widget, where it has keys of its own. */
  USHER_CAPTCHA_INVISIBLE_SITE_KEY: z.string().optional(),
  USHER_CAPTCHA_INVISIBLE_SECRET: z.string().optional(),
  /** Where that provider verifies answers. */
  USHER_CAPTCHA_URL: optionalUrl(/^https?$/),
  /** Bucket of an S3-compatible storage for profile images. Without it they are kept in the database. */
  USHER_S3_BUCKET: z.string().max(255).optional(),
  USHER_S3_ENDPOINT: optionalUrl(/^https?$/),
  USHER_S3_REGION: z.string().max(64).default('us-east-1'),
  USHER_S3_ACCESS_KEY: z.string().optional(),
  USHER_S3_SECRET_KEY: z.string().optional(),
  /** Addresses of proxies whose forwarded headers are believed, separated by commas. */
  USHER_TRUSTED_PROXIES: z.string().default(''),
  /** A list of leaked passwords beside the one that is shipped: sorted lines of SHA-1, as Have I Been Pwned has them. */
  USHER_BREACHED_PASSWORDS: z.string().optional(),
  /** What a hash of a password costs: `m=65536,t=3` is 64 MiB and three passes of Argon2id, see `HashCost`. */
  USHER_PASSWORD_COST: z.string().default(''),
  /** What the server may fetch beside the public internet: hosts, `host:port` pairs or CIDR ranges, by commas. */
  USHER_EGRESS_ALLOW: z.string().default(''),
  /** Resolvers for records that prove a domain: addresses, `address:port`, by commas. Without it the system's. */
  USHER_DNS_SERVERS: z.string().default(''),
  /** Shared token of the stand-alone sync server (`usher sync-server start`). */
  USHER_SYNC_TOKEN: z.string().optional(),
  /** Limits of the realtime plane that differ from the defaults: `name=value,name=value`, names as in `SyncLimits`. */
  USHER_SYNC_LIMITS: z.string().default(''),
  /** Bearer token for `/metrics`. Without it only loopback callers that came through no proxy see them. */
  USHER_METRICS_TOKEN: z.string().min(16).optional(),
  /** Directory to which the routes that are called are written down: for tests, see `faces/route-log.ts`. */
  USHER_ROUTE_LOG: z.string().optional(),
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
  imageBucket: Bucket | undefined
  challengeProvider: ChallengeProvider | undefined
  trustedProxies: ReadonlySet<string>
  egressAllow: readonly string[]
  dnsServers: readonly string[]
  breachedPasswords: string | undefined
  passwordCost: HashCost
  syncToken: string | undefined
  syncLimits: Partial<SyncLimits>
  metricsToken: string | undefined
  routeLog: string | undefined
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
  const readWith = <Value>(parse: (text: string) => Value, name: keyof z.infer<typeof Environment>) => {
    try {
      return parse(given[name] ?? '')
    } catch (error) {
      problems.push(`${name}: ${(error as Error).message}`)
      return undefined
    }
  }
  const secret = given.USHER_SECRET
  const keyring = secret ? readWith(parseKeyring, 'USHER_SECRET') : undefined
  const syncLimits = readWith(parseLimits, 'USHER_SYNC_LIMITS')
  const passwordCost = readWith(parseHashCost, 'USHER_PASSWORD_COST')
  if (parsed.success && parsed.data.USHER_PUBLIC_URL) {
    const { pathname, search, hash } = new URL(parsed.data.USHER_PUBLIC_URL)
    if (pathname !== '/' || search || hash) problems.push('USHER_PUBLIC_URL: must be an origin, without path or query')
  }
  // One made in a data directory would be another one on the next machine, and nobody would believe anybody.
  if (given.REDIS_URL && given.DATABASE_URL && !secret)
    problems.push('USHER_SECRET: needed with REDIS_URL, the same for all nodes: they sign what they tell each other')
  for (const [prefix, names, purpose] of togetherOnly) {
    const missing = names.filter((name) => !given[name])
    if (missing.length > 0 && Object.keys(given).some((name) => name.startsWith(prefix)))
      problems.push(`${missing.join(', ')}: needed to ${purpose}`)
  }
  for (const [one, other] of captchaPairs)
    if (Boolean(given[one]) !== Boolean(given[other])) problems.push(`${one}, ${other}: both are needed, or none`)
  for (const server of list(given.USHER_DNS_SERVERS ?? ''))
    if (!isDnsServer(server)) problems.push('USHER_DNS_SERVERS: addresses, each with a port or without, by commas')
  const unused = ['USHER_CAPTCHA_URL', 'USHER_CAPTCHA_INVISIBLE_SITE_KEY'].filter((name) => given[name])
  if (unused.length > 0 && !given.USHER_CAPTCHA_SITE_KEY)
    problems.push('USHER_CAPTCHA_SITE_KEY: needed for the bot check')
  if (!parsed.success || !syncLimits || !passwordCost || problems.length > 0) {
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
    imageBucket: bucketOf(e),
    challengeProvider: challengeProviderOf(e),
    trustedProxies: new Set(list(e.USHER_TRUSTED_PROXIES)),
    breachedPasswords: e.USHER_BREACHED_PASSWORDS,
    passwordCost,
    egressAllow: list(e.USHER_EGRESS_ALLOW),
    dnsServers: list(e.USHER_DNS_SERVERS),
    syncToken: e.USHER_SYNC_TOKEN,
    syncLimits,
    metricsToken: e.USHER_METRICS_TOKEN,
    routeLog: e.USHER_ROUTE_LOG,
    logLevel: e.LOG_LEVEL,
  }
}

/** What makes sense only as a whole. */
const togetherOnly: [prefix: string, names: string[], purpose: string][] = [
  ['USHER_SMS_', ['USHER_SMS_ACCOUNT', 'USHER_SMS_SECRET', 'USHER_SMS_FROM'], 'send text messages'],
  [
    'USHER_S3_',
    ['USHER_S3_BUCKET', 'USHER_S3_ENDPOINT', 'USHER_S3_ACCESS_KEY', 'USHER_S3_SECRET_KEY'],
    'keep images in a bucket',
  ],
]

function bucketOf(e: z.infer<typeof Environment>): Bucket | undefined {
  const { USHER_S3_BUCKET: bucket, USHER_S3_ENDPOINT: endpoint } = e
  const { USHER_S3_ACCESS_KEY: accessKeyId, USHER_S3_SECRET_KEY: secretAccessKey } = e
  if (!bucket || !endpoint || !accessKeyId || !secretAccessKey) return undefined
  return { bucket, endpoint, region: e.USHER_S3_REGION, accessKeyId, secretAccessKey }
}

function textProviderOf(e: z.infer<typeof Environment>): TextProvider | undefined {
  const { USHER_SMS_ACCOUNT: accountSid, USHER_SMS_SECRET: secret, USHER_SMS_FROM: from } = e
  if (!accountSid || !secret || !from) return undefined
  const url = (e.USHER_SMS_URL ?? 'https://api.twilio.com').replace(/\/+$/, '')
  return { url, accountSid, user: e.USHER_SMS_USER ?? accountSid, secret, from }
}

/** `192.0.2.1`, `192.0.2.1:53`, `2001:db8::1` or `[2001:db8::1]:53`. */
function isDnsServer(value: string): boolean {
  const [, bracketed, plain] = value.match(/^\[(.+)\](?::\d{1,5})?$|^(.+?)$/) ?? []
  return isIP(bracketed ?? plain ?? '') !== 0 || isIP((plain ?? '').replace(/:\d{1,5}$/, '')) === 4
}

const captchaPairs = [
  ['USHER_CAPTCHA_SITE_KEY', 'USHER_CAPTCHA_SECRET'],
  ['USHER_CAPTCHA_INVISIBLE_SITE_KEY', 'USHER_CAPTCHA_INVISIBLE_SECRET'],
] as const

function challengeProviderOf(e: z.infer<typeof Environment>): ChallengeProvider | undefined {
  const { USHER_CAPTCHA_SITE_KEY: siteKey, USHER_CAPTCHA_SECRET: secret } = e
  const { USHER_CAPTCHA_INVISIBLE_SITE_KEY: invisibleSiteKey, USHER_CAPTCHA_INVISIBLE_SECRET: invisibleSecret } = e
  if (!siteKey || !secret) return undefined
  const smart = { siteKey, secret }
  const invisible = invisibleSiteKey && invisibleSecret ? { siteKey: invisibleSiteKey, secret: invisibleSecret } : smart
  return { url: e.USHER_CAPTCHA_URL ?? 'https://challenges.cloudflare.com/turnstile/v0/siteverify', smart, invisible }
}

const list = (value: string) =>
  value
    .split(',')
    .map((entry) => entry.trim())
    .filter(Boolean)

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
