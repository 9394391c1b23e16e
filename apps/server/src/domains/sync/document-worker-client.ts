import type { Compacted, DocumentJob, DocumentResult } from './document-worker.ts'

const budgetMs = 30_000
/** An idle worker costs tens of megabytes. */
const idleMs = 10_000

/** Copied at once for the worker; more would be felt by those who wait for the event loop. */
const partBytes = 1024 * 1024
const partUpdates = 2000

type Pending = { resolve: (result: DocumentResult | undefined) => void; timer: ReturnType<typeof setTimeout> }

/**
 * Runs what needs yjs in one worker, so that a large document cannot stall the event loop. Started when needed, ended
 * when idle, killed when a job takes longer than 30 s.
 */
export class DocumentWorker {
  private worker: Worker | undefined
  private readonly pending = new Map<number, Pending>()
  private nextId = 1
  private idleTimer: ReturnType<typeof setTimeout> | undefined

  /** @returns the document of these updates; undefined when that failed or took too long */
  async compact(updates: readonly Uint8Array[]): Promise<Compacted | undefined> {
    const { id, result } = this.begin()
    for (let next = 0; next < updates.length; ) {
      const part = pack(updates, next)
      this.post({ kind: 'part', id, packed: part.packed, lengths: part.lengths }, [
        part.packed.buffer,
        part.lengths.buffer,
      ])
      next = part.end
      if (next < updates.length) await new Promise(setImmediate)
      if (!this.pending.has(id)) return undefined
    }
    this.post({ kind: 'compact', id })
    return (await result)?.compacted
  }

  /** @returns what `update` holds beyond the vector; undefined when that failed or took too long */
  async diff(update: Uint8Array, vector: Uint8Array): Promise<Uint8Array | undefined> {
    const { id, result } = this.begin()
    this.post({ kind: 'diff', id, update, vector })
    return (await result)?.bytes
  }

  private begin() {
    clearTimeout(this.idleTimer)
    this.worker ??= this.start()
    const id = this.nextId++
    const { promise: result, resolve } = Promise.withResolvers<DocumentResult | undefined>()
    this.pending.set(id, { resolve, timer: setTimeout(() => this.end(), budgetMs) })
    return { id, result }
  }

  private post(job: DocumentJob, transfer: ArrayBuffer[] = []) {
    this.worker?.postMessage(job, transfer)
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
      job.resolve(data)
      if (this.pending.size > 0) return
      this.idleTimer = setTimeout(() => this.end(), idleMs)
      this.idleTimer.unref()
    }
    worker.onerror = () => this.end()
    return worker
  }
}

/** One buffer that is handed over: to clone tens of thousands of small ones would stall the event loop for longer. */
function pack(updates: readonly Uint8Array[], start: number) {
  let size = 0
  let end = start
  for (; end < updates.length && end - start < partUpdates && (end === start || size < partBytes); end++)
    size += (updates[end] as Uint8Array).length
  const packed = new Uint8Array(size)
  const lengths = new Uint32Array(end - start)
  let at = 0
  for (let i = start; i < end; i++) {
    const update = updates[i] as Uint8Array
    packed.set(update, at)
    lengths[i - start] = update.length
    at += update.length
  }
  return { packed, lengths, end }
}
