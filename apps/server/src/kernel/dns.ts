import { Resolver } from 'node:dns/promises'

/** Asks the domain name system. */
export type Dns = {
  /**
   * Values of a name's TXT records; empty when there are none. Bun tells the parts of a value apart as if they were values
   * (1.4.5), so what is looked for should fit into one part, which holds 255 bytes.
   */
  txt: (name: string) => Promise<string[]>
}

/** The name or its record does not exist: an answer, not a failure. */
const absent = new Set(['ENOTFOUND', 'ENODATA'])

/**
 * @param servers addresses of resolvers, each with a port if it is not 53; none: those of the system
 * @throws {TypeError} when one is no address
 */
export function createDns(servers: readonly string[] = []): Dns {
  return {
    txt: async (name) => {
      const resolver = new Resolver({ timeout: 3000, tries: 2 })
      if (servers.length > 0) resolver.setServers(servers)
      try {
        return (await resolver.resolveTxt(name)).map((parts) => parts.join(''))
      } catch (error) {
        if (absent.has((error as NodeJS.ErrnoException).code ?? '')) return []
        throw error
      }
    },
  }
}
