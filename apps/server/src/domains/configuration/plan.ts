import { differences, isSame } from './canonical.ts'
import { type PartName, parts } from './parts.ts'
import { Secret } from './references.ts'
import type { Configuration } from './schema.ts'

/** One line of a plan. `from` and `to` never hold a secret that could be printed. */
export type Change = {
  action: 'add' | 'change' | 'remove'
  /** `settings.password.minLength`, `roles.org:reader`, `connections.google.clientSecret` */
  path: string
  from?: unknown
  to?: unknown
}

export type Plan = {
  changes: Change[]
  /** What the reader should know, without being a change. */
  notes: string[]
  /** Why the plan cannot be carried out. */
  problems: string[]
}

/** Everything that a file can say, as it is in an instance. */
export type State = Required<Configuration>

/** What would have to change so that an instance is as a file says. Nothing is read or written. */
export function planChanges(held: State, said: Configuration): Plan {
  const wanted = completed(held, said)
  const changes: Change[] = []
  if (wanted.settings)
    for (const change of differences(held.settings, wanted.settings, 'settings'))
      changes.push({ action: 'change', ...change })
  for (const { name, stays } of parts) {
    const part = wanted[name as PartName]
    if (part) changes.push(...changesOf(name, held[name as PartName], part, stays))
  }
  return { changes, ...unsetSecrets(held, wanted) }
}

/** What a file says, with what it leaves open inside of its parts as it is held. */
export function completed(held: State, said: Configuration): Configuration {
  const whole: Record<string, unknown> = { ...said }
  for (const { name, complete } of parts) {
    const part = said[name as PartName] as Record<string, unknown> | undefined
    const before = held[name as PartName] as Record<string, unknown>
    if (part && complete)
      whole[name] = Object.fromEntries(Object.entries(part).map(([key, item]) => [key, complete(item, before[key])]))
  }
  return whole as Configuration
}

function changesOf(
  part: string,
  held: Record<string, unknown>,
  wanted: Record<string, unknown>,
  stays: (key: string) => boolean = () => false,
): Change[] {
  const changes: Change[] = []
  for (const [key, item] of Object.entries(wanted)) {
    const path = `${part}.${key}`
    if (!Object.hasOwn(held, key)) changes.push({ action: 'add', path, to: item })
    else for (const change of differences(held[key], item, path)) changes.push({ action: 'change', ...change })
  }
  for (const key of Object.keys(held))
    if (!Object.hasOwn(wanted, key) && !stays(key)) changes.push({ action: 'remove', path: `${part}.${key}` })
  return changes
}

/** Secrets whose variable is not set here: a stored one stays, and where there is none yet it is needed. */
function unsetSecrets(held: State, wanted: Configuration): Pick<Plan, 'notes' | 'problems'> {
  const notes: string[] = []
  const problems: string[] = []
  for (const { path, secret, part, key, field } of secretsOf(wanted)) {
    if (secret.reveal() !== undefined || secret.variable === undefined) continue
    const stored = (held[part] as Record<string, Record<string, unknown>>)[key]?.[field] instanceof Secret
    if (stored) notes.push(`${path}: ${secret.variable} is not set here, so the stored secret stays`)
    else problems.push(`${path}: the environment variable ${secret.variable} is not set`)
  }
  return { notes, problems }
}

/** Every secret that a configuration names, with its place. */
export function secretsOf(configuration: Configuration) {
  const found: { path: string; part: PartName; key: string; field: string; secret: Secret }[] = []
  for (const { name } of parts)
    for (const [key, item] of Object.entries(configuration[name as PartName] ?? {}))
      for (const [field, secret] of Object.entries(item))
        if (secret instanceof Secret)
          found.push({ path: `${name}.${key}.${field}`, part: name as PartName, key, field, secret })
  return found
}

/** Keys of things that a plan makes, changes or removes, by part. */
export function touched(held: State, wanted: Configuration, part: PartName) {
  const { stays = () => false } = parts.find((p) => p.name === part) ?? {}
  const [before, after] = [held[part] as Record<string, unknown>, wanted[part] as Record<string, unknown> | undefined]
  if (!after) return { written: [], removed: [] }
  return {
    written: Object.keys(after).filter((key) => !Object.hasOwn(before, key) || !isSame(before[key], after[key])),
    removed: Object.keys(before).filter((key) => !Object.hasOwn(after, key) && !stays(key)),
  }
}
