/**
 * What a process has once. Next.js bundles every route by itself, so a variable of a module exists once a route; what
 * routes share (tickets, the feed of revocations) therefore hangs on the global object.
 */
export function once<T>(name: string, make: () => T): T {
  const key = Symbol.for(`@usher/nextjs/${name}`)
  const holder = globalThis as { [key: symbol]: unknown }
  holder[key] ??= make()
  return holder[key] as T
}
