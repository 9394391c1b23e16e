import type { Config } from '../../config.ts'
import { isLocal } from '../../domains/configuration/index.ts'
import type { Instance } from '../../domains/instances/index.ts'
import { advice, type Finding, finding } from './finding.ts'

/** What can be said without asking the network. `development`: the instance that the application was made with. */
export function settingsFindings(
  config: Config,
  instance: Instance,
  development: Instance | undefined,
  env: Record<string, string | undefined>,
): Finding[] {
  return [
    ...secretFindings(config, env),
    ...placeFindings(instance),
    ...proxyFindings(config),
    ...deliveryFindings(config, instance),
    ...providerFindings(instance, development),
    ...challengeFindings(config, instance),
    ...databaseFindings(config),
  ]
}

function secretFindings({ dataDir, databaseUrl }: Config, env: Record<string, string | undefined>): Finding[] {
  const secret = env.USHER_SECRET
  if (!secret) {
    const why = databaseUrl
      ? `the database cannot be read without ${dataDir}/secret, which no other server has`
      : `it stands beside the data that it seals, in ${dataDir}/secret`
    return [
      finding(
        'USHER_SECRET',
        false,
        '',
        `is not set: ${why}. Make one with: openssl rand -base64 32. To keep what is
sealed already, put the old one behind it: USHER_SECRET=2:NEW,1:OLD`.replace('\n', ' '),
      ),
    ]
  }
  const weak = secret.split(',').some((entry) => isGuessable(entry.trim().replace(/^[a-z0-9]{1,16}:/, '')))
  return [
    finding(
      'USHER_SECRET',
      !weak,
      'is set and random',
      'can be guessed: it repeats itself or holds a word. Make one with: openssl rand -base64 32',
    ),
  ]
}

/** Of random base64 or hex neither is true in practice; of what people type or copy from an example mostly one is. */
export function isGuessable(secret: string): boolean {
  return new Set(secret).size < 12 || /secret|passw|change|example|usher|default|qwert|abcdefgh|12345678/i.test(secret)
}

function placeFindings({ environment, host, settings, name }: Instance): Finding[] {
  const { homeUrl, signInUrl, signUpUrl, allowedOrigins } = settings
  const urls = { homeUrl, signInUrl, signUpUrl }
  const bad = Object.entries(urls).flatMap(([key, url]) => (url && !isPublicHttps(url) ? [`settings.${key}`] : []))
  const badOrigins = allowedOrigins.filter((origin) => !isPublicHttps(origin))
  const reachable = [...allowedOrigins, ...(homeUrl ? [new URL(homeUrl).origin] : [])]
  return [
    finding(
      'instance',
      environment === 'production',
      `"${name}" is a production instance`,
      `"${name}" is a development instance: its codes can be read in /inbox. Make one with: usher promote --host HOST`,
    ),
    finding(
      'host',
      !isLocal(`https://${host}`),
      `${host} is a name of its own`,
      `${host} leads every browser to its own machine. Make the instance with the name that browsers will use: --host`,
    ),
    finding(
      'settings.homeUrl',
      homeUrl !== undefined,
      'is set',
      'is not set: links in emails do not know where the application is',
    ),
    finding(
      'settings.allowedOrigins',
      reachable.length > 0,
      `pages of ${reachable.length} origins may call`,
      'is empty: no page may call this instance. Name the origin of the application, e.g. https://app.acme.example',
    ),
    finding(
      'HTTPS',
      bad.length + badOrigins.length === 0,
      'every URL of the application has it',
      `${[...bad, ...badOrigins.map((origin) => `settings.allowedOrigins (${origin})`)].join(', ')}: must begin with https:// and must not lead to this machine`,
    ),
  ]
}

const isPublicHttps = (url: string) => url.startsWith('https://') && !isLocal(url)

function proxyFindings({ trustedProxies, listen }: Config): Finding[] {
  const behind = listen === '127.0.0.1' || listen === '::1' || listen === 'localhost'
  return [
    finding(
      'USHER_TRUSTED_PROXIES',
      trustedProxies.size > 0,
      `believes ${[...trustedProxies].join(', ')}`,
      `is not set: whoever comes through the proxy that ends TLS seems to come from the proxy's address, and all share one rate limit.${
        behind ? ' With a proxy on this machine: USHER_TRUSTED_PROXIES=127.0.0.1' : ''
      }`,
    ),
  ]
}

function deliveryFindings(config: Config, { settings }: Instance): Finding[] {
  const { emailAddress, phoneNumber, secondFactors } = settings
  const sender = config.mailFrom.match(/@([^\s>]+)>?$/)?.[1] ?? ''
  const found = []
  if (emailAddress.use !== 'off')
    found.push(
      finding(
        'SMTP_URL',
        config.smtpUrl !== undefined,
        'is set',
        'is not set: nobody gets a code, a link or an invitation',
      ),
      finding(
        'USHER_MAIL_FROM',
        sender.includes('.') && !isLocal(`https://${sender}`),
        `emails come from ${sender}`,
        `emails would come from "${sender || config.mailFrom}", which no mail server accepts. Name an address of your own domain`,
      ),
    )
  if (phoneNumber.use !== 'off' || secondFactors.phoneCode)
    found.push(
      finding(
        'USHER_SMS_ACCOUNT',
        config.textProvider !== undefined,
        'text messages have a provider',
        'is not set, with USHER_SMS_SECRET and USHER_SMS_FROM: phone numbers are in use, and no text message can be sent',
      ),
    )
  return found
}

function providerFindings(instance: Instance, development: Instance | undefined): Finding[] {
  const found = instance.connections
    .filter((connection) => connection.enabled)
    .map(({ provider: { key }, credentials }) =>
      finding(
        `connections.${key}`,
        Boolean(credentials?.clientId && credentials.clientSecret),
        'has credentials of its own',
        `has no ${credentials?.clientId ? 'client secret' : 'credentials of its own'}: ${howToSet(key, instance)}`,
      ),
    )
  const offered = new Set(instance.connections.map(({ provider }) => provider.key))
  for (const { provider, enabled } of development?.connections ?? [])
    if (enabled && !offered.has(provider.key))
      found.push(
        finding(
          `connections.${provider.key}`,
          false,
          '',
          `is offered in "${development?.name}" and not here, for want of credentials: ${howToSet(provider.key, instance)}`,
        ),
      )
  return found
}

const howToSet = (key: string, { name }: Instance) =>
  `usher connections set ${key} --instance ${name} --client-id ID --client-secret-file FILE`

function challengeFindings({ challengeProvider }: Config, { settings }: Instance): Finding[] {
  if (!settings.botCheck.enabled) return []
  return [
    finding(
      'USHER_CAPTCHA_SITE_KEY',
      challengeProvider !== undefined,
      'is set',
      'is not set, with USHER_CAPTCHA_SECRET: the bot check is on and has no provider, so nobody can sign up',
    ),
  ]
}

function databaseFindings({ databaseUrl, metricsToken }: Config): Finding[] {
  const found: Finding[] = []
  if (databaseUrl === undefined)
    found.push(
      advice(
        'DATABASE_URL',
        'is not set: the embedded database serves one server. Back its data directory up yourself',
      ),
    )
  if (metricsToken === undefined)
    found.push(advice('USHER_METRICS_TOKEN', 'is not set: /metrics answers this machine alone'))
  return found
}
