import { type AnyRouter, TRPCError } from '@trpc/server'
import { type CreateWSSContextFnOptions, getWSConnectionHandler } from '@trpc/server/adapters/ws'
import type { WebSocket } from 'ws'
import {
  type Authenticated,
  attach,
  cut,
  present,
  refuse,
  refuseOtherOrigins,
  type UpgradeRequest,
} from './authenticate-upgrade.ts'
import { type Credential, enter, Refusal } from './enter.ts'
import type { Requirement } from './live-auth.ts'
import { defaultServer, type UsherServer } from './usher-server.ts'

export type UsherContext = { auth: Authenticated }

type ContextOptions = {
  /** What everybody on the connection must be allowed, as long as it is open. */
  require?: Requirement
  server?: UsherServer
}

/** Time for an error to reach the client before its socket is closed. */
const lingerMs = 150
const firstMessageMs = 10_000
const firstMessageBytes = 16_384

/**
 * `createContext` for tRPC's WebSocket handler: who is connected, by `connectionParams.token` (a session token) or
 * `connectionParams.ticket`. Give the client a function for `connectionParams`, so that each reconnect brings a fresh one.
 *
 * tRPC makes one context for a connection's whole life. Here it stays true: `auth.has()` asks about the moment, and the
 * connection is closed when the session or the membership ends. Before a token ends the client is told to reconnect.
 *
 * @throws {TRPCError} `UNAUTHORIZED` or `FORBIDDEN`
 */
export function createUsherContext({ require, server }: ContextOptions = {}) {
  return async ({ req, res, info }: Pick<CreateWSSContextFnOptions, 'req' | 'res' | 'info'>): Promise<UsherContext> => {
    const usher = server ?? defaultServer()
    const client = res as unknown as WebSocket
    try {
      const auth = await enter(usher, credentialIn(info.connectionParams), {
        require,
        origin: req?.headers.origin,
      })
      attach(client, auth, { lingerMs })
      auth.onExpiring(() => client.send(JSON.stringify({ id: null, method: 'reconnect' })))
      if (client.readyState !== client.OPEN) client.terminate()
      return { auth: present(usher, auth) }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      // Slowly, as anywhere else. tRPC tells the client why and closes.
      await new Promise((resolve) => setTimeout(resolve, 250))
      throw new TRPCError({ code: error.code === 4403 ? 'FORBIDDEN' : 'UNAUTHORIZED', message: error.message })
    }
  }
}

function credentialIn(params: Record<string, unknown> | null): Credential | undefined {
  const { token, ticket } = params ?? {}
  if (typeof token === 'string' && token) return { token }
  return typeof ticket === 'string' && ticket ? { ticket } : undefined
}

type UpgradeTrpcOptions<Router extends AnyRouter> = ContextOptions & {
  router: Router
  /** Exact origins of the application's pages; without it the host that the request was sent to. */
  origins?: readonly string[]
}

/**
 * An `UPGRADE` handler of next-ws that serves a tRPC router: `export const UPGRADE = upgradeTrpc({ router })`. Not
 * `applyWSSHandler`: all routes of next-ws share one WebSocket server, so that would serve the router on every socket of
 * the application. Other origins are refused, and so is whoever has said nothing good within 10 s.
 */
export function upgradeTrpc<Router extends AnyRouter>({ router, origins, ...options }: UpgradeTrpcOptions<Router>) {
  const createContext = createUsherContext(options)
  const serve = getWSConnectionHandler<Router>({
    router,
    createContext,
    keepAlive: { enabled: true, pingMs: 25_000, pongWaitMs: 10_000 },
    maxBatchSize: 32,
    // The router's context is its own; that it holds what ours does is checked where procedures use it.
  } as unknown as Parameters<typeof getWSConnectionHandler<Router>>[0])
  return (client: WebSocket, _server: unknown, request: UpgradeRequest): void => {
    try {
      refuseOtherOrigins(request.headers, undefined, origins)
    } catch (error) {
      client.pause()
      void refuse(client, error as Refusal)
      return
    }
    const patience = setTimeout(() => cut(client, 4001, 'Nothing was said.'), firstMessageMs)
    client.once('close', () => clearTimeout(patience))
    client.once('message', (data: Buffer) => {
      clearTimeout(patience)
      if (data.length > firstMessageBytes) cut(client, 4001, 'Too much was said.')
    })
    const url = new URL(request.url)
    // Without this, tRPC would make the context before anybody said who they are.
    url.searchParams.set('connectionParams', '1')
    const headers = Object.fromEntries(request.headers)
    serve(client as never, { url: `${url.pathname}${url.search}`, headers, socket: {}, method: 'GET' } as never)
  }
}

type Next = { ok: boolean; data?: unknown }
type Middleware = <R extends Next>(input: {
  ctx: UsherContext
  type: 'query' | 'mutation' | 'subscription'
  next: () => Promise<R>
}) => Promise<R>

/**
 * A middleware, `t.procedure.use(usherProcedure({ permission: 'org:chat:write' }))`: asks at every call, and ends running
 * subscriptions within a second, with `UNAUTHORIZED` when the actor has ended, `FORBIDDEN` when what is required is gone.
 *
 * @throws {TRPCError}
 */
export function usherProcedure(required: Requirement = {}): Middleware {
  return async ({ ctx, type, next }) => {
    const { auth } = ctx
    if (auth.signal.aborted) throw unauthorized()
    if (!auth.has(required)) throw forbidden()
    const result = await next()
    if (type !== 'subscription' || !result.ok || !isAsyncIterable(result.data)) return result
    return { ...result, data: whileAllowed(result.data, auth, required) }
  }
}

async function* whileAllowed(source: AsyncIterable<unknown>, auth: Authenticated, required: Requirement) {
  let refusal: TRPCError | undefined
  let wake = () => {}
  const refuseNow = (error: TRPCError) => {
    refusal ??= error
    wake()
  }
  const stops = [
    auth.onRevoked(() => refuseNow(unauthorized())),
    auth.onChanged(() => auth.has(required) || refuseNow(forbidden())),
  ]
  const iterator = source[Symbol.asyncIterator]()
  try {
    while (true) {
      // A promise of this turn alone: one for all turns would keep every one of them in memory.
      const refused = new Promise<undefined>((resolve) => {
        wake = () => resolve(undefined)
      })
      const next = refusal ? undefined : await Promise.race([iterator.next(), refused])
      // It may have ended between two turns as well: what was fetched already is not handed out.
      if (refusal) throw refusal
      if (!next || auth.signal.aborted) throw unauthorized()
      if (next.done) return
      if (!auth.has(required)) throw forbidden()
      yield next.value
    }
  } finally {
    for (const stop of stops) stop()
    // Not awaited: a source that waits for its next value would keep us waiting with it.
    iterator.return?.()?.catch?.(() => {})
  }
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

const unauthorized = () => new TRPCError({ code: 'UNAUTHORIZED', message: 'The session or the membership has ended.' })
const forbidden = () => new TRPCError({ code: 'FORBIDDEN', message: 'Not permitted.' })
