/**
 * Whether a person's signing key made a signature over `parts`, each of which is text without a NUL: joined by NULs they
 * cannot be read in two ways.
 *
 * @param signature 64 bytes r and s, base64url
 */
export async function isSigned(signPublicKey: string, parts: readonly string[], signature: string): Promise<boolean> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' }
  try {
    const key = await crypto.subtle.importKey('raw', Buffer.from(signPublicKey, 'base64url'), algorithm, false, [
      'verify',
    ])
    return await crypto.subtle.verify(
      { name: 'ECDSA', hash: 'SHA-256' },
      key,
      Buffer.from(signature, 'base64url'),
      Buffer.from(['usher/vault/v1', ...parts].join('\0')),
    )
  } catch {
    // Not a point of the curve.
    return false
  }
}
