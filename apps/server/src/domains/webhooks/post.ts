import { type Address, type EgressGuard, parseUrl } from '../../kernel/egress.ts'
import { UsherError } from '../../kernel/errors.ts'

/** What came of an attempt. */
export type Answer = {
  /** Of the receiver; null: nobody answered. */
  status: number | null
  /** A code, never a text of the other side: it could repeat what was sent. Null: delivered. */
  error: string | null
  durationMs: number
  /** Seconds for which the receiver asked to be left alone. */
  retryAfterSeconds?: number
}

export type Post = (url: string, headers: Record<string, string>, body: string) => Promise<Answer>

type Options = { guard: EgressGuard; timeoutMs?: number; maxResponseBytes?: number }

/** For so long an address that was checked is connected to without asking a name server again. */
const addressKeptMs = 10_000
const maxKept = 1000

/**
 * Makes what delivers webhooks: it connects to addresses that the guard has checked and to no others, follows no
 * redirect, and waits neither long nor for much. Connections are kept open; they lead where they were checked to lead.
 */
export function createPost({ guard, timeoutMs = 15_000, maxResponseBytes = 64 * 1024 }: Options): Post {
  const known = new Map<string, Place & { until: number }>()

  const locate = async (target: string, deadline: number): Promise<Place> => {
    const kept = known.get(target)
    if (kept && kept.until > Date.now()) return kept
    known.delete(target)
    const url = parseUrl(target)
    const addresses = await guard(url, deadline)
    const first = addresses.find((a) => a.family === 4) ?? addresses[0]
    if (!first) throw new Error('the host of the URL could not be found')
    // The name in the certificate is the one that was asked for, whatever the address.
    const tls = url.protocol === 'https:' ? { tls: { serverName: url.hostname } } : {}
    const place = { href: pinned(url, first), host: url.host, tls, until: Date.now() + addressKeptMs }
    if (known.size >= maxKept) known.clear()
    known.set(target, place)
    return place
  }

  return async (target, headers, body) => {
    const startedAt = performance.now()
    const done = (status: number | null, error: string | null, retryAfter?: string | null): Answer => {
      const seconds = Number(retryAfter)
      return {
        status,
        error,
        durationMs: Math.round(performance.now() - startedAt),
        ...(retryAfter && seconds > 0 && { retryAfterSeconds: Math.min(seconds, 86_400) }),
      }
    }
    try {
      const { href, host, tls } = await locate(target, Date.now() + timeoutMs)
      const response = await fetch(href, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'user-agent': 'Usher-Webhooks', ...headers, host },
        body,
        redirect: 'manual',
        signal: AbortSignal.timeout(timeoutMs),
        ...tls,
        ...{ decompress: false },
      })
      await drain(response, maxResponseBytes)
      const { status } = response
      if (status >= 200 && status < 300) return done(status, null)
      return done(status, status >= 300 && status < 400 ? 'redirect' : 'refused', response.headers.get('retry-after'))
    } catch (error) {
      return done(null, codeOf(error))
    }
  }
}

/** Where a URL leads, as it was checked. */
type Place = { href: string; host: string; tls: { tls?: { serverName: string } } }

/** The same URL at an address. */
function pinned(url: URL, { address, family }: Address): string {
  const to = new URL(url)
  to.hostname = family === 6 ? `[${address}]` : address
  return to.href
}

/** Reads an answer to its end so that its connection can be used again, unless it is a long one. */
async function drain(response: Response, maxBytes: number): Promise<void> {
  const reader = response.body?.getReader()
  if (!reader) return
  let size = 0
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    size += part.value.byteLength
    if (size <= maxBytes) continue
    await reader.cancel()
    return
  }
}

function codeOf(error: unknown): string {
  if (error instanceof UsherError) return error.code
  const { name, code } = error as { name?: string; code?: string }
  if (name === 'TimeoutError' || name === 'AbortError') return 'timeout'
  if (code && /TLS|CERT|SSL/.test(code)) return 'tls'
  if (code === 'ConnectionRefused' || code === 'FailedToOpenSocket') return 'connection_refused'
  if (error instanceof Error && error.message.includes('could not be found')) return 'not_found'
  return 'connection_failed'
}
