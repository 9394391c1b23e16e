import type { DocumentJob, DocumentResult } from './document-worker.ts'

const budgetMs = 30_000
/** An idle worker costs tens of megabytes. */
const idleMs = 10_000

type Pending = { resolve: (bytes: Uint8Array | undefined) => void; timer: ReturnType<typeof setTimeout> }
type NewJob = DocumentJob extends infer J ? (J extends { id: number } ? Omit<J, 'id'> : never) : never

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
    this.worker.postMessage({ ...job, id } as DocumentJob)
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
