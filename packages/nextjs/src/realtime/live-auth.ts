import type { Claims } from './verify-token.ts'

/** Who is at the other end: a person, by one session, in at most one organization. */
export type Actor = {
  userId: string
  sessionId: string | null
  organizationId: string | null
  role: string | null
  permissions: readonly string[]
}

/** What may be asked of an actor; everything that is named has to hold. */
export type Requirement = { permission?: string; role?: string; organizationId?: string }

/**
 * `expired`: come back with a new token. `session_ended`: sign in again. `forbidden`: the membership or what was required
 * is gone. `unverifiable`: Usher has not been heard of for so long that nobody can vouch for anybody.
 */
export type EndReason = 'expired' | 'session_ended' | 'forbidden' | 'unverifiable'

/** An actor also ends with its socket, which is no news to anybody. */
type End = EndReason | 'closed'

/** What sockets are closed with; clients that know these codes come back after the first and the last alone. */
export const closeCodeOf: Record<End, number> = {
  expired: 4001,
  session_ended: 4401,
  forbidden: 4403,
  unverifiable: 4503,
  closed: 1000,
}

/** Longest delay that timers of Node take. */
const longestTimerMs = 2 ** 31 - 1
const noticeMs = 15_000

/** An actor whose rights follow what happens at Usher, until it ends. */
export class LiveAuth {
  actor: Actor
  /** Milliseconds since 1970. */
  expiresAt: number
  /** What a sync token opens, for those who came with one. */
  readonly document: Claims['document']
  /** Row of the membership, by which news of it are recognised. */
  membershipId: string | undefined
  #ended: End | undefined
  #controller = new AbortController()
  #ends = new Set<(reason: End) => void>()
  #changed = new Set<(actor: Actor) => void>()
  #expiring = new Set<(inMs: number) => void>()
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(actor: Actor, expiresAt: number, document?: Claims['document']) {
    this.actor = actor
    this.expiresAt = expiresAt
    this.document = document
    this.#arm()
  }

  /** Why it ended; undefined as long as it goes on. */
  get ended(): End | undefined {
    return this.#ended
  }

  /** Aborted the moment it ends. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Asks about this very moment: a role that changed a second ago counts. */
  has(required: Requirement): boolean {
    if (this.#ended) return false
    const { organizationId, role, permissions } = this.actor
    if (required.organizationId !== undefined && required.organizationId !== organizationId) return false
    if (required.role !== undefined && required.role !== role) return false
    return required.permission === undefined || permissions.includes(required.permission)
  }

  /** Called once, with the reason; at once if it has ended already. @returns stops it */
  onEnd(listener: (reason: End) => void): () => void {
    if (this.#ended) listener(this.#ended)
    else this.#ends.add(listener)
    return () => void this.#ends.delete(listener)
  }

  /** Called when the role or the permissions changed, and the actor goes on. @returns stops it */
  onChanged(listener: (actor: Actor) => void): () => void {
    this.#changed.add(listener)
    return () => void this.#changed.delete(listener)
  }

  /** Called some seconds before the end of the token, so that there is time for `renew`. @returns stops it */
  onExpiring(listener: (inMs: number) => void): () => void {
    this.#expiring.add(listener)
    return () => void this.#expiring.delete(listener)
  }

  change(actor: Actor): void {
    if (this.#ended || sameRights(actor, this.actor)) return
    this.actor = actor
    for (const listener of [...this.#changed]) listener(actor)
  }

  extend(expiresAt: number): void {
    if (this.#ended) return
    this.expiresAt = expiresAt
    this.#arm()
  }

  end(reason: End): void {
    if (this.#ended) return
    this.#ended = reason
    clearTimeout(this.#timer)
    for (const listener of [...this.#ends]) listener(reason)
    for (const set of [this.#ends, this.#changed, this.#expiring]) set.clear()
    this.#controller.abort(new Error(reason))
  }

  #arm(): void {
    clearTimeout(this.#timer)
    const left = this.expiresAt - Date.now()
    if (left <= 0) {
      this.end('expired')
      return
    }
    const untilNotice = left - noticeMs
    const wait = Math.min(untilNotice > 0 ? untilNotice : left, longestTimerMs)
    this.#timer = setTimeout(() => {
      const inMs = this.expiresAt - Date.now()
      if (inMs > 0 && inMs <= noticeMs) for (const listener of [...this.#expiring]) listener(inMs)
      this.#arm()
    }, wait)
    this.#timer.unref?.()
  }
}

function sameRights(a: Actor, b: Actor): boolean {
  return (
    a.role === b.role &&
    a.permissions.length === b.permissions.length &&
    a.permissions.every((p) => b.permissions.includes(p))
  )
}
