import type { InstanceSettings } from '../instances/index.ts'
import type { State } from './plan.ts'
import { Secret } from './references.ts'
import { variableFor } from './render.ts'
import type { Configuration } from './schema.ts'

type Environment = Record<string, string | undefined>
type Connections = NonNullable<Configuration['connections']>

/** Where an instance lives: of an environment, and not of the application. */
const placeSettings = ['homeUrl', 'signInUrl', 'signUpUrl', 'allowedOrigins'] as const
const linkSettings = ['logoUrl', 'privacyPolicyUrl', 'termsUrl'] as const

/**
 * What a production instance is to become so that it is like the development instance of its application. Secrets are
 * never carried over: they come from the environment, or those that the target has stay. Demo credentials are none.
 *
 * @returns the configuration to apply, and sentences on what was left as it is
 */
export function promoteState(
  source: State,
  target: State,
  environment: Environment,
): { wanted: Configuration; notes: string[] } {
  const { settings, notes: ofSettings } = promoteSettings(source.settings, target.settings)
  const { connections, notes: ofConnections } = promoteConnections(source.connections, target.connections, environment)
  return {
    wanted: {
      settings,
      permissions: source.permissions,
      features: source.features,
      roles: source.roles,
      roleSets: source.roleSets,
      jwtTemplates: promoteTemplates(source.jwtTemplates, environment),
      connections,
    },
    notes: [...ofSettings, ...ofConnections, ...Object.keys(source.webhooks).map(webhookStays)],
  }
}

const webhookStays = (url: string) => `webhooks.${url}: endpoints belong to an environment; make production's own`

function promoteSettings(source: InstanceSettings, target: InstanceSettings) {
  const settings: InstanceSettings = { ...source }
  const notes: string[] = []
  const keep = (name: keyof InstanceSettings, why: string) => {
    if (JSON.stringify(source[name]) !== JSON.stringify(target[name])) notes.push(`settings.${name}: ${why}`)
    Object.assign(settings, { [name]: target[name] })
  }
  for (const name of placeSettings) keep(name, 'says where the instance lives, so it stays as it is')
  for (const name of linkSettings)
    if (isLocal(source[name])) keep(name, `${source[name]} leads to this machine, so it stays as it is`)
  return { settings, notes }
}

/** Whether a URL leads to the machine on which it is read. */
export function isLocal(url: string | undefined): boolean {
  if (url === undefined || !URL.canParse(url)) return false
  const { hostname } = new URL(url)
  return hostname === 'localhost' || hostname.endsWith('.localhost') || /^(127\.|\[::1\]|0\.0\.0\.0)/.test(hostname)
}

function promoteConnections(source: Connections, target: Connections, environment: Environment) {
  // What only production has stays: its credentials would be lost.
  const connections: Connections = { ...target }
  const notes: string[] = []
  for (const key of Object.keys(target))
    if (!source[key]) notes.push(`connections.${key}: only production has it, and it stays`)
  for (const [key, item] of Object.entries(source)) {
    const credentials = credentialsFor(key, target[key], environment)
    if (credentials) connections[key] = { ...item, ...credentials }
    else {
      const [id, secret] = [
        variableFor('connections', key, 'clientId'),
        variableFor('connections', key, 'clientSecret'),
      ]
      const had = item.clientId === undefined ? 'the demo credentials' : 'credentials of its own'
      notes.push(`connections.${key}: not promoted. Development uses ${had}; for production set ${id} and ${secret}`)
    }
  }
  return { connections, notes }
}

/** Both from the environment, or both those that production has. */
function credentialsFor(key: string, held: Connections[string] | undefined, environment: Environment) {
  const clientId = environment[variableFor('connections', key, 'clientId')]
  const variable = variableFor('connections', key, 'clientSecret')
  const secret = environment[variable]
  if (clientId && secret) return { clientId, clientSecret: new Secret(secret, variable) }
  return held?.clientId === undefined ? undefined : { clientId: held.clientId, clientSecret: held.clientSecret }
}

/** Without its variable a template's key stays as production has it; the plan says so, or that it is missing. */
function promoteTemplates(source: State['jwtTemplates'], environment: Environment): State['jwtTemplates'] {
  return Object.fromEntries(
    Object.entries(source).map(([name, item]) => {
      if (!item.signingKey) return [name, item]
      const variable = variableFor('jwtTemplates', name, 'signingKey')
      return [name, { ...item, signingKey: new Secret(environment[variable] || undefined, variable) }]
    }),
  )
}
