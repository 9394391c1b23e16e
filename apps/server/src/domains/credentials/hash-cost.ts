/** What one Argon2id hash of a password takes: memory in KiB, and how often it is gone through. One lane. */
export type HashCost = { memoryKiB: number; passes: number }

/**
 * The memory and passes of RFC 9106, section 4, for whoever cannot spare 2 GiB. It is more than the caches of a processor
 * hold, and what browsers spend on the keys of encrypted documents too.
 */
const recommended: HashCost = { memoryKiB: 65_536, passes: 3 }
/** What OWASP asks for at least. */
const floor: HashCost = { memoryKiB: 19_456, passes: 2 }
/** What is verified at all: a hash that costs more is refused as one that keeps the server busy. */
export const ceiling: HashCost = { memoryKiB: 262_144, passes: 20 }

let current = recommended

/** What new hashes cost, and old ones when their owners sign in. */
export const hashCost = (): HashCost => current

export function useHashCost(cost: HashCost): void {
  current = cost
}

/** How many hashes may be under way at once: one for each core, as long as they take a quarter of the memory at most. */
export const threadsWithin = ({ cores, memoryKiB }: { cores: number; memoryKiB: number }): number =>
  Math.max(1, Math.min(cores, Math.floor(memoryKiB / 4 / current.memoryKiB)))

/**
 * Reads a cost as the strings of Argon2 name theirs (PHC string format): `m=65536,t=3`. Nothing at all is the recommended one.
 *
 * @throws {Error} in words for the operator when it is none, or below or above what can be chosen
 */
export function parseHashCost(text: string): HashCost {
  if (text === '') return recommended
  const [, memory, time] = text.match(/^m=(\d{1,7}),t=(\d{1,3})$/) ?? []
  const cost = { memoryKiB: Number(memory), passes: Number(time) }
  const affordable = (name: keyof HashCost) => cost[name] >= floor[name] && cost[name] <= ceiling[name]
  if (affordable('memoryKiB') && affordable('passes')) return cost
  throw new Error(
    `has to be written as m=65536,t=3: KiB of memory (${floor.memoryKiB} to ${ceiling.memoryKiB}) and passes (${floor.passes} to ${ceiling.passes})`,
  )
}
