import { readFileSync } from 'node:fs'
import type { Config } from '../config.ts'
import type { Instance, InstanceSummary } from '../domains/instances/index.ts'
import { ConfigError } from '../kernel/config-error.ts'
import { UsherError } from '../kernel/errors.ts'
import { openRuntime, type Runtime } from '../runtime.ts'
import { usageOf } from './usage.ts'

type Flags = {
  instance?: string | undefined
  json?: boolean | undefined
  host?: string | undefined
  production?: boolean | undefined
  application?: string | undefined
  set?: string | undefined
}

/** `usher keys` */
export function showKeys(config: Config, { json, instance }: Flags): Promise<void> {
  return withRuntime(config, async ({ instances }) => {
    const keys = await instances.summarize(findInstance(instances, instance).id)
    console.log(
      json ? JSON.stringify(wire(keys)) : `Publishable key  ${keys.publishableKey}\nSecret key       ${keys.secretKey}`,
    )
  })
}

/** `usher instances create | list | settings` */
export function manageInstances(config: Config, [verb, name]: string[], flags: Flags): Promise<void> {
  return withRuntime(config, async ({ instances }) => {
    switch (verb) {
      case 'create': {
        if (!name) throw new ConfigError('usher instances create NAME: the name is missing.')
        const host = checkedHost(flags.host ?? `${name}.localhost`)
        const environment = flags.production ? 'production' : 'development'
        const made = await instances.create({
          name,
          environment,
          host,
          ...(flags.application && { applicationId: flags.application }),
        })
        return print(flags, wire(made), describe(made))
      }
      case 'list': {
        const all = await Promise.all(instances.list().map((i) => instances.summarize(i.id)))
        return print(
          flags,
          all.map(({ secretKey: _, ...shown }) => wire(shown)),
          all.map(describe).join('\n\n'),
        )
      }
      case 'settings': {
        if (!name) throw new ConfigError('usher instances settings NAME: the name is missing.')
        const instance = findInstance(instances, name)
        const settings = flags.set
          ? await instances.changeSettings(instance.id, readJson(flags.set))
          : instance.settings
        return print(flags, settings, JSON.stringify(settings, null, 2))
      }
      default:
        throw new ConfigError(usageOf('instances'))
    }
  })
}

/** Opens what a command needs beside a running server, or without one. */
export async function withRuntime(config: Config, work: (runtime: Runtime) => Promise<void>) {
  const runtime = await openRuntime(config, { visitor: true })
  try {
    await work(runtime)
  } finally {
    runtime.bus.stop()
    await runtime.database.close()
  }
}

/** @throws {ConfigError} unless it is a host name with a dot, with a port or without */
export function checkedHost(value: string): string {
  const host = value.toLowerCase()
  if (!/^[a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?$/.test(host))
    throw new ConfigError('--host must be a host name with a dot, e.g. auth.acme.example')
  return host
}

/** The instance that a flag names, by name or id; without one the default. @throws {UsherError} `resource_not_found` */
export function findInstance(instances: Runtime['instances'], name: string | undefined): Instance {
  if (name === undefined) return instances.getDefault()
  const found = instances.list().find((i) => i.name === name || i.id === name)
  if (!found) throw new UsherError('resource_not_found', `There is no instance "${name}". See: usher instances list`)
  return found
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new ConfigError(`${file} cannot be read as JSON: ${(error as Error).message}`)
  }
}

const print = (flags: Flags, value: unknown, text: string) => console.log(flags.json ? JSON.stringify(value) : text)

function wire(s: Partial<InstanceSummary>) {
  return {
    id: s.id,
    name: s.name,
    environment: s.environment,
    host: s.host,
    publishable_key: s.publishableKey,
    ...(s.secretKey !== undefined && { secret_key: s.secretKey }),
  }
}

const describe = (s: InstanceSummary) =>
  `${s.name}  (${s.environment}, ${s.id})\n  Host             ${s.host}\n  Publishable key  ${s.publishableKey}`
