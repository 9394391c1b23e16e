/**
 * Lets work run side by side and gives the results in the order in which it was begun. A failure is the failure of its
 * own item only.
 */
export function inOrder(): <T>(work: Promise<T>) => Promise<T> {
  let before: Promise<unknown> = Promise.resolve()
  return (work) => {
    const mine = Promise.allSettled([before, work]).then(() => work)
    before = mine
    // Whoever asked hears of the failure; the queue only waits for it.
    mine.catch(() => {})
    return mine
  }
}
