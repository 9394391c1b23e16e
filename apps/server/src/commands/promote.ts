import type { Config } from '../config.ts'
import { promoteState, readConfiguration } from '../domains/configuration/index.ts'
import type { Instance } from '../domains/instances/index.ts'
import { ConfigError } from '../kernel/config-error.ts'
import { createCtx, type Runtime } from '../runtime.ts'
import { applyWithPlan } from './apply.ts'
import { checkedHost, findInstance, withRuntime } from './instances.ts'
import { confirm } from './show-plan.ts'

type Flags = {
  from?: string | undefined
  to?: string | undefined
  host?: string | undefined
  yes?: boolean | undefined
  json?: boolean | undefined
}

/** `usher promote`: makes the production instance of an application like its development instance. */
export function promote(config: Config, flags: Flags): Promise<void> {
  return withRuntime(config, async (runtime) => {
    const source = findInstance(runtime.instances, flags.from)
    const target = await findTarget(runtime, source, flags)
    const operator = { type: 'system', job: 'operator' } as const
    const ctx = createCtx(runtime, target, operator)
    const state = await readConfiguration(createCtx(runtime, source, operator))
    const { wanted, notes } = promoteState(state, await readConfiguration(ctx), process.env)
    if (!flags.json) console.log(`From "${source.name}" to "${target.name}", ${target.host}\n`)
    await applyWithPlan(ctx, target, wanted, flags, notes)
    if (flags.json) return
    console.log(`
Publishable key  ${target.publishableKey}
Secret key       usher keys --instance ${target.name}
What is missing  usher doctor --instance ${target.name}`)
  })
}

/** The production instance of the application; where there is none yet, `--host` makes it. */
async function findTarget(runtime: Runtime, source: Instance, flags: Flags): Promise<Instance> {
  const { instances } = runtime
  const own = instances.list().filter((i) => i.applicationId === source.applicationId && i.environment === 'production')
  const named =
    flags.to === undefined ? undefined : instances.list().find((i) => [i.id, i.name].includes(flags.to ?? ''))
  const target = named ?? (flags.to === undefined ? own[0] : undefined)
  if (flags.to === undefined && own.length > 1)
    throw new ConfigError(`There are several production instances. Choose: --to ${own.map((i) => i.name).join(' | ')}`)
  if (target && (target.environment !== 'production' || target.id === source.id))
    throw new ConfigError(`"${target.name}" is a development instance: promote to a production instance.`)
  if (target && flags.host !== undefined && flags.host !== target.host)
    throw new ConfigError(`"${target.name}" is at ${target.host}. Its host cannot be changed by promoting.`)
  return target ?? createTarget(runtime, source, flags)
}

async function createTarget({ instances }: Runtime, source: Instance, flags: Flags): Promise<Instance> {
  const name = flags.to ?? 'production'
  if (flags.host === undefined)
    throw new ConfigError(
      `The application of "${source.name}" has no production instance${flags.to ? ` "${flags.to}"` : ''} yet. Say where browsers will reach it: --host auth.acme.example`,
    )
  const host = checkedHost(flags.host)
  const agreed =
    flags.yes ?? (flags.json ? undefined : await confirm(`Make the production instance "${name}" at ${host}?`))
  if (agreed === undefined) throw new ConfigError('Nothing was changed: nobody can be asked here. Say --yes.')
  if (!agreed) throw new ConfigError('Nothing was changed.')
  const made = await instances.create({ name, environment: 'production', host, applicationId: source.applicationId })
  if (!flags.json) console.log(`The production instance "${name}" is made.\n`)
  return findInstance(instances, made.id)
}
