import { existsSync, writeFileSync } from 'node:fs'
import type { Config } from '../config.ts'
import { readConfiguration, renderConfiguration } from '../domains/configuration/index.ts'
import { ConfigError } from '../kernel/config-error.ts'
import { createCtx } from '../runtime.ts'
import { defaultFile } from './config-file.ts'
import { findInstance, withRuntime } from './instances.ts'

type Flags = { instance?: string | undefined; out?: string | undefined; force?: boolean | undefined }

/** `usher pull`: writes what an instance is into a file. */
export function pull(config: Config, flags: Flags): Promise<void> {
  const file = flags.out ?? defaultFile
  if (file !== '-' && existsSync(file) && !flags.force)
    throw new ConfigError(`${file} exists. Write over it with --force, or elsewhere with --out FILE.`)
  return withRuntime(config, async (runtime) => {
    const instance = findInstance(runtime.instances, flags.instance)
    const state = await readConfiguration(createCtx(runtime, instance, { type: 'system', job: 'operator' }))
    const text = renderConfiguration(state, instance)
    if (file === '-') return void process.stdout.write(text)
    writeFileSync(file, text)
    console.log(`"${instance.name}" is written to ${file}. Secrets are not in it: it names variables for them.`)
  })
}
