/** Deadlines in slots of one second, so that ten thousand sockets need no timer each. A deadline is met up to 1 s late. */
export class TimerWheel<T extends object> {
  private readonly slots = new Map<number, Set<T>>()
  private last: number

  /** @param now seconds */
  constructor(now: number) {
    this.last = Math.floor(now)
  }

  add(item: T, at: number): void {
    const slot = Math.max(Math.ceil(at), this.last + 1)
    const items = this.slots.get(slot)
    if (items) items.add(item)
    else this.slots.set(slot, new Set([item]))
  }

  /** @returns what is due; an item is handed out once, and the caller decides whether it still matters */
  advance(now: number): T[] {
    const due: T[] = []
    while (this.last < Math.floor(now)) {
      const items = this.slots.get(++this.last)
      if (!items) continue
      due.push(...items)
      this.slots.delete(this.last)
    }
    return due
  }
}
