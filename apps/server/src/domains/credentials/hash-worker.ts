/**
 * One of the threads that hash passwords. Hashing takes all that a core gives for some twenty to a hundred milliseconds;
 * these threads stand back for whatever else wants to run (Linux: niceness 10), so that whoever is signed in already does
 * not wait behind those who are signing in.
 */
import { readlinkSync } from 'node:fs'
import { setPriority } from 'node:os'
import { parentPort } from 'node:worker_threads'
import { type Algorithm, hashSync } from '@node-rs/argon2'
import type { HashCost } from './hash-cost.ts'
import { fitsDigest } from './hashers.ts'

export type HashTask =
  | { verb: 'hash'; password: string; cost: HashCost }
  | {
      verb: 'verify'
      password: string
      /** Nothing: nobody is known, or they have no password. */
      stored: { hasher: string; hash: string } | undefined
      /** Work that is done besides, so that an answer takes as long for whoever is known as for a stranger. */
      besides: HashCost | undefined
    }
export type HashAnswer = { result: string | boolean } | { error: string }

try {
  // Of this thread alone, which Linux counts as a process with an id of its own.
  setPriority(Number(readlinkSync('/proc/thread-self').split('/').at(-1)), 10)
} catch {
  // Elsewhere threads have no priorities that we could set.
}

parentPort?.on('message', (tasks: HashTask[]) => parentPort?.postMessage(tasks.map(answer)))

function answer(task: HashTask): HashAnswer {
  try {
    if (task.verb === 'hash') return { result: argon2id(task.password, task.cost) }
    const { password, stored, besides } = task
    const fits = stored !== undefined && fitsDigest(stored.hasher, stored.hash, password)
    if (besides) argon2id(password, besides)
    return { result: fits }
  } catch (error) {
    return { error: error instanceof Error ? error.message : 'hashing failed' }
  }
}

const argon2id = (password: string, { memoryKiB, passes }: HashCost) =>
  hashSync(password, {
    algorithm: 2 as Algorithm.Argon2id,
    memoryCost: memoryKiB,
    timeCost: passes,
    parallelism: 1,
  })
