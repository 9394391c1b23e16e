import { createEgressGuard } from '../../kernel/egress.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import type { DispatcherOptions } from './dispatcher.ts'
import { WebhookDispatcher } from './index.ts'
import type { Patience } from './lane.ts'
import { createPost, type Post } from './post.ts'

/** One delivery as a receiver got it. */
export type Received = {
  path: string
  id: string
  headers: Headers
  body: string
  event: { type: string; data: Record<string, unknown>; event_attributes: { sequence: number } }
}

/** A receiver on a free port that keeps what it gets, and answers as it is told. */
export function startReceiver(
  answer: (delivery: Received, count: number) => Response | Promise<Response> = () => new Response(),
) {
  const received: Received[] = []
  let reply = answer
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      const body = await request.text()
      const id = request.headers.get('svix-id') ?? ''
      const delivery = {
        path: new URL(request.url).pathname,
        id,
        headers: request.headers,
        body,
        event: JSON.parse(body),
      }
      received.push(delivery)
      return reply(delivery, received.length)
    },
  })
  return {
    received,
    origin: `http://127.0.0.1:${server.port}`,
    port: server.port as number,
    /** Has it answer in another way from now on. */
    answer: (next: typeof answer) => {
      reply = next
    },
    stop: () => server.stop(true),
  }
}

/** Fast enough to be waited for. */
export const shortPatience: Partial<Patience> = {
  retrySeconds: [0.05, 0.1, 0.2],
  tolerated: 10,
  pauseSeconds: [0.2, 0.4],
}

/** An instance whose webhooks may go to receivers on this machine, and are tried again soon. */
export async function webhookInstance(options: Partial<DispatcherOptions> & { post?: Post } = {}) {
  const t: TestInstance = await testInstance()
  const { runtime, webhooks } = t.server
  // The server's own would take the lanes, and has other patience.
  await webhooks.stop()
  const post = createPost({ guard: createEgressGuard({ allow: ['127.0.0.0/8', '127.0.0.1'] }), timeoutMs: 1000 })
  const make = () =>
    new WebhookDispatcher({ ...webhooks.options, post, patience: shortPatience, pollMs: 50, ...options })
  const dispatcher = make()
  dispatcher.start()
  const ctx = () => ({ ...t.ctx(), egressGuard: createEgressGuard({ allow: ['127.0.0.1'] }) })
  return {
    t,
    ctx,
    dispatcher,
    /** A further node on the same database. */
    make,
    runtime,
    post,
    [Symbol.asyncDispose]: () => dispatcher.stop(),
  }
}

/** Waits until something holds. */
export async function until(holds: () => boolean | Promise<boolean>, what = 'it', ms = 10_000): Promise<void> {
  for (const end = Date.now() + ms; !(await holds()); await Bun.sleep(10))
    if (Date.now() > end) throw new Error(`${what} never came to pass`)
}
