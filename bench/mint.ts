import type { HttpLoadInput, HttpLoadResult } from './generators/http-load.ts'
import type { RawSigningInput, RawSigningResult } from './peers/raw-signing.ts'
import { generate, temporaryDirectory } from './support/processes.ts'
import { inTurns } from './support/rounds.ts'
import { type Benchmark, compare } from './support/rows.ts'
import { request, signIn, startUsher } from './support/usher.ts'

const concurrency = 16

export const mint: Benchmark = {
  name: 'mint',
  method:
    `Session tokens over HTTP (\`POST /v1/client/sessions/{id}/tokens\`, ${concurrency} connections, signed in by cookie) beside ` +
    `a loop of ${concurrency} that signs as many bytes with the same kind of key (RS256, RSA-2048, Web Crypto) and does nothing ` +
    'else, in a process of its own on the same core.',
  run: async () => {
    using data = temporaryDirectory()
    await using usher = await startUsher(data.path)
    const { cookie, sessionId } = await signIn(usher, 'ada')
    const requests = [request('POST', `/v1/client/sessions/${sessionId}/tokens`, usher.port, { cookie }, '')]
    const measureOurs = async () => {
      const input: HttpLoadInput = {
        port: usher.port,
        connections: concurrency,
        warmUpSeconds: 0.3,
        seconds: 1.5,
        requests,
      }
      return (await generate<HttpLoadResult>('generators/http-load.ts', input)).requestsPerSecond
    }
    const measureRaw = async () => {
      const input: RawSigningInput = { concurrency, seconds: 1.5 }
      return (await generate<RawSigningResult>('peers/raw-signing.ts', input, { core: 0 })).signaturesPerSecond
    }
    // The server's first requests run before its code is compiled: they say nothing about the ones after them.
    await measureOurs()
    await measureOurs()
    const rates = await inTurns(7, { ours: measureOurs, raw: measureRaw })
    return {
      rows: [compare('minting a session token over HTTP, beside raw signing', rates.ours, rates.raw, 0.8)],
      notes: [],
    }
  },
}
