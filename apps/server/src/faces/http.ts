import type { Context, ErrorHandler, MiddlewareHandler } from 'hono'
import { ZodError } from 'zod'
import type { Instance } from '../domains/instances/index.ts'
import type { Ctx } from '../kernel/ctx.ts'
import { isMissingReference, isUnstorableText, UsherError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { publicUrlOf, type Runtime } from '../runtime.ts'
import { errorPage, isForPerson } from './error-page.ts'

/** What every route of every face can count on. */
export type Env = {
  Bindings: {
    /** Address of the peer, or of the client when a trusted proxy says so. IPv6 addresses are whole here. */
    ip: string
    requestId: string
  }
  Variables: {
    runtime: Runtime
    instance: Instance
    ctx: Ctx
    log: Log
    /** Origin (and path, behind a proxy) under which the caller's browser reaches this face. Links are built on it. */
    publicUrl: string
  }
}

/**
 * Finds the instance that a request is for: by secret key, by the key that a proxy sends along, else by host. Only
 * what is configured or authenticated decides which URLs are built: `Host` and forwarded headers never do.
 *
 * @throws {UsherError} `clerk_key_invalid` for an unknown key, `resource_not_found` for an unknown host
 */
export const resolveInstance: MiddlewareHandler<Env> = async (c, next) => {
  const { instance, publicUrl } = findInstance(c)
  c.set('instance', instance)
  c.set('publicUrl', publicUrl)
  await next()
}

function findInstance(c: Context<Env>): { instance: Instance; publicUrl: string } {
  const { instances } = c.get('runtime')
  const bearer = secretKeyOf(c.req.header('authorization'))
  const proxyKey = c.req.header('clerk-secret-key')
  const key = bearer ?? proxyKey
  if (key !== undefined) {
    const instance = instances.findBySecretKey(key)
    if (!instance) throw new UsherError('clerk_key_invalid', 'The secret key is not known here.')
    const proxyUrl = proxyKey === undefined ? undefined : parseProxyUrl(c.req.header('clerk-proxy-url'))
    return { instance, publicUrl: proxyUrl ?? publicUrlOf(c.get('runtime'), instance) }
  }
  const host = (c.req.header('host') ?? '').toLowerCase()
  const instance =
    instances.findByHost(host) ?? (isOwnHost(c.get('runtime'), host) ? instances.getDefault() : undefined)
  if (!instance) throw new UsherError('resource_not_found', 'No instance is served under this host.')
  return { instance, publicUrl: publicUrlOf(c.get('runtime'), instance) }
}

/** The secret key of an `Authorization: Bearer sk_…` header, if that is what it holds. */
export function secretKeyOf(header: string | undefined): string | undefined {
  return header?.match(/^Bearer (sk_\S{1,200})$/i)?.[1]
}

function parseProxyUrl(value: string | undefined): string | undefined {
  if (!value || !URL.canParse(value)) return undefined
  const url = new URL(value)
  if (!/^https?:$/.test(url.protocol) || url.username || url.password) return undefined
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '')
}

function isOwnHost(runtime: Runtime, host: string): boolean {
  const name = host.replace(/:\d+$/, '')
  return (
    name === 'localhost' ||
    name.endsWith('.localhost') ||
    name === '127.0.0.1' ||
    name === '[::1]' ||
    host === new URL(runtime.publicUrl).host
  )
}

/** Answers JSON with exactly `application/json`: the server SDK reads any other value, a charset included, as text. */
export function jsonResponse(body: unknown, status = 200): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
  })
}

export type ErrorEnvelope = {
  errors: { code: string; message: string; long_message: string; meta: Record<string, unknown> }[]
  clerk_trace_id: string
  meta?: Record<string, unknown>
}

/** Whether a moment is one that a person could mean and the database can hold: of the years 1 to 9999. */
export function isStorableMoment(moment: Date): boolean {
  return Date.parse('0001-01-01') <= moment.getTime() && moment.getTime() < Date.parse('+010000-01-01')
}

/** An error in the envelope that the browser and server SDKs read. */
export function errorEnvelope(error: UsherError, requestId: string): ErrorEnvelope {
  const { param, meta, longMessage } = error.details
  return {
    errors: [
      {
        code: error.code,
        message: error.message,
        long_message: longMessage ?? error.message,
        meta: { ...meta, ...(param && { param_name: param }) },
      },
    ],
    clerk_trace_id: requestId,
  }
}

/** What a thrown value means to the caller. What nobody expected goes to the log, never to the caller. */
export function toUsherError(error: unknown, log: Log): UsherError {
  if (error instanceof UsherError) return error
  if (error instanceof ZodError) {
    const [issue] = error.issues
    const param = String(issue?.path[0] ?? '')
    return new UsherError('form_param_format_invalid', `${param || 'The body'} is invalid: ${issue?.message ?? ''}`, {
      param,
    })
  }
  if (isUnstorableText(error))
    return new UsherError('form_param_format_invalid', 'The request holds a character that cannot be stored.')
  if (isMissingReference(error)) {
    log.warn({ err: error }, 'what a write referred to was deleted meanwhile')
    return new UsherError('conflict', 'What this needs was deleted a moment ago.')
  }
  log.error({ err: error }, 'unexpected error')
  return new UsherError('internal_error', 'Something went wrong on our side.')
}

export const onError: ErrorHandler<Env> = (thrown, c) => {
  const error = toUsherError(thrown, c.get('log') ?? c.get('runtime').log)
  if (isForPerson(c.req.header())) return errorPage(error, c.env.requestId)
  const response = jsonResponse(errorEnvelope(error, c.env.requestId), error.status)
  const retryAfter = error.details.retryAfterSeconds
  if (retryAfter !== undefined) response.headers.set('retry-after', String(retryAfter))
  return response
}
