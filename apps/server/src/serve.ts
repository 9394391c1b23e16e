import type { Server } from 'bun'
import type { Config } from './config.ts'
import { AuditRecorder } from './domains/audit/index.ts'
import { bucketStorage, useObjectStorage } from './domains/images/index.ts'
import { MessageSender, mailTransport, type Transport, textTransport } from './domains/messaging/index.ts'
import { Upkeep } from './domains/upkeep/index.ts'
import { WebhookDispatcher } from './domains/webhooks/index.ts'
import { createApp } from './faces/app.ts'
import { clientIp } from './faces/client-ip.ts'
import { presentEvents } from './faces/presenters/webhook-event.ts'
import { openRealtimePlane } from './faces/realtime/index.ts'
import { openSyncPlane } from './faces/sync/index.ts'
import { type AnySocketData, websocketOf } from './faces/websocket.ts'
import { randomBase62 } from './kernel/ids.ts'
import { listen } from './kernel/listen.ts'
import { createCtx, openRuntime, type Runtime } from './runtime.ts'

export type RunningServer = {
  runtime: Runtime
  webhooks: WebhookDispatcher
  url: string
  port: number
  /** Lets requests under way finish, tells sockets that the server goes, then stops the database. */
  stop: () => Promise<void>
}

/** Longest time that a shutdown waits for requests under way. */
const drainMs = 10_000
/** With other nodes to go to, a proxy gets this time to hear that this one goes, and loses nothing that is on its way. */
const noticeMs = 1200
const quietMs = 200

/** Starts everything on one port. @param options.upkeep whether the audit logs are written and what is over is deleted */
export async function serve(config: Config, options: { upkeep?: boolean } = {}): Promise<RunningServer> {
  const runtime = await openRuntime(config)
  if (config.imageBucket) useObjectStorage(runtime.database, bucketStorage(config.imageBucket))
  const app = createApp(runtime)
  const sync = openSyncPlane(runtime)
  const realtime = openRealtimePlane(runtime)
  const senders = transportsOf(config).map((transport) => new MessageSender(runtime.database, transport, runtime.log))
  const upkeep = new Upkeep({ ...runtime, ctxOf: (i) => createCtx(runtime, i, { type: 'system', job: 'upkeep' }) })
  const audit = new AuditRecorder({ ...runtime, ctxOf: (i) => createCtx(runtime, i, { type: 'system', job: 'audit' }) })
  const webhooks = new WebhookDispatcher({
    ...runtime,
    ctxOf: (id) => {
      const instance = runtime.instances.find(id)
      return instance && createCtx(runtime, instance, { type: 'system', job: 'webhooks' })
    },
    present: presentEvents,
    post: runtime.webhookPost,
  })
  let draining = false
  const server = await listen<AnySocketData>(() => closeRuntime(runtime), {
    port: config.port,
    hostname: config.listen,
    // A sign-in holds no connection open; sockets have their own timeouts.
    idleTimeout: 60,
    // A picture of 10 MB as base64 is the largest body there is.
    maxRequestBodySize: 15 * 1024 * 1024,
    fetch(request, server) {
      // A `Host` that is none leaves the request without a URL.
      if (!URL.canParse(request.url)) return new Response('Bad Request', { status: 400 })
      const ip = clientIp(request, server, config.trustedProxies)
      if (sync.handles(request)) return sync.fetch(request, server as never, ip)
      if (realtime.plane.handles(request)) return realtime.plane.fetch(request, server as never, ip)
      const env = { ip, requestId: `req_${randomBase62(20)}` }
      return draining ? lastAnswer(request, () => app(request, env)) : app(request, env)
    },
    websocket: websocketOf(sync.websocket, realtime.plane),
  })
  sync.listen(server as never)
  realtime.listen(server)
  const port = server.port as number
  runtime.publicUrl = config.publicUrl ?? `http://localhost:${port}`
  runtime.bus.start()
  runtime.sequencer.start(runtime.bus)
  for (const sender of senders) sender.start()
  if (options.upkeep !== false) {
    upkeep.start()
    audit.start()
  }
  webhooks.start()
  return {
    runtime,
    webhooks,
    url: runtime.publicUrl,
    port,
    stop: async () => {
      draining = true
      // Sockets first: they are told to come back, and what they said becomes durable.
      await Promise.all([sync.stop(), realtime.stop(), runtime.cluster.isShared && Bun.sleep(noticeMs)])
      runtime.bus.stop()
      await stopListening(server, runtime.cluster.isShared ? quietMs : 0)
      await Promise.all(senders.map((sender) => sender.stop()))
      await upkeep.stop()
      await audit.stop()
      await webhooks.stop()
      await runtime.sequencer.stop()
      await closeRuntime(runtime)
    },
  }
}

async function closeRuntime({ cluster, node, database }: Runtime): Promise<void> {
  await cluster.close()
  await node?.leave()
  await database.close()
}

/**
 * No new connections; then only requests under way are worth waiting for, not idle connections kept alive.
 *
 * @param quietMs how long nothing must be under way: a connection that was accepted may bring its request in a moment
 */
async function stopListening(server: Server<AnySocketData>, quietMs: number): Promise<void> {
  // Right after the loop has accepted what waited: connections that nobody accepted would be reset.
  await new Promise((resolve) => setImmediate(resolve))
  void server.stop(false)
  const deadline = performance.now() + drainMs
  for (let busyAt = performance.now(); performance.now() < Math.min(deadline, busyAt + quietMs); await Bun.sleep(5))
    if (server.pendingRequests > 0) busyAt = performance.now()
  while (server.pendingRequests > 0 && performance.now() < deadline) await Bun.sleep(5)
  await server.stop(true)
}

/** Set by a proxy that asks another node when one answers 503. It has to be a safe request, or it could be done twice. */
const retriesHeader = 'x-usher-proxy-retries'

/**
 * What is asked while this server goes is answered, and each answer ends its connection. Only health says that nothing
 * more should come, and so does every answer to a proxy that asks somebody else then: it learns that way that this node
 * goes, before nobody listens here any more.
 */
async function lastAnswer(request: Request, answer: () => Response | Promise<Response>): Promise<Response> {
  const isHealth = ['/healthz', '/readyz'].includes(new URL(request.url).pathname)
  const isRetried = ['GET', 'HEAD'].includes(request.method) && request.headers.get(retriesHeader) === '503'
  const response =
    isHealth || isRetried
      ? Response.json({ status: 'draining' }, { status: 503, headers: { 'retry-after': '1' } })
      : await answer()
  response.headers.set('connection', 'close')
  return response
}

/** The ways out that the operator has configured. Each is a queue of its own: one that is dead delays no other. */
function transportsOf({ smtpUrl, mailFrom, textProvider }: Config): Transport[] {
  return [
    ...(smtpUrl ? [mailTransport({ smtpUrl, from: mailFrom })] : []),
    ...(textProvider ? [textTransport(textProvider)] : []),
  ]
}
