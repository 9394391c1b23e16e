import type { RawHashingInput, RawHashingResult } from './peers/raw-hashing.ts'
import { generate, temporaryDirectory } from './support/processes.ts'
import { inTurns } from './support/rounds.ts'
import { atMost, type Benchmark, compare } from './support/rows.ts'
import { backend, signIn, startUsher, type Usher } from './support/usher.ts'

const password = 'a long enough password 1'
/** Each may be tried thirty times in ten minutes. */
const people = 100
const queued = 300
const atOnce = 32

/** What `npm start` hashes with, and the least that can be configured. */
const costs = {
  default: { memoryKiB: 65_536, passes: 3, perRound: 64, warmUps: 6 },
  least: { memoryKiB: 19_456, passes: 2, perRound: 160, warmUps: 6 },
} as const
type Cost = (typeof costs)[keyof typeof costs]

export const passwords: Benchmark = {
  name: 'passwords',
  method:
    `Sign-ins with a password (\`POST /v1/client/sign_ins\` in one step, ${atOnce} at a time, people in turns, each in a new browser) ` +
    'beside a process that verifies Argon2id hashes of the same parameters on the same core and does nothing else: at the cost that ' +
    'hashes have by default (64 MiB, three passes), and at the least that can be configured (19 MiB, two passes), where everything ' +
    `else weighs most. Then session tokens are asked for one after the other, alone and while ${queued} sign-ins are under way.`,
  run: async () => {
    const byDefault = await measureSignIns(costs.default, async (usher, signInOnce) => ({
      tokens: await measureTokens(usher, signInOnce),
    }))
    const atLeast = await measureSignIns(costs.least, async () => ({}))
    const { alone, beside } = byDefault.tokens
    return {
      rows: [
        compare('signing in with a password, beside raw Argon2id', byDefault.ours, byDefault.raw, 0.85),
        compare('the same where hashes cost the least', atLeast.ours, atLeast.raw, undefined),
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
          `${at(beside, 0.5).toFixed(1)} ms and ${at(beside, 0.95).toFixed(1)} ms beside the sign-ins (${beside.length} tokens). ` +
          `A hash took ${(1000 / byDefault.raw).toFixed(1)} ms by default, ${(1000 / atLeast.raw).toFixed(1)} at the least; ` +
          `a sign-in ${(1000 / byDefault.ours).toFixed(1)} and ${(1000 / atLeast.ours).toFixed(1)}.`,
      ],
    }
  },
}

type SignInOnce = () => Promise<void>

/** Sign-ins a second by a server of its own, and hashes a second by a process that does nothing else. */
async function measureSignIns<More>(cost: Cost, then: (usher: Usher, signInOnce: SignInOnce) => Promise<More>) {
  const { memoryKiB, passes } = cost
  using data = temporaryDirectory()
  const env: Record<string, string> =
    cost === costs.default ? {} : { USHER_PASSWORD_COST: `m=${memoryKiB},t=${passes}` }
  await using usher = await startUsher(data.path, env)
  await liftLimits(usher, data.path)
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
    let left: number = cost.perRound
    const one = async () => {
      while (left > 0) {
        left -= 1
        await signInOnce()
      }
    }
    await Promise.all(Array.from({ length: atOnce }, one))
    return cost.perRound / ((performance.now() - startedAt) / 1000)
  }
  const measureRaw = async () => {
    const input: RawHashingInput = { seconds: 2.5, memoryKiB, passes }
    return (await generate<RawHashingResult>('peers/raw-hashing.ts', input, { core: 0 })).hashesPerSecond
  }
  // What is compiled on the way is part of no round.
  for (let i = 0; i < cost.warmUps; i += 1) await measureOurs()
  return { ...(await inTurns(5, { ours: measureOurs, raw: measureRaw })), ...(await then(usher, signInOnce)) }
}

/** How long tokens take, in milliseconds from the shortest to the longest, with nothing beside them and with sign-ins. */
async function measureTokens(usher: Usher, signInOnce: SignInOnce) {
  const session = await signIn(usher, 'ada')
  const token = async () => {
    const startedAt = performance.now()
    const url = `http://127.0.0.1:${usher.port}/v1/client/sessions/${session.sessionId}/tokens`
    const response = await fetch(url, { method: 'POST', headers: { cookie: session.cookie } })
    if (!response.ok) throw new Error(`no token: ${response.status}`)
    await response.arrayBuffer()
    return performance.now() - startedAt
  }
  const tokensUntil = async (until: () => boolean) => {
    const times: number[] = []
    while (!until()) {
      times.push(await token())
      await Bun.sleep(5)
    }
    return times.sort((a, b) => a - b)
  }
  const end = Date.now() + 3000
  const alone = await tokensUntil(() => Date.now() > end)
  let signingIn = true
  const storm = Promise.all(Array.from({ length: queued }, signInOnce)).finally(() => {
    signingIn = false
  })
  const beside = await tokensUntil(() => !signingIn)
  await storm
  return { alone, beside }
}

const at = (times: number[], share: number) => times[Math.floor(times.length * share)] ?? Number.NaN

/** No limit of attempts stands in the way of a measurement. */
async function liftLimits(usher: Usher, data: string): Promise<void> {
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
