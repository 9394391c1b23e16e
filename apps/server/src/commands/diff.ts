import type { Config } from '../config.ts'
import { planConfiguration } from '../domains/configuration/index.ts'
import { createCtx } from '../runtime.ts'
import { defaultFile, loadConfigFile } from './config-file.ts'
import { findInstance, withRuntime } from './instances.ts'
import { describePlan, wirePlan } from './show-plan.ts'

type Flags = { instance?: string | undefined; file?: string | undefined; json?: boolean | undefined }

/** `usher diff`: what `usher apply` would change. Exits with 2 where something differs. */
export function diff(config: Config, flags: Flags): Promise<void> {
  return withRuntime(config, async (runtime) => {
    const instance = findInstance(runtime.instances, flags.instance)
    const wanted = await loadConfigFile(flags.file ?? defaultFile, instance)
    const plan = await planConfiguration(createCtx(runtime, instance, { type: 'system', job: 'operator' }), wanted)
    console.log(flags.json ? JSON.stringify(wirePlan(plan, instance)) : describePlan(plan, instance))
    if (plan.changes.length > 0 || plan.problems.length > 0) process.exitCode = 2
  })
}
