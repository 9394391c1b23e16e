import { readFileSync } from 'node:fs'

/** Connections that are open at a port of this machine, as the side that listens has them. */
function connectionsOf(listening: number) {
  const local = `:${listening.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = ['tcp', 'tcp6'].flatMap((family) => readFileSync(`/proc/net/${family}`, 'utf8').split('\n'))
  return rows
    .map((line) => line.trim().split(/\s+/))
    .filter(([, address, , state]) => address?.endsWith(local) && state === '01')
    .map(([, , , , queues, , retransmissions]) => ({
      unacknowledged: Number.parseInt(queues ?? '', 16),
      retransmissions: Number.parseInt(retransmissions ?? '', 16),
    }))
}

/** How many connections are open at a port of this machine, on the side that listens. */
export const established = (listening: number): number => connectionsOf(listening).length

/** How many of them say the same again and again because nobody acknowledges it. */
export const unheard = (listening: number): number =>
  connectionsOf(listening).filter((c) => c.unacknowledged > 0 && c.retransmissions > 1).length
