import type { Config } from '../config.ts'
import { startSyncPlane } from '../sync-server.ts'
import { type SyncCredentialFlags, syncCredentials } from './sync-credentials.ts'

/** What the ready line calls each way of knowing clients. */
const authentication = { open: 'open', static: 'token', issuer: 'issuer' } as const

/** `usher sync-server start`: the realtime plane alone, until SIGTERM or SIGINT. SIGHUP reads the file of tokens again. */
export async function startSyncServer(
  config: Config,
  flags: { json?: boolean | undefined } & SyncCredentialFlags,
): Promise<void> {
  const credentials = syncCredentials(flags, config.syncToken)
  const server = await startSyncPlane(config, credentials)
  const stop = async () => {
    await server.stop()
    process.exit(0)
  }
  process.once('SIGTERM', stop)
  process.once('SIGINT', stop)
  process.on('SIGHUP', server.reload)
  for (const warning of server.warnings) console.error(`Warning: ${warning}`)
  const ready = {
    event: 'ready',
    url: server.url,
    authentication: authentication[credentials.kind],
    data: config.dataDir,
    database: server.database,
    ms: Math.round(performance.now()),
  }
  console.log(flags.json ? JSON.stringify(ready) : `Documents are served at ${ready.url}/<document id>`)
}
