import { createHash } from 'node:crypto'
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { createRequire } from 'node:module'

let shipped: Set<string> | undefined
let file: { descriptor: number; size: number } | undefined

/**
 * Whether a password is on a list of leaked ones. Nothing leaves the machine for it.
 *
 * A list of the 49,000 most common ones is shipped (those of `@zxcvbn-ts/language-common`); an operator can add a bigger
 * one, see {@link useBreachedPasswords}.
 */
export function isBreached(password: string): boolean {
  shipped ??= new Set(
    createRequire(import.meta.url)('@zxcvbn-ts/language-common').dictionary['passwords-common'] as string[],
  )
  if (shipped.has(password) || shipped.has(password.toLowerCase())) return true
  return file !== undefined && isInFile(file, createHash('sha1').update(password).digest('hex').toUpperCase())
}

/**
 * Takes an operator's list into use: lines of SHA-1 in upper-case hex, sorted, each followed by `:` and a count or by
 * nothing, as the downloadable list of Have I Been Pwned has them. It is searched where it is and never read whole, so
 * that its order is looked at in a hundred places: a list ordered by count would find next to nothing.
 *
 * @throws {Error} in words for the operator when it cannot be read or looks otherwise
 */
export function useBreachedPasswords(path: string | undefined): void {
  if (file) closeSync(file.descriptor)
  file = undefined
  if (path === undefined) return
  const descriptor = openSync(path, 'r')
  const { size } = fstatSync(descriptor)
  const opened = { descriptor, size }
  const sample = Array.from({ length: 100 }, (_, i) => lineAt(opened, Math.floor((size * i) / 100)).line)
  const problem = !sample.every((line) => /^[0-9A-F]{40}(:\d+)?$/.test(line))
    ? 'lines of SHA-1 in upper-case hex are expected'
    : sample.some((line, i) => line.slice(0, 40) < (sample[i - 1] ?? '').slice(0, 40)) && 'it is not sorted by hash'
  if (problem) {
    closeSync(descriptor)
    throw new Error(`${path} is no list of leaked passwords: ${problem}`)
  }
  file = opened
}

/** A binary search over lines: some thirty reads in a list of a billion. */
function isInFile(list: { descriptor: number; size: number }, wanted: string): boolean {
  let low = 0
  let high = list.size
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const { line, start, end } = lineAt(list, middle)
    const hash = line.slice(0, 40)
    if (hash === wanted) return true
    if (hash < wanted) low = Math.max(end, middle + 1)
    else high = Math.min(start, middle)
  }
  return false
}

const longestLine = 64

/** The line that a byte of the list is in, and where it begins and ends. */
function lineAt({ descriptor, size }: { descriptor: number; size: number }, offset: number) {
  const from = Math.max(0, offset - longestLine)
  const buffer = Buffer.alloc(longestLine * 2)
  const length = readSync(descriptor, buffer, 0, Math.min(buffer.length, size - from), from)
  const text = buffer.toString('latin1', 0, length)
  const at = offset - from
  const start = text.lastIndexOf('\n', at - 1) + 1
  const found = text.indexOf('\n', at)
  const end = found === -1 ? length : found
  return { line: text.slice(start, end).replace(/\r$/, ''), start: from + start, end: from + end + 1 }
}
