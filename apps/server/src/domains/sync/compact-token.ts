const longest = 8192

/**
 * Takes a compact JWS apart before anything is computed: three parts, each spelled the one way that base64url has for
 * its bytes, so that a token that was bent is not the token that it was.
 *
 * @returns undefined for what is no such token, or has a header or claims that stand there twice
 */
export function readCompact(
  token: string,
): { header: Record<string, unknown>; claims: Record<string, unknown> } | undefined {
  if (token.length > longest) return undefined
  const parts = token.split('.')
  if (parts.length !== 3 || !parts.every(isCanonical)) return undefined
  const header = readObject(parts[0] as string)
  const claims = readObject(parts[1] as string)
  return header && claims && { header, claims }
}

function isCanonical(part: string): boolean {
  return part !== '' && Buffer.from(part, 'base64url').toString('base64url') === part
}

function readObject(part: string): Record<string, unknown> | undefined {
  const text = Buffer.from(part, 'base64url').toString('utf8')
  try {
    const value = JSON.parse(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    // Parsers differ in which of two equal names they believe.
    return namesIn(text) === Object.keys(value).length ? value : undefined
  } catch {
    return undefined
  }
}

/** How many names the outermost object has, counted in its text, which is known to be JSON. */
function namesIn(text: string): number {
  let depth = 0
  let names = 0
  for (let i = 0; i < text.length; i++) {
    const c = text[i]
    if (c === '"') {
      for (i++; text[i] !== '"'; i++) if (text[i] === '\\') i++
    } else if (c === '{' || c === '[') depth++
    else if (c === '}' || c === ']') depth--
    else if (c === ':' && depth === 1) names++
  }
  return names
}
