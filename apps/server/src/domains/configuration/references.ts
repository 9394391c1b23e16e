/** Stands in a file where the value of an environment variable belongs. */
export type EnvReference = { $env: string }

export function isReference(value: unknown): value is EnvReference {
  return typeof value === 'object' && value !== null && typeof (value as EnvReference).$env === 'string'
}

/** A value that must not be shown: it can be compared and used, and prints as nothing. */
export class Secret {
  readonly #value: string | undefined
  /** The variable that it comes from. Undefined: from the database. */
  readonly variable: string | undefined

  constructor(value: string | undefined, variable?: string) {
    this.#value = value
    this.variable = variable
  }

  /** Undefined: the variable is not set. */
  reveal(): string | undefined {
    return this.#value
  }

  toJSON(): string {
    return '(secret)'
  }

  toString(): string {
    return '(secret)'
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '(secret)'
  }
}

type Environment = Record<string, string | undefined>

/** Where secrets stand. Everywhere else a reference becomes the variable's text. */
const secretPaths = [
  /^connections\.[^.]+\.clientSecret$/,
  /^jwtTemplates\.[^.]+\.signingKey$/,
  /^webhooks\..+\.secret$/,
]

/**
 * Puts values in the place of references.
 *
 * @returns the value, and a sentence for each variable that is needed and not set. A secret's variable may be unset:
 *   then the stored secret stays
 */
export function resolveReferences(value: unknown, environment: Environment): { value: unknown; problems: string[] } {
  const problems: string[] = []
  const walk = (at: unknown, path: string): unknown => {
    if (isReference(at)) {
      const found = environment[at.$env] || undefined
      if (secretPaths.some((pattern) => pattern.test(path))) return new Secret(found, at.$env)
      if (found === undefined) problems.push(`${path}: the environment variable ${at.$env} is not set`)
      return found ?? ''
    }
    if (Array.isArray(at)) return at.map((entry, i) => walk(entry, `${path}.${i}`))
    if (typeof at !== 'object' || at === null || at instanceof Secret) return at
    return Object.fromEntries(
      Object.entries(at).map(([name, entry]) => [name, walk(entry, path === '' ? name : `${path}.${name}`)]),
    )
  }
  return { value: walk(value, ''), problems }
}
