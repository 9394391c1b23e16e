import { availableParallelism, totalmem } from 'node:os'
import { Worker } from 'node:worker_threads'
import { UsherError } from '../../kernel/errors.ts'
import { hashCost, lackingCost, shareOfRecommended } from './hash-cost.ts'
import type { HashAnswer, HashTask } from './hash-worker.ts'
import { memoryOfDigest } from './hashers.ts'

const cores = availableParallelism()
/** What hashes under way may take together: a quarter of the machine's memory, or of what its container may have. */
const budgetKiB = Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY) / 1024 / 4

/** Beyond this for each thread, at the recommended cost, the last one would wait for longer than people do. */
const maxWaiting = 400

type Job = { task: HashTask; memoryKiB: number; done: (result: string | boolean) => void; fail: (error: Error) => void }

/**
 * While many wait, a thread is given several at once and answers them together. What follows a hash then runs for some of
 * them in a row, out of caches that the next hash, which goes through more than they hold, leaves to nobody.
 */
const maxTogether = 8
/** So many wait for each thread for one more that is given at once: what the first of them loses by it, it hardly notices. */
const waitingForOneMore = 4

const idle: Worker[] = []
const waiting: Job[] = []
const running = new Map<Worker, Job[]>()
let started = 0

/** Argon2id in PHC string format, at the cost of today. @throws {UsherError} `unavailable` when too many wait already */
export function argon2idHash(password: string): Promise<string> {
  return run({ verb: 'hash', password, cost: hashCost() }) as Promise<string>
}

/**
 * Whether a password fits a stored hash. Takes the work of one of our own hashes at least, whatever is stored and whether
 * anything is: by the time that it takes, nobody is told from a stranger.
 *
 * @throws {UsherError} `unavailable` when too many wait already
 */
export function verifyHash(stored: { hasher: string; hash: string } | undefined, password: string): Promise<boolean> {
  const known = stored && { hasher: stored.hasher, hash: stored.hash }
  return run({ verb: 'verify', password, stored: known, besides: lackingCost(known) }) as Promise<boolean>
}

/** How many hashes of ours may be under way. */
export const threadsWithin = ({ cores, budgetKiB }: { cores: number; budgetKiB: number }): number =>
  Math.max(1, Math.min(cores, Math.floor(budgetKiB / hashCost().memoryKiB)))
const threads = () => threadsWithin({ cores, budgetKiB })

/** Whether so many wait for a thread that whoever needs one now waits for some hundred milliseconds. */
export const areHashesWaiting = (): boolean => waiting.length >= 8 * threads()

function run(task: HashTask): Promise<string | boolean> {
  return new Promise((done, fail) => {
    if (waiting.length >= (maxWaiting * threads()) / shareOfRecommended()) return fail(tooMany())
    waiting.push({ task, memoryKiB: memoryOf(task), done, fail })
    next()
  })
}

const tooMany = () =>
  new UsherError('unavailable', 'Too many people are signing in at this moment. Please try again.', {
    retryAfterSeconds: 15,
  })

/** Gives jobs to threads that have nothing to do. One that ends may leave memory for several. */
function next(): void {
  while (begin());
}

/**
 * Gives a thread the job that is next; there are as many as cores, made when needed.
 *
 * @returns false when nothing waits, or has to wait on
 */
function begin(): boolean {
  if (waiting.length === 0 || (idle.length === 0 && started >= cores)) return false
  const at = nextAt()
  const first = waiting[at] as Job
  if (running.size > 0 && memoryUnderWay() + first.memoryKiB > budgetKiB) return false
  waiting.splice(at, 1)
  const jobs = [first]
  if (!isForeign(first)) {
    const more = Math.min(maxTogether - 1, Math.floor(waiting.length / (waitingForOneMore * threads())))
    const fitsIn = (job: Job) => !isForeign(job) && job.memoryKiB <= first.memoryKiB
    for (let i = 0; i < more && waiting[0] && fitsIn(waiting[0]); i += 1) jobs.push(waiting.shift() as Job)
  }
  const worker = idle.pop() ?? start()
  running.set(worker, jobs)
  worker.ref()
  worker.postMessage(jobs.map(({ task }) => task))
  return true
}

/** KiB that a task holds while it is under way. */
const memoryOf = (task: HashTask) =>
  task.verb === 'hash'
    ? task.cost.memoryKiB
    : Math.max(task.besides?.memoryKiB ?? 0, task.stored ? memoryOfDigest(task.stored.hasher, task.stored.hash) : 0)

/** Of what a thread was given at once, the first takes the most. */
const memoryUnderWay = () => running.values().reduce((sum, [first]) => sum + (first?.memoryKiB ?? 0), 0)

/**
 * Place of the job that waits longest. Hashes of other systems may take ten times as long as ours: while any of ours waits,
 * they leave one thread to them, so that those who just came from elsewhere do not hold up everybody.
 */
function nextAt(): number {
  const foreign = [...running.values()].filter((jobs) => jobs.some(isForeign)).length
  const room = foreign < Math.max(1, threads() - 1)
  const ours = room ? 0 : waiting.findIndex((job) => !isForeign(job))
  return Math.max(0, ours)
}

const isForeign = ({ task }: Job) =>
  task.verb === 'verify' && task.stored !== undefined && task.stored.hasher !== 'argon2id'

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
