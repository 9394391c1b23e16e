import type { DocumentJob, DocumentResult } from './document-worker.ts'

const budgetMs = 30_000
/** An idle worker costs tens of megabytes. */
const idleMs = 10_000

type Pending = { resolve: (bytes: Uint8Array | undefined) => void; timer: ReturnType<typeof setTimeout> }
type NewJob =
  | { kind: 'compact'; updates: readonly Uint8Array[] }
  | { kind: 'diff'; update: Uint8Array; vector: Uint8Array }

/**
 * Runs what needs yjs in one worker, so that a large document cannot stall the event loop. Started when needed, ended
 * when idle, killed when a job takes longer than 30 s.
 */
export class DocumentWorker {
  private worker: Worker | undefined
  private readonly pending = new Map<number, Pending>()
  private nextId = 1
  private idleTimer: ReturnType<typeof setTimeout> | undefined

  /** @returns the resulting bytes; undefined when the job failed or took too long */
  run(job: NewJob): Promise<Uint8Array | undefined> {
    clearTimeout(this.idleTimer)
    this.worker ??= this.start()
    const id = this.nextId++
    const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>()
    this.pending.set(id, { resolve, timer: setTimeout(() => this.end(), budgetMs) })
    if (job.kind === 'compact') {
      const { packed, lengths } = pack(job.updates)
      this.worker.postMessage({ kind: 'compact', id, packed, lengths } satisfies DocumentJob, [
        packed.buffer,
        lengths.buffer,
      ])
    } else this.worker.postMessage({ ...job, id } satisfies DocumentJob)
    return promise
  }

  /** Kills the worker; what it was doing has failed. */
  end(): void {
    clearTimeout(this.idleTimer)
    this.worker?.terminate()
    this.worker = undefined
    for (const { resolve, timer } of this.pending.values()) {
      clearTimeout(timer)
      resolve(undefined)
    }
    this.pending.clear()
  }

  private start(): Worker {
    const worker = new Worker(new URL('./document-worker.ts', import.meta.url).href, { smol: true, ref: false })
    worker.onmessage = ({ data }: MessageEvent<DocumentResult>) => {
      const job = this.pending.get(data.id)
      if (!job) return
      this.pending.delete(data.id)
      clearTimeout(job.timer)
      job.resolve(data.bytes)
      if (this.pending.size > 0) return
      this.idleTimer = setTimeout(() => this.end(), idleMs)
      this.idleTimer.unref()
    }
    worker.onerror = () => this.end()
    return worker
  }
}

/** One buffer that is handed over: to clone tens of thousands of small ones would stall the event loop for longer. */
function pack(updates: readonly Uint8Array[]): { packed: Uint8Array<ArrayBuffer>; lengths: Uint32Array<ArrayBuffer> } {
  const lengths = Uint32Array.from(updates, (update) => update.length)
  const packed = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0))
  let at = 0
  for (const update of updates) {
    packed.set(update, at)
    at += update.length
  }
  return { packed, lengths }
}
