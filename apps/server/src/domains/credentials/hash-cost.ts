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

/** What new hashes cost, and old ones that cost less, when their owners sign in. */
export const hashCost = (): HashCost => current

export function useHashCost(cost: HashCost): void {
  current = cost
}

/** Work of a hash in KiB that are gone through: as good as proportional to the time that it takes. */
const workOf = ({ memoryKiB, passes }: HashCost) => memoryKiB * passes

/** How much of the recommended work a hash of ours is. */
export const shareOfRecommended = (): number => workOf(current) / workOf(recommended)

/** What a stored hash costs; undefined if Argon2id did not make it. */
function costOf({ hasher, hash }: { hasher: string; hash: string }): HashCost | undefined {
  const [, memory, time] = (hasher === 'argon2id' && hash.match(/\$m=(\d+),t=(\d+),/)) || []
  return memory === undefined ? undefined : { memoryKiB: Number(memory), passes: Number(time) }
}

/** What a stored hash lacks of the work of one of ours: undefined if it is as much work, or more. */
export function lackingCost(stored: { hasher: string; hash: string } | undefined): HashCost | undefined {
  const cost = stored && costOf(stored)
  const lacking = workOf(current) - (cost ? workOf(cost) : 0)
  // RFC 9106, section 3.1: eight blocks at least.
  const memoryKiB = Math.max(8, Math.round(lacking / current.passes))
  return lacking > 0 ? { memoryKiB, passes: current.passes } : undefined
}

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
