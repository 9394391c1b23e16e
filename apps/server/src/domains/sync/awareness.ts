import { FrameReader, varUint } from './protocol.ts'
import { MalformedUpdate } from './walk-update.ts'

type Presence<Owner> = {
  clock: number
  /** JSON as it came, a byte a character (a string is a fraction of a typed array); undefined: the client has left. */
  state: string | undefined
  /** The connection that announced it; undefined once that is gone. */
  owner: Owner | undefined
  /** The owner speaks for itself: it is nobody who repeats what a neighbour told it. */
  isClaimed: boolean
  at: number
  /** What another connection said under this id, which counts once the owner is gone: its own next one, perhaps. */
  next?: { clock: number; state: string; owner: Owner; isClaimed: boolean } | undefined
}

const maxClientsAFrame = 32
const maxClients = 4000
/** How long the clock of a client that left is remembered, so that its late echoes stay dropped. */
const forgetMs = 60_000

/** Somebody who is connected to another node. */
export class RemotePeer {
  readonly nodeId: string
  readonly userId: string | undefined

  constructor(nodeId: string, userId: string | undefined) {
    this.nodeId = nodeId
    this.userId = userId
  }
}

export type AwarenessChange = 'none' | 'renewed' | 'changed'

/**
 * Who is in a room, as its clients say. Stock clients send every change that they receive back to the server, so a
 * relay without memory is quadratic: here a change counts once, by its clock, and only from the connection that first
 * announced the client.
 */
export class AwarenessTable<Owner extends object> {
  /** Whether there are other nodes to be told. */
  tracksOwn = false
  /** Grows with everything that is told to those who are in the room. */
  version = 0
  private readonly clients = new Map<number, Presence<Owner | RemotePeer>>()
  private readonly changed = new Set<number>()
  private readonly renewed = new Set<number>()
  /** What changed by connections of this node and was not told to others yet. */
  private readonly own = new Set<number>()

  /**
   * Takes in a client's message.
   *
   * @param mayChange asked once before anything changes: is there room in the sender's rate?
   * @param isFirst the first that the connection says: a client alone in it is the connection's own, because every client
   *   begins with itself. Tabs of one browser also tell each other, and repeat that here, sometimes before who is meant
   * @param sameOwner whether two connections are the same principal, which may take over a client id of its own
   * @throws {MalformedUpdate} for what would make a peer's reader throw
   */
  apply(
    payload: Uint8Array,
    owner: Owner,
    now: number,
    maxBytes: number,
    sameOwner: (a: Owner | RemotePeer, b: Owner | RemotePeer) => boolean,
    mayChange: () => boolean = () => true,
    isFirst = false,
  ): AwarenessChange {
    let result: AwarenessChange = 'none'
    let asked = false
    const entries = parse(payload, maxBytes)
    const isOwnWord = isFirst && entries.length === 1
    for (const { client, clock, state } of entries) {
      const held = this.clients.get(client)
      const isSame = state !== undefined && held?.clock === clock && held.state === state
      if (isOwnWord && isSame && held.owner && !held.isClaimed && mayClaim(held.owner, owner, sameOwner)) {
        held.owner = owner
        held.isClaimed = true
        if (this.tracksOwn) this.own.add(client)
        continue
      }
      // A neighbour that repeats what somebody said does not become them; one that lost the server tells its neighbours
      // that everybody is gone.
      const isRepeated = !isOwnWord && held?.isClaimed === true && held.owner !== undefined && held.owner !== owner
      if (isRepeated && state === undefined) continue
      if (held ? !this.accepts(held, clock, state, owner, sameOwner) : state === undefined) {
        if (held?.owner && held.owner !== owner && state !== undefined && clock > (held.next ?? held).clock)
          held.next = { clock, state, owner, isClaimed: isOwnWord }
        continue
      }
      if (!held && this.clients.size >= maxClients) continue
      // Echoes ended above and cost nothing; what would really change something counts as one message.
      if (!asked && !mayChange()) return result
      asked = true
      const unchanged = state !== undefined && held?.state === state
      const speaker = isRepeated ? held.owner : owner
      const isClaimed = isOwnWord || (held?.isClaimed === true && speaker === held.owner)
      this.clients.set(client, { clock, state, owner: state ? speaker : undefined, isClaimed, at: now })
      if (this.tracksOwn) this.own.add(client)
      if (unchanged) {
        this.renewed.add(client)
        if (result === 'none') result = 'renewed'
      } else {
        this.changed.add(client)
        result = 'changed'
      }
    }
    return result
  }

  private accepts(
    held: Presence<Owner | RemotePeer>,
    clock: number,
    state: string | undefined,
    owner: Owner,
    sameOwner: (a: Owner | RemotePeer, b: Owner | RemotePeer) => boolean,
  ): boolean {
    // Integers first: the echo of a known change ends here, at the price of two numbers.
    if (!isLater(held, clock, state, held.owner === owner)) return false
    return held.owner === undefined || held.owner === owner || sameOwner(held.owner, owner)
  }

  /** A connection is gone: its clients leave, in its name. @returns whether there were any */
  leave(owner: Owner, now: number): boolean {
    return this.leaveAll((other) => other === owner, now)
  }

  /**
   * They leave at the clock that they had, which stock clients take for a goodbye. A later one would be taken for the last
   * word where they are connected by now, and hide the next thing that they say themselves.
   */
  leaveAll(goes: (owner: Owner | RemotePeer) => boolean, now: number): boolean {
    let left = false
    for (const [client, held] of this.clients) {
      const { owner, clock } = held
      if (held.next && goes(held.next.owner)) held.next = undefined
      if (owner === undefined || !goes(owner)) continue
      const gone = { clock, state: undefined, owner: undefined, isClaimed: false }
      this.clients.set(client, { ...(held.next ?? gone), at: now })
      this.changed.add(client)
      // Whoever was elsewhere is gone from everywhere, and each node notices by itself.
      if (this.tracksOwn && (held.next || !(owner instanceof RemotePeer))) this.own.add(client)
      left = true
    }
    return left
  }

  /**
   * Takes in what another node told of its connections. It has judged them as `apply` does, so a later clock counts.
   *
   * @returns whether there is something to tell the connections of this node
   */
  applyOfNode(nodeId: string, message: Uint8Array, now: number, maxBytes: number): boolean {
    const reader = new FrameReader(message)
    const users: (string | null)[] = JSON.parse(utf8.decode(reader.block()))
    const peers = new Map(users.map((userId) => [userId, new RemotePeer(nodeId, userId ?? undefined)]))
    let changed = false
    for (const [i, { client, clock, state }] of parse(reader.rest(), maxBytes, users.length).entries()) {
      const held = this.clients.get(client)
      if (!held && (state === undefined || this.clients.size >= maxClients)) continue
      if (held && !isLater(held, clock, state, held.owner instanceof RemotePeer && held.owner.nodeId === nodeId))
        continue
      const owner = state ? peers.get(users[i] ?? null) : undefined
      this.clients.set(client, { clock, state, owner, isClaimed: false, at: now })
      // Renewals too, and at once: they have waited on the other node already.
      this.changed.add(client)
      changed = true
    }
    return changed
  }

  /** What this node's connections changed since the last call, for `applyOfNode` on others. */
  takeOwnChanges(userOf: (owner: Owner | RemotePeer) => string | undefined): Uint8Array | undefined {
    if (this.own.size === 0) return undefined
    const message = this.encodeFor(this.own, userOf)
    this.own.clear()
    return message
  }

  /** Everybody who is connected to this node, for `applyOfNode` on others. */
  encodeOwn(userOf: (owner: Owner | RemotePeer) => string | undefined): Uint8Array | undefined {
    const own: number[] = []
    for (const [client, { state, owner }] of this.clients) if (state && !(owner instanceof RemotePeer)) own.push(client)
    return this.encodeFor(own, userOf)
  }

  private encodeFor(clients: Iterable<number>, userOf: (owner: Owner | RemotePeer) => string | undefined) {
    const known = [...clients].filter((client) => this.clients.has(client))
    if (known.length === 0) return undefined
    const users = known.map((client) => {
      const owner = this.clients.get(client)?.owner
      return (owner && userOf(owner)) ?? null
    })
    const blocks = [Buffer.from(JSON.stringify(users)), this.encode(known) as Uint8Array]
    return Buffer.concat(blocks.flatMap((block) => [Uint8Array.from(varUint(block.length)), block]))
  }

  /** What changed since the last call, ready to send; undefined when nothing did. */
  takeChanges(): Uint8Array | undefined {
    const payload = this.encode(this.changed)
    this.version++
    for (const client of this.changed) this.renewed.delete(client)
    this.changed.clear()
    return payload
  }

  /** Renewals of unchanged states: receivers drop a client after 30 s without one. */
  takeRenewals(): Uint8Array | undefined {
    if (this.renewed.size === 0) return undefined
    const payload = this.encode(this.renewed)
    this.renewed.clear()
    return payload
  }

  /** Everybody who is here, for somebody who joins. */
  encodeAll(): Uint8Array | undefined {
    const present: number[] = []
    for (const [client, { state }] of this.clients) if (state) present.push(client)
    return this.encode(present)
  }

  /** Everybody who is here or has left of late, for somebody who did not hear what was told for a while. */
  encodeRecent(): Uint8Array | undefined {
    return this.encode(this.clients.keys())
  }

  sweep(now: number): void {
    for (const [client, { state, at }] of this.clients) {
      if (!state && now - at > forgetMs) this.clients.delete(client)
    }
  }

  private encode(clients: Iterable<number>): Uint8Array | undefined {
    const parts: Uint8Array[] = []
    let n = 0
    for (const client of clients) {
      const held = this.clients.get(client)
      if (!held) continue
      const state = held.state === undefined ? leftState : Buffer.from(held.state, 'latin1')
      parts.push(Uint8Array.from([...varUint(client), ...varUint(held.clock), ...varUint(state.length)]), state)
      n++
    }
    return n === 0 ? undefined : Buffer.concat([Uint8Array.from(varUint(n)), ...parts])
  }
}

/** Somebody on another node is known by who they are alone; here a neighbour may have spoken for them. */
function mayClaim<Owner extends object>(
  holder: Owner | RemotePeer,
  owner: Owner,
  sameOwner: (a: Owner | RemotePeer, b: Owner | RemotePeer) => boolean,
): boolean {
  return !(holder instanceof RemotePeer) || sameOwner(holder, owner)
}

/** A client may leave without a new clock, by its own word. */
function isLater(held: Presence<object>, clock: number, state: string | undefined, isOwn: boolean): boolean {
  if (clock !== held.clock) return clock > held.clock
  return isOwn && state === undefined && held.state !== undefined
}

const leftState = Uint8Array.from(Buffer.from('null'))
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function parse(payload: Uint8Array, maxBytes: number, maxClients = maxClientsAFrame) {
  const reader = new FrameReader(payload)
  const n = reader.uint()
  if (n > maxClients) {
    // A stock client repeats what it received, and that may be a whole room: it is an echo, not an attack.
    if (n > payload.length) throw new MalformedUpdate('more clients than bytes')
    return []
  }
  const entries: { client: number; clock: number; state: string | undefined }[] = []
  for (let i = 0; i < n; i++) {
    const client = reader.uint()
    const clock = reader.uint()
    const state = reader.block()
    if (state.length > maxBytes) throw new MalformedUpdate('presence too large')
    let value: unknown
    try {
      value = JSON.parse(utf8.decode(state))
    } catch {
      throw new MalformedUpdate('presence is not JSON')
    }
    entries.push({ client, clock, state: value === null ? undefined : Buffer.from(state).toString('latin1') })
  }
  if (!reader.done) throw new MalformedUpdate('trailing bytes')
  return entries
}
