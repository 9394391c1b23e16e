/** What proves who connects. `url` is for applications whose token endpoint also says where the server is. */
export type Grant = string | { token: string; url?: string }

/**
 * Asks the application for a token for one document. Called before every connection, and when a token is about to
 * expire; calls that overlap share one answer.
 *
 * @throws {AccessDenied} or anything with `status` 401 or 403: the client stops. Any other error is tried again.
 */
export type GetToken = (docId: string) => Promise<Grant> | Grant

/** There will be no token: 4401 for a person who is signed out, 4403 for one without a right to the document. */
export class AccessDenied extends Error {
  override readonly name = 'AccessDenied'
  readonly code: 4401 | 4403

  constructor(code: 4401 | 4403, message = code === 4401 ? 'signed out' : 'no right to this document') {
    super(message)
    this.code = code
  }
}

/** The close code that an error of `getToken` amounts to; undefined: try again. */
export function deniedCode(error: unknown): 4401 | 4403 | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const { code, status } = error as { code?: unknown; status?: unknown }
  if (code === 4401 || status === 401) return 4401
  if (code === 4403 || status === 403) return 4403
  return undefined
}

const pending = new WeakMap<GetToken, Map<string, Promise<{ token: string; url?: string }>>>()

/** A fresh grant. Connections that ask at the same time for the same document share one call. */
export function askForToken(getToken: GetToken, docId: string): Promise<{ token: string; url?: string }> {
  const calls = pending.get(getToken) ?? new Map<string, Promise<{ token: string; url?: string }>>()
  pending.set(getToken, calls)
  const running = calls.get(docId)
  if (running) return running
  const call = (async () => {
    try {
      const grant = await getToken(docId)
      if (typeof grant === 'string') return { token: grant }
      if (typeof grant?.token !== 'string') throw new TypeError('getToken gave no token')
      return { token: grant.token, url: grant.url }
    } finally {
      calls.delete(docId)
    }
  })()
  calls.set(docId, call)
  return call
}

/** The subprotocol that carries a token: unlike an address, it is in no log. */
export function bearerProtocol(token: string): string {
  const bytes = new TextEncoder().encode(token)
  let binary = ''
  for (const byte of bytes) binary += String.fromCharCode(byte)
  return `bearer.${btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')}`
}
