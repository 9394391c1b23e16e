import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Subprocess } from 'bun'

export const root = join(import.meta.dir, '../..')
const bun = process.execPath

/** With two cores or more, servers run on the first and generators on the second: neither takes time from the other. */
export const canPin = process.platform === 'linux' && availableParallelism() >= 2 && Bun.which('taskset') !== null

const pin = (core: number) => (canPin ? ['taskset', '-c', String(core)] : [])

export type RunningProcess = AsyncDisposable & { pid: number; child: Subprocess<'ignore', 'pipe', 'pipe'> }

const running = new Set<Subprocess>()

/** Ends what this run started and did not get to end, for example after an interrupt. */
export function endAll(): void {
  for (const child of running) child.kill('SIGTERM')
}

type StartOptions = { env?: Record<string, string>; cwd?: string }

/** Starts a server on the servers' core. It ends with the scope that holds it. */
export function startServer(command: string[], { env = {}, cwd = root }: StartOptions = {}): RunningProcess {
  const child = Bun.spawn([...pin(0), ...command], {
    cwd,
    // A clean environment: settings of the caller's shell (a DATABASE_URL, say) must not change what is measured.
    env: { PATH: process.env.PATH, HOME: process.env.HOME, NODE_ENV: 'production', LOG_LEVEL: 'warn', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  return {
    pid: child.pid,
    child,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM')
      const late = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await child.exited
      clearTimeout(late)
      running.delete(child)
    },
  }
}

/** The first line that a server prints: our own servers say so that they are ready. */
export async function firstLine({ child }: RunningProcess): Promise<string> {
  let text = ''
  const decoder = new TextDecoder()
  for await (const chunk of child.stdout) {
    text += decoder.decode(chunk, { stream: true })
    const end = text.indexOf('\n')
    if (end >= 0) {
      void drainOutput(child)
      return text.slice(0, end)
    }
  }
  throw new Error(`a server ended before it was ready:\n${await new Response(child.stderr).text()}`)
}

/** Nobody reads the rest, and a full pipe would stop the server. */
async function drainOutput(child: Subprocess<'ignore', 'pipe', 'pipe'>) {
  const read = async (stream: ReadableStream<Uint8Array>) => {
    if (!stream.locked) for await (const _ of stream);
  }
  await Promise.allSettled([read(child.stdout), read(child.stderr)])
}

/** Waits until something accepts connections on the port. */
export async function waitForPort(port: number, { child }: RunningProcess): Promise<void> {
  const deadline = performance.now() + 20_000
  while (performance.now() < deadline && child.exitCode === null) {
    try {
      const socket = await Bun.connect({ hostname: '127.0.0.1', port, socket: { data() {} } })
      socket.end()
      void drainOutput(child)
      return
    } catch {
      await Bun.sleep(20)
    }
  }
  throw new Error(`a server did not start:\n${child.exitCode === null ? '' : await new Response(child.stderr).text()}`)
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => resolve(port))
    })
  })
}

/** Runs a load generator on the generators' core and gives back what it measured. */
export async function generate<Result>(
  file: string,
  input: unknown,
  { core = 1 }: { core?: 0 | 1 } = {},
): Promise<Result> {
  const child = Bun.spawn([...pin(core), bun, join(import.meta.dir, '..', file)], {
    cwd: root,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, NODE_ENV: 'production' },
    stdio: [new Blob([JSON.stringify(input)]), 'pipe', 'pipe'],
  })
  running.add(child)
  const limit = setTimeout(() => child.kill('SIGKILL'), 60_000)
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
  await child.exited
  clearTimeout(limit)
  running.delete(child)
  if (child.exitCode !== 0) throw new Error(`${file} failed:\n${stderr || stdout}`)
  return JSON.parse(stdout) as Result
}

/** Starts a generator that is told what to do line by line. */
export function startGenerator(file: string) {
  const child = Bun.spawn([...pin(1), bun, file], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, NODE_ENV: 'production' },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  running.add(child)
  return {
    child,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM')
      await child.exited
      running.delete(child)
    },
  }
}

/** Reads what a process prints, one line a call. */
export function lineReader({ child }: { child: { stdout: ReadableStream<Uint8Array> } }): () => Promise<string> {
  const reader = child.stdout.getReader()
  const decoder = new TextDecoder()
  let text = ''
  return async () => {
    while (!text.includes('\n')) {
      const { value, done } = await reader.read()
      if (done) throw new Error('a process ended before it answered')
      text += decoder.decode(value, { stream: true })
    }
    const end = text.indexOf('\n')
    const line = text.slice(0, end)
    text = text.slice(end + 1)
    return line
  }
}

export function temporaryDirectory(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), 'usher-bench-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true, maxRetries: 5 }) }
}

/** A process and everything that it started. */
export function processTree(pid: number): number[] {
  const childrenOf = new Map<number, number[]>()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    try {
      // The name stands in brackets and may contain anything: the fields behind the last bracket are safe.
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8')
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
      childrenOf.set(parent, [...(childrenOf.get(parent) ?? []), Number(entry)])
    } catch {
      // It ended meanwhile.
    }
  }
  const walk = (id: number): number[] => [id, ...(childrenOf.get(id) ?? []).flatMap(walk)]
  return walk(pid)
}

/** Resident memory of one process in bytes. */
export function residentBytes(pid: number): number {
  return 1024 * Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)?.[1])
}

/**
 * Memory of a process and its children in bytes: what is theirs alone, and what they share counted once per program.
 * (PSS would count less, because it divides what they share by everybody else on the machine who runs the same program.)
 */
export function treeBytes(pid: number): number {
  const byProgram = new Map<string, { own: number; shared: number }>()
  for (const id of processTree(pid)) {
    const rollup = readFileSync(`/proc/${id}/smaps_rollup`, 'utf8')
    const sum = (names: RegExp) =>
      [...rollup.matchAll(names)].reduce((total, match) => total + 1024 * Number(match[1]), 0)
    const program = readlinkSync(`/proc/${id}/exe`)
    const { own, shared } = byProgram.get(program) ?? { own: 0, shared: 0 }
    byProgram.set(program, {
      own: own + sum(/^Private_(?:Clean|Dirty):\s+(\d+)/gm),
      shared: Math.max(shared, sum(/^Shared_(?:Clean|Dirty):\s+(\d+)/gm)),
    })
  }
  return [...byProgram.values()].reduce((total, { own, shared }) => total + own + shared, 0)
}
