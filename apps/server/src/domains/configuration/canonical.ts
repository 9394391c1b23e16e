import { Secret } from './references.ts'

/** A copy without what is undefined, with keys in order: two values that say the same have the same copy. */
export function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((entry) => canonical(entry))
  if (typeof value !== 'object' || value === null || value instanceof Secret) return value
  const entries = Object.entries(value)
    .filter(([, entry]) => entry !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([name, entry]) => [name, canonical(entry)]))
}

/** Whether two values say the same. A secret whose variable is not set says nothing, and so differs from none. */
export function isSame(a: unknown, b: unknown): boolean {
  if (a instanceof Secret || b instanceof Secret) return isSameSecret(a, b)
  return JSON.stringify(canonical(a)) === JSON.stringify(canonical(b))
}

function isSameSecret(a: unknown, b: unknown): boolean {
  const [one, other] = [a, b].map((side) => (side instanceof Secret ? side.reveal() : undefined))
  const unset = [a, b].some((side) => side instanceof Secret && side.variable !== undefined && !side.reveal())
  return unset || one === other
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Secret)

/** What differs between two values, by path; lists and other leaves are compared as wholes. */
export function differences(from: unknown, to: unknown, path: string): { path: string; from: unknown; to: unknown }[] {
  if (!isObject(from) || !isObject(to)) return isSame(from, to) ? [] : [{ path, from, to }]
  const names = [...new Set([...Object.keys(from), ...Object.keys(to)])]
  return names.flatMap((name) => differences(from[name], to[name], `${path}.${name}`))
}

/** The parts of `value` that `base` does not say already. */
export function beyond(base: unknown, value: unknown): unknown {
  if (!isObject(base) || !isObject(value)) return isSame(base, value) ? undefined : value
  const entries = Object.entries(value)
    .map(([name, entry]) => [name, beyond(base[name], entry)] as const)
    .filter(([, entry]) => entry !== undefined)
  return entries.length === 0 ? undefined : Object.fromEntries(entries)
}
