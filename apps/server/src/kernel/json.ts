/**
 * Whether JSON nests deeper than so many levels of arrays and objects. Looked at before parsing: what nests without an
 * end is never built, and writing it out again takes a time that grows with the square of its depth.
 */
export function isTooDeep(text: string, maxDepth: number): boolean {
  if (text.length <= maxDepth) return false
  let depth = 0
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (inString) {
      if (c === 92) i++
      else if (c === 34) inString = false
    } else if (c === 34) inString = true
    else if (c === 123 || c === 91) {
      if (++depth > maxDepth) return true
    } else if (c === 125 || c === 93) depth--
  }
  return false
}

/** Levels that a body may have; whoever nests deeper means no data. */
const maxBodyDepth = 200

/** Parses the JSON of a request. @throws {SyntaxError} when it is none, or nests too deeply */
export function parseJsonBody(text: string): unknown {
  if (isTooDeep(text, maxBodyDepth)) throw new SyntaxError('nested too deeply')
  return JSON.parse(text)
}
