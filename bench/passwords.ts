import type { RawHashingInput, RawHashingResult } from './peers/raw-hashing.ts'
import { generate, temporaryDirectory } from './support/processes.ts'
import { inTurns } from './support/rounds.ts'
import { atMost, type Benchmark, compare } from './support/rows.ts'
import { backend, signIn, startUsher, type Usher } from './support/usher.ts'

const password = 'a long enough password 1'
/** Each may be tried thirty times in ten minutes. */
const people = 100
const queued = 300

export const passwords: Benchmark = {
  name: 'passwords',
  method:
    'Sign-ins with a password (`POST /v1/client/sign_ins` in one step, 32 at a time, people in turns, each in a new browser) ' +
    'beside a process that verifies Argon2id hashes of the same parameters (19 MiB, two passes) on the same core and does nothing ' +
    `else. Then session tokens are asked for one after the other, alone and while ${queued} sign-ins are under way.`,
  run: async () => {
    using data = temporaryDirectory()
    await using usher = await startUsher(data.path)
    await backendSettings(usher, data.path)
    const addresses = Array.from({ length: people }, (_, i) => `person${i}+clerk_test@example.com`)
    for (const address of addresses) await backend(usher, '/users', { email_address: [address], password })
    let turn = 0
    const signInOnce = async () => {
      turn += 1
      const identifier = addresses[turn % people] as string
      const response = await fetch(`http://127.0.0.1:${usher.port}/v1/client/sign_ins`, {
        method: 'POST',
        body: new URLSearchParams({ identifier, password }),
      })
      const { response: attempt } = (await response.json()) as { response?: { status: string } }
      if (attempt?.status !== 'complete') throw new Error(`a sign-in was refused: ${response.status}`)
    }
    const measureOurs = async () => {
      const startedAt = performance.now()
      let left = 160
      const one = async () => {
        while (left > 0) {
          left -= 1
          await signInOnce()
        }
      }
      await Promise.all(Array.from({ length: 32 }, one))
      return 160 / ((performance.now() - startedAt) / 1000)
    }
    const measureRaw = async () => {
      const input: RawHashingInput = { seconds: 2.5 }
      return (await generate<RawHashingResult>('peers/raw-hashing.ts', input, { core: 0 })).hashesPerSecond
    }
    // What is compiled on the way is part of no round.
    for (let i = 0; i < 6; i += 1) await measureOurs()
    const rates = await inTurns(5, { ours: measureOurs, raw: measureRaw })

    const session = await signIn(usher, 'ada')
    const token = async () => {
      const startedAt = performance.now()
      const url = `http://127.0.0.1:${usher.port}/v1/client/sessions/${session.sessionId}/tokens`
      const response = await fetch(url, { method: 'POST', headers: { cookie: session.cookie } })
      if (!response.ok) throw new Error(`no token: ${response.status}`)
      await response.arrayBuffer()
      return performance.now() - startedAt
    }
    const measureTokens = async (until: () => boolean) => {
      const times: number[] = []
      while (!until()) {
        times.push(await token())
        await Bun.sleep(5)
      }
      return times.sort((a, b) => a - b)
    }
    const end = Date.now() + 3000
    const alone = await measureTokens(() => Date.now() > end)
    let signingIn = true
    const storm = Promise.all(Array.from({ length: queued }, signInOnce)).finally(() => {
      signingIn = false
    })
    const beside = await measureTokens(() => !signingIn)
    await storm
    const at = (times: number[], share: number) => times[Math.floor(times.length * share)] ?? Number.NaN
    return {
      rows: [
        compare('signing in with a password, beside raw Argon2id', rates.ours, rates.raw, 0.85),
        atMost(
          `a session token while ${queued} sign-ins queue, median`,
          at(beside, 0.5),
          Math.max(5, 2 * at(alone, 0.5)),
          'ms',
          1,
        ),
      ],
      notes: [
        `A token took ${at(alone, 0.5).toFixed(1)} ms in the median and ${at(alone, 0.95).toFixed(1)} ms at the 95th percentile alone, ` +
          `${at(beside, 0.5).toFixed(1)} ms and ${at(beside, 0.95).toFixed(1)} ms beside the sign-ins (${beside.length} tokens).`,
      ],
    }
  },
}

/** No limit of attempts stands in the way of a measurement. */
async function backendSettings(usher: Usher, data: string): Promise<void> {
  const { main } = await import('./support/usher.ts')
  const file = `${data}/bench-settings.json`
  await Bun.write(
    file,
    JSON.stringify({ rateLimits: { attemptsPerMinute: 100_000, instanceAttemptsPerMinute: 1_000_000 } }),
  )
  const done = Bun.spawnSync([
    process.execPath,
    main,
    'instances',
    'settings',
    'development',
    '--set',
    file,
    '--data',
    data,
  ])
  if (done.exitCode !== 0) throw new Error(String(done.stderr))
  // The server hears of it by its next look at the events.
  await Bun.sleep(1000)
  if (usher.port === 0) throw new Error('the server has no port')
}
