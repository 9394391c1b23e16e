import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { UsherError } from '../../kernel/errors.ts'
import type { HashAnswer, HashTask } from './hash-worker.ts'

/** Argon2id as OWASP recommends for interactive logins: 19 MiB, two passes, one lane. */
export const parameters = { memoryCost: 19_456, timeCost: 2 }

/** Beyond this the last one would wait for longer than people do. */
const maxWaiting = 2000

type Job = { task: HashTask; done: (result: string | boolean) => void; fail: (error: Error) => void }

const idle: Worker[] = []
const waiting: Job[] = []
const running = new Map<Worker, Job>()
let started = 0
let lastId = 0

/** Argon2id in PHC string format, with our parameters. @throws {UsherError} `unavailable` when too many wait already */
export function argon2idHash(password: string): Promise<string> {
  return run({ id: nextId(), verb: 'hash', password, ...parameters }) as Promise<string>
}

/** Whether a password fits an Argon2id hash. @throws {UsherError} `unavailable` when too many wait already */
export function argon2idVerify(hash: string, password: string): Promise<boolean> {
  return run({ id: nextId(), verb: 'verify', hash, password }) as Promise<boolean>
}

const nextId = () => {
  lastId += 1
  return lastId
}

function run(task: HashTask): Promise<string | boolean> {
  return new Promise((done, fail) => {
    if (waiting.length >= maxWaiting) return fail(tooMany())
    waiting.push({ task, done, fail })
    next()
  })
}

const tooMany = () =>
  new UsherError('unavailable', 'Too many people are signing in at this moment. Please try again.', {
    retryAfterSeconds: 5,
  })

/** Gives the job that waits longest to a thread that has nothing to do; there are as many as cores, made when needed. */
function next(): void {
  if (waiting.length === 0) return
  const worker = idle.pop() ?? (started < availableParallelism() ? start() : undefined)
  const job = worker && waiting.shift()
  if (!worker || !job) return
  running.set(worker, job)
  worker.ref()
  worker.postMessage(job.task)
}

function start(): Worker {
  started += 1
  const worker = new Worker(new URL('./hash-worker.ts', import.meta.url))
  worker.on('message', (data: HashAnswer) => {
    const job = take(worker)
    // A server that stops does not wait for threads that have nothing to do.
    worker.unref()
    idle.push(worker)
    if (job && 'result' in data) job.done(data.result)
    else job?.fail(new Error('a password could not be hashed'))
    next()
  })
  worker.on('error', () => {
    started -= 1
    take(worker)?.fail(new Error('a password could not be hashed'))
    void worker.terminate()
    next()
  })
  return worker
}

function take(worker: Worker): Job | undefined {
  const job = running.get(worker)
  running.delete(worker)
  return job
}

const turns: (() => void)[] = []
let foreign = 0

/** Lets one hash of another system be verified at a time: those run beside everything else. */
export async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (turns.length >= maxWaiting) throw tooMany()
  if (foreign > 0) await new Promise<void>((turn) => turns.push(turn))
  else foreign += 1
  try {
    return await work()
  } finally {
    const turn = turns.shift()
    if (turn) turn()
    else foreign -= 1
  }
}
