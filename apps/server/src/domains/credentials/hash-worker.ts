/**
 * One of the threads that hash passwords. Hashing takes all that a core gives for some twenty to a hundred milliseconds; these
 * threads stand back for whatever else wants to run (Linux: niceness 10), so that whoever is signed in already does not
 * wait behind those who are signing in.
 */
import { readlinkSync } from 'node:fs'
import { setPriority } from 'node:os'
import { parentPort } from 'node:worker_threads'
import { type Algorithm, hashSync } from '@node-rs/argon2'
import { fitsDigest } from './hashers.ts'

export type HashTask =
  | { id: number; verb: 'hash'; password: string; memoryKiB: number; passes: number }
  | { id: number; verb: 'verify'; password: string; hasher: string; hash: string }
export type HashAnswer = { id: number; result: string | boolean } | { id: number; error: string }

try {
  // Of this thread alone, which Linux counts as a process with an id of its own.
  setPriority(Number(readlinkSync('/proc/thread-self').split('/').at(-1)), 10)
} catch {
  // Elsewhere threads have no priorities that we could set.
}

parentPort?.on('message', (tasks: HashTask[]) => parentPort?.postMessage(tasks.map(answer)))

function answer(task: HashTask): HashAnswer {
  const { id, password } = task
  try {
    if (task.verb === 'verify') return { id, result: fitsDigest(task.hasher, task.hash, password) }
    const cost = { memoryCost: task.memoryKiB, timeCost: task.passes, parallelism: 1 }
    return { id, result: hashSync(password, { algorithm: 2 as Algorithm.Argon2id, ...cost }) }
  } catch (error) {
    return { id, error: error instanceof Error ? error.message : 'hashing failed' }
  }
}
