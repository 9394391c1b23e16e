/** Verifies session tokens one after the other, in turns through the given ones. Prints verifications a second. */
export type VerifyInput = {
  verifier: 'usher' | '@clerk/backend'
  tokens: string[]
  publicKeyPem: string
  issuer: string
  kid: string
  seconds: number
}
export type VerifyResult = { verificationsPerSecond: number }

const input: VerifyInput = await Bun.stdin.json()
const verify = await (input.verifier === 'usher' ? usherVerifier() : clerkVerifier())

/** What the server itself uses. It looks at nothing but the instance's name, its keys and the time. */
async function usherVerifier() {
  const { verifySessionToken } = await import('../../apps/server/src/domains/sessions/index.ts')
  const der = Buffer.from(input.publicKeyPem.replace(/-----[^-]+-----|\s/g, ''), 'base64')
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
  const publicKey = await crypto.subtle.importKey('spki', der, algorithm, false, ['verify'])
  const instance = { host: new URL(input.issuer).host, signingKeys: [{ kid: input.kid, publicKey }] }
  const ctx = { instance, now: () => new Date() } as unknown as Parameters<typeof verifySessionToken>[0]
  return (token: string) => verifySessionToken(ctx, token)
}

async function clerkVerifier() {
  // Named so that types are not looked for: peers are installed for benchmarks only.
  const { verifyToken } = await import('@clerk/backend' as string)
  return (token: string) => verifyToken(token, { jwtKey: input.publicKeyPem })
}

async function round(seconds: number) {
  const startedAt = performance.now()
  let verified = 0
  while (performance.now() - startedAt < seconds * 1000) {
    const { sub } = (await verify(input.tokens[verified % input.tokens.length] as string)) as { sub?: string }
    if (!sub) throw new Error('a token was refused')
    verified++
  }
  return (verified * 1000) / (performance.now() - startedAt)
}

await round(0.3)
const result: VerifyResult = { verificationsPerSecond: await round(input.seconds) }
console.log(JSON.stringify(result))
