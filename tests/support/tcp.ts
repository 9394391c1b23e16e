import { readFileSync } from 'node:fs'

/** How many connections are open at a port of this machine, on the side that listens. */
export function established(listening: number): number {
  const local = `:${listening.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = ['tcp', 'tcp6'].flatMap((family) => readFileSync(`/proc/net/${family}`, 'utf8').split('\n'))
  return rows.filter((line) => {
    const [, address, , state] = line.trim().split(/\s+/)
    return address?.endsWith(local) && state === '01'
  }).length
}
