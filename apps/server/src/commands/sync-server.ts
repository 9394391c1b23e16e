import type { Config } from '../config.ts'
import { ConfigError } from '../config.ts'
import { startSyncPlane } from '../sync-server.ts'

/** `usher sync-server start`: the realtime plane alone, until SIGTERM or SIGINT. */
export async function startSyncServer(
  config: Config,
  flags: { json: boolean; token: string | undefined },
): Promise<void> {
  const token = flags.token ?? config.syncToken
  // An empty token is a variable that somebody forgot to set, and would leave the door open.
  if (token === '')
    throw new ConfigError('The token is empty. Give --token a value, or leave it out to let everybody in.')
  const server = await startSyncPlane(config, token)
  const stop = async () => {
    await server.stop()
    process.exit(0)
  }
  process.once('SIGTERM', stop)
  process.once('SIGINT', stop)
  for (const warning of server.warnings) console.error(`Warning: ${warning}`)
  const ready = {
    event: 'ready',
    url: server.url,
    authentication: token === undefined ? 'open' : 'token',
    data: config.dataDir,
    database: server.database,
    ms: Math.round(performance.now()),
  }
  console.log(flags.json ? JSON.stringify(ready) : `Documents are served at ${ready.url}/<document id>`)
}
