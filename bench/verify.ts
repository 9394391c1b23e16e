import type { VerifyInput, VerifyResult } from './generators/verify.ts'
import { generate, temporaryDirectory } from './support/processes.ts'
import { inTurns } from './support/rounds.ts'
import { type Benchmark, compare } from './support/rows.ts'
import { mintTokens, publicKeyOf, signIn, startUsher } from './support/usher.ts'

export const verify: Benchmark = {
  name: 'verify',
  method:
    'One process verifies 50 different session tokens in turns, one at a time, with the public key at hand: ours with the ' +
    'function that the server itself uses, `@clerk/backend` with `verifyToken` and `jwtKey`. Nothing is remembered.',
  run: async () => {
    using data = temporaryDirectory()
    await using usher = await startUsher(data.path)
    const session = await signIn(usher, 'ada')
    const key = await publicKeyOf(usher)
    const tokens = await mintTokens(usher, session, 50)
    const measure = async (verifier: VerifyInput['verifier']) => {
      const input: VerifyInput = { verifier, tokens, ...key, seconds: 0.8 }
      return (await generate<VerifyResult>('generators/verify.ts', input)).verificationsPerSecond
    }
    const rates = await inTurns(3, { ours: () => measure('usher'), clerk: () => measure('@clerk/backend') })
    return {
      rows: [compare('verifying a session token, beside `@clerk/backend` 3.20', rates.ours, rates.clerk, 1)],
      notes: [],
    }
  },
}
