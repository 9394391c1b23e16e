import { createLocalJWKSet, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose'
import { once } from './process-state.ts'

export type UsherSettings = {
  /** The instance's secret key, `sk_…`. It never leaves this process but to `apiUrl`. */
  secretKey: string
  /** Where Usher runs, as this process reaches it. */
  apiUrl: string
}

export type SessionFact = { id: string; userId: string; expiresAt: number }
export type MembershipFact = { id: string; organizationId: string; role: string; permissions: string[] }

/** Usher did not answer, or not with what was asked for. Nothing is known then, which is not the same as "no". */
export class UsherUnavailable extends Error {
  override readonly name = 'UsherUnavailable'
}

/** The server API, as far as sockets need it. */
export type UsherServer = UsherSettings & {
  /** The public key of a token's header; the set is read again, at most every 30 s, when it has no such key. */
  key: JWTVerifyGetKey
  /** @returns undefined once the session has ended */
  findSession(sessionId: string): Promise<SessionFact | undefined>
  /** A person's place in one organization, as it is now. */
  findMembership(userId: string, organizationId: string): Promise<MembershipFact | undefined>
  get<T>(path: string): Promise<T | undefined>
}

const keySetIsFreshMs = 30_000
const timeoutMs = 5_000

/** The server that the environment names: `CLERK_SECRET_KEY` and `CLERK_API_URL`, as the SDK reads them. */
export function defaultServer(): UsherServer {
  const secretKey = process.env.CLERK_SECRET_KEY
  const apiUrl = process.env.CLERK_API_URL
  if (!secretKey || !apiUrl) throw new Error('@usher/nextjs needs CLERK_SECRET_KEY and CLERK_API_URL.')
  return once(`server ${apiUrl}`, () => createUsherServer({ secretKey, apiUrl }))
}

export function createUsherServer(settings: UsherSettings): UsherServer {
  const apiUrl = settings.apiUrl.replace(/\/+$/, '')

  async function get<T>(path: string): Promise<T | undefined> {
    const response = await fetch(`${apiUrl}/v1${path}`, {
      headers: { authorization: `Bearer ${settings.secretKey}` },
      cache: 'no-store',
      signal: AbortSignal.timeout(timeoutMs),
    }).catch((cause: unknown) => {
      throw new UsherUnavailable('Usher does not answer.', { cause })
    })
    if (response.status === 404) return undefined
    if (!response.ok) throw new UsherUnavailable(`Usher answered ${response.status}.`)
    return (await response.json()) as T
  }

  let keySet: { find: ReturnType<typeof createLocalJWKSet>; readAt: number } | undefined
  let reading: Promise<void> | undefined
  const readKeys = () => {
    reading ??= get<JSONWebKeySet>('/jwks')
      .then((set) => {
        if (set) keySet = { find: createLocalJWKSet(set), readAt: Date.now() }
      })
      .finally(() => {
        reading = undefined
      })
    return reading
  }

  return {
    ...settings,
    apiUrl,
    get,
    key: async (header, token) => {
      if (!keySet) await readKeys()
      try {
        return await (keySet as NonNullable<typeof keySet>).find(header, token)
      } catch (error) {
        // Perhaps the key is new. Whoever invents key ids makes us ask no more often than this.
        if (!keySet || Date.now() - keySet.readAt < keySetIsFreshMs) throw error
        await readKeys()
        return keySet.find(header, token)
      }
    },
    findSession: async (sessionId) => {
      type Json = { id: string; user_id: string; status: string; expire_at: number }
      const session = await get<Json>(`/sessions/${encodeURIComponent(sessionId)}`)
      if (session?.status !== 'active') return undefined
      return { id: session.id, userId: session.user_id, expiresAt: session.expire_at }
    },
    findMembership: async (userId, organizationId) => {
      type Json = { data: { id: string; organization: { id: string }; role: string; permissions: string[] }[] }
      const path = `/organizations/${encodeURIComponent(organizationId)}/memberships`
      const page = await get<Json>(`${path}?user_id=${encodeURIComponent(userId)}&limit=1`)
      const found = page?.data.find((membership) => membership.organization.id === organizationId)
      return found && { id: found.id, organizationId, role: found.role, permissions: found.permissions }
    },
  }
}
