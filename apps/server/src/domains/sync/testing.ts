/** xorshift32: the same seed gives the same run. */
export function randomFrom(seed: number) {
  let x = seed | 0 || 1
  return (below: number) => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) % below
  }
}
