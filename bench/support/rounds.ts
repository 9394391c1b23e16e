/**
 * Measures contenders in turns and takes each one's median: what slows the machine for a while slows all of them.
 *
 * @param contenders by name, what measures one round
 */
export async function inTurns<Name extends string>(
  rounds: number,
  contenders: Record<Name, (round: number) => Promise<number>>,
): Promise<Record<Name, number>> {
  const names = Object.keys(contenders) as Name[]
  const samples = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>
  for (let round = 0; round < rounds; round++) {
    for (const name of names) samples[name].push(await contenders[name](round))
  }
  if (process.env.USHER_BENCH_SAMPLES) console.error(samples)
  return Object.fromEntries(names.map((name) => [name, median(samples[name])])) as Record<Name, number>
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  if (sorted.length % 2 === 1) return sorted[Math.floor(middle)] as number
  return ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}
