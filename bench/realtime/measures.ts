import { readFileSync } from 'node:fs'
import { processTree } from '../support/processes.ts'
import { type Row, times } from '../support/rows.ts'

/** Seconds of processor time that a process and its children have taken so far, PostgreSQL included. */
export function cpuSeconds(pid: number): number {
  let ticks = 0
  for (const id of processTree(pid)) {
    try {
      const stat = readFileSync(`/proc/${id}/stat`, 'utf8')
      // The name stands in brackets and may contain anything.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      ticks += Number(fields[11]) + Number(fields[12])
    } catch {
      // It ended meanwhile.
    }
  }
  return ticks / 100
}

/** What something costs a server, in seconds of processor time. */
export async function cpuOf<Result>(
  pid: number,
  work: () => Promise<Result>,
): Promise<{ result: Result; cpu: number }> {
  const before = cpuSeconds(pid)
  const result = await work()
  return { result, cpu: cpuSeconds(pid) - before }
}

/** A row where less is better: ours by the peer's must not pass the target. */
export function atMostTimes(
  name: string,
  ours: number,
  peer: number,
  target: number | undefined,
  unit: string,
  digits = 1,
): Row {
  const ratio = ours / peer
  return {
    name,
    ours: `${ours.toFixed(digits)} ${unit}`,
    peer: `${peer.toFixed(digits)} ${unit}`,
    ratio: times(ratio),
    target: target === undefined ? '–' : `≤ ${target}x`,
    met: target === undefined ? undefined : ratio <= target,
  }
}
