/**
 * What `usher.config.ts` imports: `import { defineConfig, env } from 'usher/config'`. Nothing of the server is loaded
 * by it.
 */

import type { EnvReference } from './domains/configuration/references.ts'
import type { ConfigurationInput } from './domains/configuration/schema.ts'

export type { EnvReference } from './domains/configuration/references.ts'

/** Wherever a text stands, a variable of the environment may stand in its place. */
type WithReferences<T> = T extends EnvReference
  ? T
  : T extends string
    ? T | EnvReference
    : T extends readonly (infer Item)[]
      ? WithReferences<Item>[]
      : T extends object
        ? { [K in keyof T]: WithReferences<T[K]> }
        : T

/**
 * What an instance is to be. A part that is named is the whole truth about it: what the file does not mention goes back
 * to its default, or goes. A part that is left out stays as it is.
 */
export type UsherConfig = WithReferences<ConfigurationInput>

/** The instance that the file is read for. */
export type ConfigTarget = { name: string; environment: 'development' | 'production'; host: string }

/** A file's content, or a function of the instance that it is for. */
export type ConfigFile = UsherConfig | ((target: ConfigTarget) => UsherConfig)

/** Gives its argument back; editors know by it what may stand in the file. */
export function defineConfig(config: ConfigFile): ConfigFile {
  return config
}

/** A variable of the environment of whoever applies the file. Secrets can be named in no other way. */
export function env(name: string): EnvReference {
  return { $env: name }
}
