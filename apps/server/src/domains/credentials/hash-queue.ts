import { availableParallelism, totalmem } from 'node:os'
import { Worker } from 'node:worker_threads'
import { UsherError } from '../../kernel/errors.ts'
import { hashCost, threadsWithin } from './hash-cost.ts'
import type { HashAnswer, HashTask } from './hash-worker.ts'

const cores = availableParallelism()
/** Of a container, where it has a limit. */
const memoryKiB = Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY) / 1024

/** Beyond this for each thread the last one would wait for longer than people do, and than proxies do. */
const maxWaiting = 400

type Job = { task: HashTask; done: (result: string | boolean) => void; fail: (error: Error) => void }

/**
 * While many wait, a thread is given several at once and answers them together. What follows a hash then runs for some of
 * them in a row, out of caches that the next hash, which goes through more than they hold, leaves to nobody.
 */
const maxTogether = 8
/** So many wait for each one more that is given at once: what the first of them loses by it, it hardly notices. */
const waitingForOneMore = 4

const idle: Worker[] = []
const waiting: Job[] = []
const running = new Map<Worker, Job[]>()
let started = 0
let lastId = 0

/** Argon2id in PHC string format, at the cost of today. @throws {UsherError} `unavailable` when too many wait already */
export function argon2idHash(password: string): Promise<string> {
  return run({ id: nextId(), verb: 'hash', password, ...hashCost() }) as Promise<string>
}

/** Whether a password fits a stored hash. @throws {UsherError} `unavailable` when too many wait already */
export function verifyHash(stored: { hasher: string; hash: string }, password: string): Promise<boolean> {
  const { hasher, hash } = stored
  return run({ id: nextId(), verb: 'verify', hasher, hash, password }) as Promise<boolean>
}

/** How many hashes may be under way. */
const threads = () => threadsWithin({ cores, memoryKiB })

/** Whether so many wait for a thread that whoever needs one now waits for some hundred milliseconds. */
export const areHashesWaiting = (): boolean => waiting.length >= 8 * threads()

const nextId = () => {
  lastId += 1
  return lastId
}

function run(task: HashTask): Promise<string | boolean> {
  return new Promise((done, fail) => {
    if (waiting.length >= maxWaiting * threads()) return fail(tooMany())
    waiting.push({ task, done, fail })
    next()
  })
}

const tooMany = () =>
  new UsherError('unavailable', 'Too many people are signing in at this moment. Please try again.', {
    retryAfterSeconds: 5,
  })

/** Gives a job to a thread that has nothing to do; they are made when needed. */
function next(): void {
  if (waiting.length === 0) return
  const worker = idle.pop() ?? (started < threads() ? start() : undefined)
  const first = worker && takeWaiting()
  if (!worker || !first) return
  const jobs = [first]
  if (!isForeign(first)) {
    const more = Math.min(maxTogether - 1, Math.floor(waiting.length / waitingForOneMore))
    for (let i = 0; i < more && waiting[0] && !isForeign(waiting[0]); i += 1) jobs.push(waiting.shift() as Job)
  }
  running.set(worker, jobs)
  worker.ref()
  worker.postMessage(jobs.map(({ task }) => task))
}

/**
 * The job that waits longest. Hashes of other systems may take ten times as long as ours: while any of ours waits, they
 * leave one thread to them, so that those who just came from elsewhere do not hold up everybody.
 */
function takeWaiting(): Job | undefined {
  const foreign = [...running.values()].filter((jobs) => jobs.some(isForeign)).length
  const room = foreign < Math.max(1, threads() - 1)
  const at = room
    ? 0
    : Math.max(
        0,
        waiting.findIndex((job) => !isForeign(job)),
      )
  return waiting.splice(at, 1)[0]
}

const isForeign = ({ task }: Job) => task.verb === 'verify' && task.hasher !== 'argon2id'

function start(): Worker {
  started += 1
  const worker = new Worker(new URL('./hash-worker.ts', import.meta.url))
  worker.on('message', (answers: HashAnswer[]) => {
    const jobs = take(worker)
    // A server that stops does not wait for threads that have nothing to do.
    worker.unref()
    idle.push(worker)
    for (const [i, job] of jobs.entries()) {
      const answer = answers[i]
      if (answer && 'result' in answer) job.done(answer.result)
      else job.fail(new Error('a password could not be hashed'))
    }
    next()
  })
  let over = false
  const end = () => {
    if (over) return
    over = true
    started -= 1
    // It may have ended while it had nothing to do; the next job must not be given to it.
    const at = idle.indexOf(worker)
    if (at >= 0) idle.splice(at, 1)
    for (const job of take(worker)) job.fail(new Error('a password could not be hashed'))
    void worker.terminate()
    next()
  }
  worker.on('error', end)
  worker.on('exit', end)
  return worker
}

function take(worker: Worker): Job[] {
  const jobs = running.get(worker) ?? []
  running.delete(worker)
  return jobs
}
