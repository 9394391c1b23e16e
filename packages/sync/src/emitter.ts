/** Listeners by name. What one of them throws stays with it. */
export class Emitter<Events extends Record<string, unknown>> {
  private readonly listeners = new Map<keyof Events, Set<(value: never) => void>>()

  /** @returns ends it */
  on<Name extends keyof Events>(name: Name, listener: (value: Events[Name]) => void): () => void {
    const known = this.listeners.get(name) ?? new Set()
    this.listeners.set(name, known)
    known.add(listener)
    return () => known.delete(listener)
  }

  emit<Name extends keyof Events>(name: Name, value: Events[Name]): void {
    for (const listener of [...(this.listeners.get(name) ?? [])])
      try {
        ;(listener as (value: Events[Name]) => void)(value)
      } catch (error) {
        reportError(error)
      }
  }

  clear(): void {
    this.listeners.clear()
  }
}

/** As an exception in an event listener of the platform: seen by whoever looks, in nobody's way. */
function reportError(error: unknown): void {
  const report = (globalThis as { reportError?: (error: unknown) => void }).reportError
  if (report) report(error)
  else console.error(error)
}
