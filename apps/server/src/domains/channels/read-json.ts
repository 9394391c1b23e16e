import { isTooDeep } from '../../kernel/json.ts'

/** What is said of JSON that everybody can rely on. */
type JsonFault = 'malformed' | 'too_deep' | 'repeated_name' | 'not_a_number'

/**
 * Reads JSON as every reader would: `JSON.parse` takes the last of two equal names where others take the first, and
 * makes Infinity of `1e999`, which comes out as null again.
 *
 * @param maxDepth levels of arrays and objects
 */
export function readJson(text: string, maxDepth: number): { value: unknown } | { fault: JsonFault } {
  if (isTooDeep(text, maxDepth)) return { fault: 'too_deep' }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { fault: 'malformed' }
  }
  if (/[eE]|\d{300}/.test(text) && !isFiniteThroughout(value)) return { fault: 'not_a_number' }
  return hasRepeatedName(text) ? { fault: 'repeated_name' } : { value }
}

function isFiniteThroughout(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object' || value === null) return true
  return Object.values(value).every(isFiniteThroughout)
}

/** @param text valid JSON */
function hasRepeatedName(text: string): boolean {
  const scopes: (Set<string> | undefined)[] = []
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 123) scopes.push(new Set())
    else if (c === 91) scopes.push(undefined)
    else if (c === 125 || c === 93) scopes.pop()
    else if (c === 34) {
      const start = i
      for (i++; text.charCodeAt(i) !== 34; i++) if (text.charCodeAt(i) === 92) i++
      const names = scopes.at(-1)
      if (!names) continue
      let after = i + 1
      while (text.charCodeAt(after) <= 32) after++
      // A name is what a colon follows.
      if (text.charCodeAt(after) !== 58) continue
      const name = text.slice(start, i + 1)
      const plain = name.includes('\\') ? (JSON.parse(name) as string) : name.slice(1, -1)
      if (names.has(plain)) return true
      names.add(plain)
    }
  }
  return false
}
