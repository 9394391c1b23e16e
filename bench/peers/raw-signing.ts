/** Signs as a session token is signed (RS256, RSA-2048) and does nothing else. Prints signatures a second. */
export type RawSigningInput = { concurrency: number; seconds: number }
export type RawSigningResult = { signaturesPerSecond: number }

const { concurrency, seconds }: RawSigningInput = await Bun.stdin.json()
const algorithm = {
  name: 'RSASSA-PKCS1-v1_5',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
  hash: 'SHA-256',
}
const { privateKey } = await crypto.subtle.generateKey(algorithm, false, ['sign', 'verify'])
// As long as the header and claims of a session token.
const input = Buffer.alloc(520, 'x')
const sign = () => crypto.subtle.sign(algorithm.name, privateKey, input)

for (let i = 0; i < 50; i++) await sign()
let signed = 0
const startedAt = performance.now()
const endsAt = startedAt + seconds * 1000
await Promise.all(
  Array.from({ length: concurrency }, async () => {
    while (performance.now() < endsAt) {
      await sign()
      signed++
    }
  }),
)
const result: RawSigningResult = { signaturesPerSecond: (signed * 1000) / (performance.now() - startedAt) }
console.log(JSON.stringify(result))
