import { createRequire } from 'node:module'
import type { ZxcvbnFactory } from '@zxcvbn-ts/core'

export type PasswordStrength = {
  /** 0 (guessed at once) to 4 (safe). */
  score: number
  /** How it could be better, by the codes that the components have words for. */
  suggestions: { code: string; message: string }[]
}

type Estimator = { factory: ZxcvbnFactory; words: Record<string, string> }
let estimator: Estimator | undefined

/** How hard a password is to guess, by zxcvbn. Its dictionaries are read when they are first asked for. */
export function estimateStrength(password: string, identifiers: readonly string[] = []): PasswordStrength {
  estimator ??= load()
  const { factory, words } = estimator
  const { score, feedback } = factory.check(password, [...identifiers])
  const codes = [feedback.warning, ...feedback.suggestions].filter((code): code is string => Boolean(code))
  return { score, suggestions: codes.map((code) => ({ code, message: words[code] ?? code })) }
}

function load(): Estimator {
  const require = createRequire(import.meta.url)
  const core = require('@zxcvbn-ts/core') as typeof import('@zxcvbn-ts/core')
  const common = require('@zxcvbn-ts/language-common')
  const english = require('@zxcvbn-ts/language-en')
  const { warnings, suggestions, ...rest } = english.translations
  // The estimator says sentences; we want to know which, so that each is told in the reader's language.
  const ownNames = (texts: object) => Object.fromEntries(Object.keys(texts).map((name) => [name, name]))
  const factory = new core.ZxcvbnFactory({
    dictionary: { ...common.dictionary, ...english.dictionary },
    graphs: common.adjacencyGraphs,
    translations: { ...rest, warnings: ownNames(warnings), suggestions: ownNames(suggestions) },
  } as never)
  return { factory, words: { ...warnings, ...suggestions } }
}
