import { countSyncFrames } from '../../kernel/metrics.ts'
import { encryptedFrames, type RosterEntry } from './encrypted-frames.ts'
import { asRoom, type EncryptedRoom, type Member } from './encrypted-room.ts'
import type { EngineParts } from './engine.ts'
import { envelopeKinds, readEnvelope } from './envelope.ts'
import { Bucket } from './limits.ts'
import { bufferedAtMost, ephemeralTopic, sendTo } from './serve-state.ts'
import { MalformedUpdate } from './walk-update.ts'

const rosterEveryMs = 100
const rosterAtMost = 1000
const nodeMessages = { ephemeral: 1, roster: 2 } as const

/** Who is in an encrypted room, on whichever node, and what they say that is not kept. */
export class Presences {
  private readonly parts: EngineParts

  constructor(parts: EngineParts) {
    this.parts = parts
  }

  /** An envelope for those who are here now, and for nobody later. */
  relay(member: Member, room: EncryptedRoom, envelope: Uint8Array) {
    const { connection } = member
    const { limits } = this.parts
    if (envelope.length > limits.ephemeralBytes) throw new MalformedUpdate('an ephemeral envelope is too large')
    if (readEnvelope(envelope).kind !== envelopeKinds.ephemeral) throw new MalformedUpdate('not an ephemeral envelope')
    const now = performance.now()
    const perSecond = limits.awarenessPerSecond
    connection.presence ??= new Bucket(perSecond, now)
    if (connection.presence.take(1, perSecond, perSecond, now) > 0) {
      // Too often: this one is dropped, and costs nothing of what comes later.
      connection.presence.take(-1, perSecond, perSecond, now)
      return
    }
    const frame = encryptedFrames.ephemeral(member.ref, envelope)
    countSyncFrames('out', room.connections.size - 1, frame.length)
    connection.socket?.publish(ephemeralTopic(room), frame)
    this.parts.tell?.(asRoom(room), Buffer.concat([Uint8Array.of(nodeMessages.ephemeral), frame]))
  }

  /** Somebody came, went or has other rights: everybody is told, many at once. */
  announce(room: EncryptedRoom, member: Member, joined: boolean) {
    this.announceAll(room, [rosterEntry(member, joined)], true)
  }

  private announceAll(room: EncryptedRoom, entries: readonly RosterEntry[], areOurs: boolean) {
    room.rosterChanges.push(...entries)
    if (areOurs) room.ownRosterChanges.push(...entries)
    room.rosterTimer ??= setTimeout(() => {
      room.rosterTimer = undefined
      const changes = room.rosterChanges.splice(0)
      if (changes.length > 0) this.parts.publish(ephemeralTopic(room), encryptedFrames.roster(changes))
      const ours = room.ownRosterChanges.splice(0)
      if (ours.length > 0) this.parts.tell?.(asRoom(room), nodeMessage('roster', ours))
    }, rosterEveryMs)
  }

  /** A connection takes part from now on, and is told who does. */
  hear(member: Member, room: EncryptedRoom) {
    member.hearsEphemeral = true
    member.connection.socket?.subscribe(ephemeralTopic(room))
    const entries: RosterEntry[] = []
    for (const other of room.members.values()) if (other.delivery) entries.push(rosterEntry(other, true))
    for (const node of room.elsewhere.values()) entries.push(...node.values())
    sendTo(member.connection, encryptedFrames.roster(entries.slice(0, rosterAtMost)))
  }

  /** A socket that lags leaves what can be left out, until it has read what it has. */
  watch(room: EncryptedRoom) {
    for (const member of room.members.values()) {
      const { connection } = member
      if (!connection.subscribed) continue
      const lags = (connection.socket?.getBufferedAmount() ?? 0) > bufferedAtMost
      if (lags && member.hearsEphemeral) {
        member.hearsEphemeral = false
        connection.socket?.unsubscribe(ephemeralTopic(room))
      } else if (!lags && !member.hearsEphemeral) this.hear(member, room)
    }
  }

  // Other nodes

  heard(room: EncryptedRoom, nodeId: string, bytes: Uint8Array) {
    if (bytes[0] === nodeMessages.ephemeral) return this.parts.publish(ephemeralTopic(room), bytes.slice(1))
    const entries = JSON.parse(Buffer.from(bytes.subarray(1)).toString()) as RosterEntry[]
    // What cannot be told on would be noticed in a timer only, where nobody catches it.
    if (!entries.every(({ ref, principal }) => Number.isSafeInteger(ref) && ref > 0 && typeof principal === 'string'))
      throw new TypeError('these are no members')
    const known = room.elsewhere.get(nodeId) ?? new Map<number, RosterEntry>()
    room.elsewhere.set(nodeId, known)
    // What a node stands for as a whole comes more than once: whoever is known already does not join again.
    const news = entries.filter(
      (entry) => entry.joined !== known.has(entry.ref) || entry.access !== known.get(entry.ref)?.access,
    )
    for (const entry of news) {
      if (entry.joined) known.set(entry.ref, entry)
      else known.delete(entry.ref)
    }
    this.announceAll(room, news, false)
  }

  /** Everybody who is here through this node, as another one hears it. */
  ofThisNode(room: EncryptedRoom): Uint8Array | undefined {
    const entries = [...room.members.values()].filter((m) => m.delivery).map((m) => rosterEntry(m, true))
    return entries.length > 0 ? nodeMessage('roster', entries) : undefined
  }

  nodeGone(room: EncryptedRoom, nodeId: string) {
    const gone = [...(room.elsewhere.get(nodeId)?.values() ?? [])]
    room.elsewhere.delete(nodeId)
    this.announceAll(
      room,
      gone.map((entry) => ({ ...entry, joined: false })),
      false,
    )
  }
}

function nodeMessage(type: 'roster', entries: readonly RosterEntry[]): Uint8Array {
  return Buffer.concat([Uint8Array.of(nodeMessages[type]), Buffer.from(JSON.stringify(entries))])
}

function rosterEntry({ ref, connection }: Member, joined: boolean): RosterEntry {
  return { joined, ref, principal: connection.principal.userId ?? '', access: connection.access }
}
