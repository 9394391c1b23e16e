import { type ChannelPrincipal, judgeChannels } from '../../domains/channels/index.ts'
import type { Instance } from '../../domains/instances/index.ts'
import { verifySessionToken } from '../../domains/sessions/index.ts'
import type { CloseReason } from '../../domains/sync/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { createCtx, publicUrlOf, type Runtime } from '../../runtime.ts'
import { isLoopbackOrigin } from '../sync/credentials.ts'

/** What a client shows to be let in. Nothing in here comes from a cookie: cookies never authenticate a socket. */
export type Credential = { token: string; origin: string | undefined; host: string }

export type Admitted = {
  principal: ChannelPrincipal
  /** Seconds since 1970; undefined: the credential does not end. */
  expiresAt: number | undefined
}

export type Refused = { reason: CloseReason; message: string }

export function instanceOf(runtime: Runtime, host: string): Instance {
  return runtime.instances.findByHost(host) ?? runtime.instances.getDefault()
}

/** Whether pages of an origin may open sockets. `null` (a sandboxed page, a file) is nobody's origin. */
export function isAllowedOrigin(runtime: Runtime, instance: Instance, origin: string): boolean {
  const { allowedOrigins, homeUrl } = instance.settings
  if (origin === new URL(publicUrlOf(runtime, instance)).origin) return true
  if ([...allowedOrigins, ...(homeUrl ? [homeUrl] : [])].some((allowed) => new URL(allowed).origin === origin))
    return true
  return instance.environment === 'development' && isLoopbackOrigin(origin)
}

/** Who comes with a credential: a person by a session token, or the application's server by its secret key. */
export async function admit(runtime: Runtime, { token, origin, host }: Credential): Promise<Admitted | Refused> {
  if (token.startsWith('sk_')) {
    const instance = runtime.instances.findBySecretKey(token)
    if (!instance) return { reason: 'unauthenticated', message: 'the secret key is not known here' }
    if (origin !== undefined) {
      runtime.log.warn({ instance: instance.id, origin }, 'a page used the secret key: it has leaked, replace it')
      return { reason: 'forbidden', message: 'the secret key is for servers' }
    }
    return { principal: { kind: 'backend', instanceId: instance.id }, expiresAt: undefined }
  }
  const instance = instanceOf(runtime, host)
  const ctx = createCtx(runtime, instance, { type: 'system', job: 'channels' })
  const claims = await verifySessionToken(ctx, token).catch((error: unknown) => {
    if (error instanceof UsherError) return undefined
    throw error
  })
  if (!claims) return { reason: 'unauthenticated', message: 'the token is wrong or has expired' }
  // One that was made for the page of one application is not for the pages of another.
  if (claims.azp && origin !== undefined && claims.azp !== origin)
    return { reason: 'unauthenticated', message: 'the token is for another application' }
  if (claims.sts === 'pending') return { reason: 'forbidden', message: 'the session has tasks to do first' }
  const principal = { kind: 'session', instanceId: instance.id, userId: claims.sub, sessionId: claims.sid } as const
  const { isSignedIn } = await judgeChannels(ctx, principal, [])
  return isSignedIn ? { principal, expiresAt: claims.exp } : { reason: 'revoked', message: 'the session has ended' }
}
