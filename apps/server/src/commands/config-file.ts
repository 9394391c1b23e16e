import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import * as defineConfigModule from '../define-config.ts'
import { type Configuration, parseConfiguration } from '../domains/configuration/index.ts'
import type { Instance } from '../domains/instances/index.ts'
import { ConfigError } from '../kernel/config-error.ts'
import { UsherError } from '../kernel/errors.ts'

export const defaultFile = 'usher.config.ts'

/**
 * Runs a `usher.config.ts` and reads what it says about an instance. `usher/config` is found wherever the file stands.
 *
 * @throws {ConfigError} if there is none, or it fails, or says what cannot be
 */
export async function loadConfigFile(file: string, instance: Instance): Promise<Configuration> {
  const path = resolve(file)
  if (!existsSync(path)) throw new ConfigError(`There is no ${file}. Write one with: usher pull`)
  Bun.plugin({
    name: 'usher/config',
    setup: (build) => {
      build.module('usher/config', () => ({ exports: { ...defineConfigModule }, loader: 'object' }))
    },
  })
  try {
    const { default: said } = await import(pathToFileURL(path).href)
    if (said === undefined) throw new ConfigError('it has no default export: export default defineConfig({ … })')
    const { name, environment, host } = instance
    const value = typeof said === 'function' ? await said({ name, environment, host }) : said
    return parseConfiguration(value, process.env, { instanceName: name })
  } catch (error) {
    const separator = error instanceof UsherError ? '\n' : ' '
    throw new ConfigError(`${file} cannot be used:${separator}${(error as Error).message}`)
  }
}
