import { completeSettings } from '../instances/index.ts'
import { beyond, isSame } from './canonical.ts'
import { parts } from './parts.ts'
import type { State } from './plan.ts'
import { isReference, Secret } from './references.ts'
import { itemDefaults } from './schema.ts'

/**
 * The source text of a `usher.config.ts` that says what an instance is. Settings that have their default are left out,
 * and secrets are named by variables of the environment.
 *
 * @param of shown in its first comment
 */
export function renderConfiguration(state: State, of: { name: string; environment: string; host: string }): string {
  const { value, variables } = describeState(state, of.name)
  const uses = variables.length > 0 ? 'defineConfig, env' : 'defineConfig'
  return [
    `import { ${uses} } from 'usher/config'`,
    '',
    `// As the instance "${of.name}" (${of.environment}, ${of.host}) was when this file was written. See docs/settings.md.`,
    `export default defineConfig(${literal(value, '')})`,
    '',
  ].join('\n')
}

/** What a file says: settings beyond their defaults, and references in the place of secrets. */
export function describeState(state: State, instanceName: string) {
  const variables: string[] = []
  const settings = beyond(completeSettings(instanceName, {}), state.settings) ?? {}
  const value: Record<string, unknown> = { settings }
  for (const { name: part } of parts) {
    if (part === 'roleSets' && isOrdinary(state)) continue
    const entries = Object.entries(state[part as keyof State] as Record<string, object>)
    value[part] = Object.fromEntries(entries.map(([key, item]) => [key, describeItem(part, key, item, variables)]))
  }
  return { value, variables }
}

/** An entry without what goes without saying. */
function describeItem(part: string, key: string, item: object, variables: string[]): Record<string, unknown> {
  const defaults = itemDefaults(part)
  const fields = Object.entries(item).filter(([field, held]) => !isSame(defaults[field], held))
  return Object.fromEntries(
    fields.map(([field, held]) => {
      if (!(held instanceof Secret)) return [field, held]
      // Usher made it, and each instance has its own.
      if (part === 'webhooks') return [field, undefined]
      const variable = variableFor(part, key, field)
      variables.push(variable)
      return [field, { $env: variable }]
    }),
  )
}

/** One set with every role in it is what an instance has that knows nothing of role sets. */
function isOrdinary({ roleSets, roles }: State): boolean {
  const [only, ...others] = Object.values(roleSets)
  return others.length === 0 && only?.name === 'Default' && only.roles.length === Object.keys(roles).length
}

/** `GOOGLE_CLIENT_SECRET`, `JWT_SUPABASE_SIGNING_KEY`: the variable that a secret is looked for in. */
export function variableFor(part: string, key: string, field: string): string {
  const prefix = part === 'jwtTemplates' ? 'JWT_' : ''
  const words = `${prefix}${key}_${field.replace(/[A-Z]/g, (letter) => `_${letter}`)}`
  const name = words.toUpperCase().replace(/[^A-Z0-9]+/g, '_')
  return /^[0-9]/.test(name) ? `_${name}` : name
}

const width = 100

/** A value as TypeScript, in the style that formatters leave alone. */
function literal(value: unknown, indent: string): string {
  if (isReference(value)) return `env(${quote(value.$env)})`
  if (typeof value === 'string') return quote(value)
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const inner = `${indent}  `
  const isList = Array.isArray(value)
  const items = isList
    ? value.map((entry) => literal(entry, inner))
    : Object.entries(value)
        .filter(([, entry]) => entry !== undefined)
        .map(([name, entry]) => `${propertyName(name)}: ${literal(entry, inner)}`)
  const [open, close] = isList ? ['[', ']'] : ['{', '}']
  if (items.length === 0) return `${open}${close}`
  const space = isList ? '' : ' '
  const line = `${open}${space}${items.join(', ')}${space}${close}`
  const isShort = !line.includes('\n') && indent.length + line.length <= width && (isList || items.length <= 2)
  if (isShort && indent !== '') return line
  return `${open}\n${items.map((item) => `${inner}${item},\n`).join('')}${indent}${close}`
}

function propertyName(name: string): string {
  // Written plainly it would set the object's prototype.
  if (name === '__proto__') return `['__proto__']`
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : quote(name)
}

function quote(text: string): string {
  const escaped = JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")
  return `'${escaped}'`
}
