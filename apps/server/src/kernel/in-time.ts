/** Nothing was refused: there was no answer, or none that says anything. */
export class NoAnswer extends Error {
  override name = 'NoAnswer'
}

/** @throws {NoAnswer} after so long; the question may still be answered, and nobody hears that */
export async function inTime<T>(answer: T | Promise<T>, ms: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new NoAnswer(`no answer within ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}
