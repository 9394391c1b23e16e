import { channelLimits } from './limits.ts'
import type { Peer } from './peer.ts'

/** Somebody who shows that they are there: one entry, however many connections. */
export type Member = {
  /** The user, or the connection of somebody who is none. */
  id: string
  user: string | null
  /** How many connections. */
  conns: number
  /** What they say of themselves: the connection that spoke last counts. */
  data: unknown
}

/** What changed since it was last told. */
type PresenceChange = { join: Member[]; leave: string[]; update: Member[] }

type Entry = { id: string; user: string | null; data: unknown; at: number }

/** What another node says of its members. */
type Shared = { id: string; user: string | null; conns: number; data: unknown; at: number }

/** Who is in a channel: those of this node by connection, those of others as they report them. */
export class Presence {
  private readonly local = new Map<Peer, Entry>()
  /** Gone without a word; with the time (monotonic, milliseconds) until which they still count. */
  private readonly leaving = new Map<Entry, number>()
  private readonly remote = new Map<string, Shared[]>()
  private told = new Map<string, Member & { text: string }>()

  /** Joins, or changes what is said. */
  set(peer: Peer, data: unknown, now: number): void {
    const id = peer.userId ?? peer.id
    this.local.set(peer, { id, user: peer.userId, data, at: now })
    // Back again: nobody has to know that they were away.
    for (const entry of this.leaving.keys()) if (entry.id === id) this.leaving.delete(entry)
  }

  has(peer: Peer): boolean {
    return this.local.has(peer)
  }

  /** @param graceMs how long they still count; 0: they said goodbye, or were sent away */
  remove(peer: Peer, graceMs: number, now: number): boolean {
    const entry = this.local.get(peer)
    if (!entry) return false
    this.local.delete(peer)
    if (graceMs > 0 && ![...this.local.values()].some((e) => e.id === entry.id)) this.leaving.set(entry, now + graceMs)
    return true
  }

  /** Forgets those whose time is over. @returns whether there were any */
  expire(now: number): boolean {
    let any = false
    for (const [entry, until] of this.leaving) {
      if (until > now) continue
      this.leaving.delete(entry)
      any = true
    }
    return any
  }

  get isEmpty(): boolean {
    return this.local.size === 0 && this.leaving.size === 0
  }

  /** What other nodes are told. */
  share(): Shared[] {
    const members = new Map<string, Shared>()
    const add = ({ id, user, data, at }: Entry, conns: number) => {
      const held = members.get(id)
      if (!held) members.set(id, { id, user, data, at, conns })
      else {
        held.conns += conns
        if (at >= held.at) Object.assign(held, { data, at })
      }
    }
    for (const entry of this.local.values()) add(entry, 1)
    for (const entry of this.leaving.keys()) add(entry, members.has(entry.id) ? 0 : 1)
    return [...members.values()]
  }

  /** Takes over what another node tells; nothing: it has nobody. */
  setRemote(nodeId: string, members: Shared[]): void {
    if (!Array.isArray(members) || !members.every((member) => typeof member?.id === 'string'))
      throw new TypeError('these are no members')
    if (members.length === 0) this.remote.delete(nodeId)
    else this.remote.set(nodeId, members)
  }

  keepRemotes(nodeIds: ReadonlySet<string>): void {
    for (const nodeId of this.remote.keys()) if (!nodeIds.has(nodeId)) this.remote.delete(nodeId)
  }

  /** Everybody as last told: changes from here on arrive as such. */
  members(): Member[] {
    return [...this.told.values()].map(({ text: _, ...member }) => member)
  }

  /** What has changed since the last call; undefined: nothing. */
  change(): PresenceChange | undefined {
    const now = this.view()
    const change: PresenceChange = { join: [], leave: [], update: [] }
    for (const [id, { text, ...member }] of now) {
      const before = this.told.get(id)
      if (!before) change.join.push(member)
      else if (before.text !== text) change.update.push(member)
    }
    for (const id of this.told.keys()) if (!now.has(id)) change.leave.push(id)
    this.told = now
    return change.join.length + change.leave.length + change.update.length > 0 ? change : undefined
  }

  private view() {
    const members = new Map<string, Shared>()
    for (const shared of [this.share(), ...this.remote.values()].flat()) {
      const held = members.get(shared.id)
      if (!held) {
        if (members.size < channelLimits.presenceMembers) members.set(shared.id, { ...shared })
        continue
      }
      held.conns += shared.conns
      // Clocks of two nodes have nothing to do with each other: what this node knows itself stands.
    }
    const view = new Map<string, Member & { text: string }>()
    for (const { id, user, conns, data } of members.values())
      view.set(id, { id, user, conns, data, text: `${conns} ${JSON.stringify(data)}` })
    return view
  }
}
