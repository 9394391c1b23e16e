import { spawnSync } from 'node:child_process'
import { cpus, loadavg, release, totalmem, type } from 'node:os'
import { canPin } from './processes.ts'

/** Where the numbers come from, in a sentence or two. */
export function describeMachine(): string {
  const [cpu] = cpus()
  const node = spawnSync('node', ['--version'], { encoding: 'utf8' }).stdout?.trim()
  const load = loadavg()[0]?.toFixed(1)
  return [
    `Measured ${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC on ${cpus().length} × ${cpu?.model}, ` +
      `${Math.round(totalmem() / 2 ** 30)} GB, ${type()} ${release()}, Bun ${Bun.version}, Node ${node}; load average ${load} at the end.`,
    canPin
      ? 'Servers (ours with its PostgreSQL, and the peers) run on one core, the generator on another; everything is on loopback, without TLS.'
      : 'Servers and generators share all cores, because they cannot be kept apart here; everything is on loopback, without TLS.',
    'Ours and the peers take turns within the run, and each number is the median of its rounds: compare within a row, not between runs.',
  ].join(' ')
}
