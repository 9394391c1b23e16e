import type { Config } from '../config.ts'
import { serve } from '../serve.ts'

/** `usher start`: serves until SIGTERM or SIGINT. */
export async function start(config: Config, { json }: { json: boolean }): Promise<void> {
  const server = await serve(config)
  const { runtime } = server
  const keys = await runtime.instances.summarize(runtime.instances.getDefault().id)
  const stop = async () => {
    await server.stop()
    process.exit(0)
  }
  process.once('SIGTERM', stop)
  process.once('SIGINT', stop)
  const ready = {
    event: 'ready',
    url: server.url,
    publishable_key: keys.publishableKey,
    secret_key: keys.secretKey,
    data: config.dataDir,
    database: runtime.database.kind,
    ms: Math.round(performance.now()),
  }
  console.log(json ? JSON.stringify(ready) : greeting(ready))
}

function greeting(ready: { url: string; publishable_key: string; data: string; database: string; ms: number }): string {
  return `
  Usher is ready at ${ready.url}  (${ready.ms} ms)

    Demo              ${ready.url}/demo
    Inbox             ${ready.url}/inbox
    Documentation     ${ready.url}/docs
    Publishable key   ${ready.publishable_key}
    Secret key        run \`npm run usher -- keys\`
    Data              ${ready.data} (${ready.database === 'embedded' ? 'embedded PostgreSQL' : 'PostgreSQL'})
`
}
