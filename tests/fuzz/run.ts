/**
 * `bun tests/fuzz/run.ts [--seconds 600] [--seed N]`: fuzzes the update validator against yjs for as
 * long as is asked. Each finding is printed with its seed and its bytes; a round that does not end within half a minute
 * is one too. Ends with 1 when something was found.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Counts, fuzz, noCounts } from './walk-update.ts'

/** A process is used this long: what one round leaves behind must not be blamed on another. */
const turnSeconds = 60
const stuckMs = 30_000

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '600' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    /** Where the process of one turn notes the seed that it is at. */
    notes: { type: 'string' },
  },
})
const first = Number(values.seed)
const seconds = Number(values.seconds)

if (values.notes) {
  const { notes } = values
  const counts = fuzz(first, seconds * 1000, (seed) => writeFileSync(notes, String(seed)))
  console.log(JSON.stringify(counts))
} else process.exitCode = (await supervise()) ? 0 : 1

/** Turns, each in a process of its own, until the time is over. */
async function supervise(): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), 'usher-fuzz-'))
  const notes = join(directory, 'seed')
  const total = noCounts()
  let seed = first
  let found = 0
  console.error(`seed ${first}, ${seconds} s`)
  for (const endsAt = performance.now() + seconds * 1000; performance.now() < endsAt; ) {
    const left = Math.ceil(Math.min(turnSeconds, (endsAt - performance.now()) / 1000))
    writeFileSync(notes, String(seed))
    const turn = await oneTurn(seed, left, notes)
    const reached = Number(readFileSync(notes, 'utf8'))
    if (turn.counts) for (const key of Object.keys(total) as (keyof Counts)[]) total[key] += turn.counts[key]
    else {
      found++
      console.log(turn.failure ?? `seed ${reached}: the round does not end`)
    }
    seed = reached + 1
  }
  rmSync(directory, { recursive: true, force: true })
  console.log(
    `seeds ${first} to ${seed - 1}: ${total.documents} documents, ${total.real} updates of clients, all accepted; ` +
      `${total.hostile} hostile updates, ${total.accepted} of them accepted, ${total.conflicting} of those in ` +
      `contradiction to their document; ${found} findings`,
  )
  return found === 0
}

async function oneTurn(seed: number, turn: number, notes: string): Promise<{ counts?: Counts; failure?: string }> {
  const args = ['--seed', String(seed), '--seconds', String(turn), '--notes', notes]
  const child = Bun.spawn([process.execPath, import.meta.path, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let at = ''
  let since = performance.now()
  const watch = setInterval(() => {
    const now = readFileSync(notes, 'utf8')
    if (now !== at) since = performance.now()
    at = now
    if (performance.now() - since > stuckMs) child.kill('SIGKILL')
  }, 1000)
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
  await child.exited
  clearInterval(watch)
  if (child.exitCode === 0) return { counts: JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Counts }
  return { failure: child.signalCode === 'SIGKILL' ? undefined : stderr }
}
