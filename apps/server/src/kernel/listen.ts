import type { Server } from 'bun'

/**
 * `Bun.serve`. Where it cannot listen nothing is left behind: neither a database that nobody uses nor a node that seems
 * to live.
 *
 * @param close ends what was opened for the server
 * @throws what `Bun.serve` throws, with the `code` of the system (`EADDRINUSE`)
 */
export async function listen<Data>(
  close: () => Promise<void>,
  options: Bun.Serve.Options<Data>,
): Promise<Server<Data>> {
  try {
    return Bun.serve<Data>(options)
  } catch (error) {
    await close()
    throw error
  }
}
