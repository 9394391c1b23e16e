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
  // What could be better, and not what is wrong: the components have words for suggestions alone. Several patterns in one
  // password can bring the same one.
  const codes = [...new Set(feedback.suggestions.filter((code): code is string => Boolean(code)))]
  if (codes.length === 0) codes.push('anotherWord')
  return { score, suggestions: codes.map((code) => ({ code, message: words[code] ?? code })) }
}

function load(): Estimator {
  const require = createRequire(import.meta.url)
  const core = require('@zxcvbn-ts/core') as typeof import('@zxcvbn-ts/core')
  const common = require('@zxcvbn-ts/language-common')
  const english = require('@zxcvbn-ts/language-en')
  const { suggestions, ...rest } = english.translations
  // The estimator says sentences; we want to know which, so that each is told in the reader's language.
  const ownNames = Object.fromEntries(Object.keys(suggestions).map((name) => [name, name]))
  const factory = new core.ZxcvbnFactory({
    dictionary: { ...common.dictionary, ...english.dictionary },
    graphs: common.adjacencyGraphs,
    translations: { ...rest, suggestions: ownNames },
    // Everything waits for an estimate. With the library's 100 readings of a word in which digits stand for letters, the
    // worst 72 characters take some 300 ms; with five a fifth of that, and common passwords are still seen through.
    l33tMaxSubstitutions: 5,
  } as never)
  return { factory, words: suggestions }
}
