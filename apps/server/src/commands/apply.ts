import type { Config } from '../config.ts'
import { applyConfiguration, type Configuration, planConfiguration } from '../domains/configuration/index.ts'
import type { Instance } from '../domains/instances/index.ts'
import { ConfigError } from '../kernel/config-error.ts'
import type { Ctx } from '../kernel/ctx.ts'
import { createCtx } from '../runtime.ts'
import { defaultFile, loadConfigFile } from './config-file.ts'
import { findInstance, withRuntime } from './instances.ts'
import { confirm, describePlan, wirePlan } from './show-plan.ts'

export type ApplyFlags = {
  instance?: string | undefined
  file?: string | undefined
  yes?: boolean | undefined
  json?: boolean | undefined
}

/** `usher apply`: makes an instance what the file says. */
export function apply(config: Config, flags: ApplyFlags): Promise<void> {
  return withRuntime(config, async (runtime) => {
    const instance = findInstance(runtime.instances, flags.instance)
    const wanted = await loadConfigFile(flags.file ?? defaultFile, instance)
    await applyWithPlan(createCtx(runtime, instance, { type: 'system', job: 'operator' }), instance, wanted, flags)
  })
}

/**
 * Shows the plan, asks, and carries it out.
 *
 * @param notes what to say beside the plan's own
 * @throws {ConfigError} if something is missing, if nobody said yes, or there is nobody to ask
 */
export async function applyWithPlan(
  ctx: Ctx,
  instance: Instance,
  wanted: Configuration,
  flags: ApplyFlags,
  notes: readonly string[] = [],
) {
  const made = await planConfiguration(ctx, wanted)
  const plan = { ...made, notes: [...notes, ...made.notes] }
  if (!flags.json) console.log(describePlan(plan, instance))
  if (plan.problems.length > 0)
    throw new ConfigError(flags.json ? plan.problems.join('\n') : '\nNone of this was changed: something is missing.')
  if (plan.changes.length > 0) {
    const agreed = flags.yes ?? (flags.json ? undefined : await confirm('\nDo it?'))
    if (agreed === undefined) throw new ConfigError('\nNothing was changed: nobody can be asked here. Say --yes.')
    if (!agreed) throw new ConfigError('Nothing was changed.')
    await applyConfiguration(ctx, wanted, plan)
  }
  const applied = plan.changes.length > 0
  if (flags.json) console.log(JSON.stringify({ ...wirePlan(plan, instance), applied }))
  else if (applied) console.log('\nDone. Running servers know it within a second.')
}
