import { readFileSync } from 'node:fs'
import type { Config } from '../config.ts'
import { type CustomProvider, knownProviders } from '../domains/connections/index.ts'
import { ConfigError } from '../kernel/config-error.ts'
import type { Runtime } from '../runtime.ts'
import { findInstance, withRuntime } from './instances.ts'
import { usageOf } from './usage.ts'

type Flags = {
  json?: boolean | undefined
  instance?: string | undefined
  'client-id'?: string | undefined
  'client-secret-file'?: string | undefined
  scopes?: string | undefined
  name?: string | undefined
  custom?: string | undefined
}

/** `usher connections list | providers | enable | disable | set | remove`: social providers of an instance. */
export function manageConnections(config: Config, [verb, ...keys]: string[], flags: Flags): Promise<void> {
  if (verb === 'providers') {
    const all = knownProviders.map(({ key, name }) => ({ key, name }))
    console.log(flags.json ? JSON.stringify(all) : all.map(({ key, name }) => `${key.padEnd(16)}${name}`).join('\n'))
    return Promise.resolve()
  }
  return withRuntime(config, async ({ instances }) => {
    const { id } = findInstance(instances, flags.instance)
    for (const provider of keys) await change(instances, id, verb, provider, flags)
    if (keys.length === 0 && verb !== 'list') throw new ConfigError(usageOf('connections'))
    show(instances, id, flags)
  })
}

async function change(
  instances: Runtime['instances'],
  id: string,
  verb: string | undefined,
  provider: string,
  flags: Flags,
): Promise<void> {
  switch (verb) {
    case 'enable':
    case 'disable':
      return instances.setConnection(id, { provider, enabled: verb === 'enable' })
    case 'remove':
      return instances.removeConnection(id, provider)
    case 'set':
      return instances.setConnection(id, {
        provider,
        ...(flags.name && { name: flags.name }),
        ...(flags['client-id'] && { clientId: flags['client-id'] }),
        // From a file: what stands on a command line can be read by everybody on the machine.
        ...(flags['client-secret-file'] && { clientSecret: read(flags['client-secret-file']).trim() }),
        ...(flags.scopes && { scopes: flags.scopes.split(/[ ,]+/).filter(Boolean) }),
        ...(flags.custom && { custom: parseCustom(read(flags.custom)) }),
      })
    default:
      throw new ConfigError(usageOf('connections'))
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError(`${file} cannot be read: ${(error as Error).message}`)
  }
}

function parseCustom(text: string): CustomProvider {
  try {
    return JSON.parse(text) as CustomProvider
  } catch (error) {
    throw new ConfigError(`the provider's description is not JSON: ${(error as Error).message}`)
  }
}

function show(instances: Runtime['instances'], id: string, { json }: Flags): void {
  const all = (instances.find(id)?.connections ?? []).map((c) => ({
    key: c.provider.key,
    name: c.name,
    enabled: c.enabled,
    credentials: c.credentials ? 'own' : 'demo',
  }))
  const lines = all.map((c) => `${c.key.padEnd(20)}${(c.enabled ? 'on' : 'off').padEnd(6)}${c.credentials} credentials`)
  console.log(
    json ? JSON.stringify(all) : lines.join('\n') || 'No social provider is offered. See: usher connections providers',
  )
}
