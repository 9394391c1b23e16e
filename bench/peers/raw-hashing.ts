/** Verifies Argon2id hashes on every core, as fast as the machine does, and nothing else. */
import { availableParallelism } from 'node:os'
import { hash, verify } from '../../apps/server/node_modules/@node-rs/argon2'

export type RawHashingInput = { seconds: number; memoryKiB: number; passes: number }
export type RawHashingResult = { hashesPerSecond: number }

const input: RawHashingInput = await Bun.stdin.json()
const { memoryKiB: memoryCost, passes: timeCost } = input
const digest = await hash('a long enough password 1', { algorithm: 2, memoryCost, timeCost, parallelism: 1 })
const end = performance.now() + input.seconds * 1000
const startedAt = performance.now()
let verified = 0
const one = async () => {
  while (performance.now() < end) {
    if (!(await verify(digest, 'a long enough password 1'))) throw new Error('a right password did not fit')
    verified += 1
  }
}
await Promise.all(Array.from({ length: availableParallelism() }, one))
const result: RawHashingResult = { hashesPerSecond: verified / ((performance.now() - startedAt) / 1000) }
console.log(JSON.stringify(result))
process.exit(0)
