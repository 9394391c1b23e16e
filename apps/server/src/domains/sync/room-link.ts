import type { SQL } from 'bun'
import type { Cluster, Subscription } from '../../kernel/cluster/index.ts'
import type { Log } from '../../kernel/log.ts'
import type { Room } from './room.ts'
import type { Segment } from './room-log.ts'
import type { RoomKindName } from './store.ts'

/**
 * What a node says about a room: type, kind, how many bytes of fields follow (2), fields, payload. A later version may
 * add fields behind those that are known here, and types: whoever does not know a type looks at the database.
 */
const said = { segment: 1, ephemeral: 2, whoIsThere: 3, look: 4 } as const
const kindBytes: Record<RoomKindName, number> = { yjs: 0, e2ee: 1 }
/** A larger segment is only announced: others read it from the database, where it is anyway. */
const inlineBytes = 128 * 1024
const preludeBytes = 4
/** Of a segment: incarnation, numbers before and last, check sum, time. */
const segmentFieldBytes = 36 + 8 + 8 + 4 + 8

const none = new Uint8Array()

/** How often rooms are compared with the database when somebody cannot ring, and when everybody can. */
const reconcileMs = 500
const reconcileConnectedMs = 5000

type Rooms = {
  readonly openRooms: Iterable<Room>
  catchUp: (room: Room) => Promise<void>
  adopt: (room: Room, incarnation: string, segment: Segment) => Promise<void>
  /** Something ephemeral that was said in the room on another node. */
  heard: (room: Room, nodeId: string, bytes: Uint8Array) => void
  /** Everything ephemeral that this node's connections stand for in the room. */
  presence: (room: Room) => Uint8Array | undefined
  nodeGone: (room: Room, nodeId: string) => void
}

/**
 * Rooms that are open on several nodes: tells the others what was committed here, and takes in what they committed. The
 * numbers of the log say what is missing, and the database has it; what rings only makes it fast.
 */
export class RoomLink {
  private readonly subscriptions = new Map<Room, Subscription>()
  private readonly unsubscribe: (() => void)[]
  private reconciling: ReturnType<typeof setTimeout> | undefined
  private meets = false
  private stopped = false

  private readonly cluster: Cluster
  private readonly rooms: Rooms
  private readonly sql: SQL
  private readonly log: Log

  constructor(cluster: Cluster, rooms: Rooms, sql: SQL, log: Log) {
    this.cluster = cluster
    this.rooms = rooms
    this.sql = sql
    this.log = log
    this.unsubscribe = [
      cluster.onChange((connected) => this.scheduleReconcile(connected ? 0 : reconcileMs, connected)),
      cluster.onDoubt(() => this.scheduleReconcile(0)),
      cluster.onNodeGone((nodeId) => {
        for (const room of rooms.openRooms) rooms.nodeGone(room, nodeId)
      }),
    ]
    this.scheduleReconcile(reconcileMs)
  }

  opened(room: Room): void {
    const subscription = this.cluster.subscribe(topicOf(room), (message, nodeId) => this.receive(room, nodeId, message))
    this.subscriptions.set(room, subscription)
    subscription.active.then((active) => {
      // Written between the load and the subscription: nobody rings for that again.
      if (active && !room.gone) this.meet(room)
    })
  }

  closed(room: Room): void {
    this.subscriptions.get(room)?.end()
    this.subscriptions.delete(room)
  }

  appended(room: Room, segment: Segment) {
    if (room.incarnation === undefined || segment.payload.length > inlineBytes) return this.ring(room)
    const fields = Buffer.allocUnsafe(segmentFieldBytes)
    fields.write(room.incarnation, 0, 36, 'latin1')
    fields.writeDoubleBE(segment.prevSeq, 36)
    fields.writeDoubleBE(segment.lastSeq, 44)
    fields.writeInt32BE(segment.crc | 0, 52)
    fields.writeDoubleBE(segment.at, 56)
    this.say(room, said.segment, fields, segment.payload)
  }

  /** Makes the others look at what the database says about a room. */
  ring(room: Room) {
    this.say(room, said.look)
  }

  /** Tells the others something that is not kept. */
  tell(room: Room, bytes: Uint8Array): void {
    this.say(room, said.ephemeral, none, bytes)
  }

  stop(): void {
    this.stopped = true
    clearTimeout(this.reconciling)
    for (const end of this.unsubscribe) end()
    for (const subscription of this.subscriptions.values()) subscription.end()
    this.subscriptions.clear()
  }

  private say(room: Room, type: number, fields: Uint8Array = none, payload: Uint8Array = none): void {
    const prelude = Uint8Array.of(type, kindBytes[room.kind], fields.length >> 8, fields.length & 255)
    this.cluster.publish(topicOf(room), Buffer.concat([prelude, fields, payload]))
  }

  /** Both sides tell who is there, whichever of them was away. */
  private meet(room: Room): void {
    this.rooms.catchUp(room).catch((error) => this.log.warn({ err: error }, 'a room could not be compared'))
    this.say(room, said.whoIsThere)
    this.tellPresence(room)
  }

  private tellPresence(room: Room) {
    const present = this.rooms.presence(room)
    if (present) this.tell(room, present)
  }

  private receive(room: Room, nodeId: string, bytes: Uint8Array) {
    const message = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    // The room is open here as the other kind: whoever writes first decides, and the database knows who did.
    if (message[1] !== kindBytes[room.kind]) return this.look(room)
    if (message.length < preludeBytes) return this.look(room)
    const payloadAt = preludeBytes + message.readUInt16BE(2)
    const fields = message.subarray(preludeBytes, payloadAt)
    const payload = message.subarray(payloadAt)
    switch (message[0]) {
      case said.segment:
        if (fields.length < segmentFieldBytes) return this.look(room)
        this.rooms
          .adopt(room, fields.toString('latin1', 0, 36), {
            prevSeq: fields.readDoubleBE(36),
            lastSeq: fields.readDoubleBE(44),
            crc: fields.readInt32BE(52),
            at: fields.readDoubleBE(56),
            payload,
          })
          .catch((error) => this.log.warn({ err: error }, 'what another node wrote could not be read'))
        return
      case said.ephemeral:
        return this.rooms.heard(room, nodeId, payload)
      case said.whoIsThere:
        return this.tellPresence(room)
      default:
        return this.look(room)
    }
  }

  private look(room: Room) {
    this.rooms.catchUp(room).catch((error) => this.log.warn({ err: error }, 'a room could not be compared'))
  }

  /** @param meets the connection is back: whoever came or left meanwhile told nobody */
  private scheduleReconcile(ms: number, meets = false): void {
    clearTimeout(this.reconciling)
    if (this.stopped) return
    this.meets ||= meets
    this.reconciling = setTimeout(async () => {
      const meets = this.meets
      this.meets = false
      try {
        await this.reconcile()
      } catch (error) {
        this.log.warn({ err: error }, 'rooms could not be compared with the database')
      }
      if (meets) for (const room of this.rooms.openRooms) this.meet(room)
      this.scheduleReconcile(this.meets ? 0 : this.cluster.complete ? reconcileConnectedMs : reconcileMs)
    }, ms)
    this.reconciling.unref()
  }

  /** Compares all rooms with the database by one question, and reads those that differ. */
  private async reconcile(): Promise<void> {
    const open = [...this.rooms.openRooms].filter((room) => !room.gone && room.connections.size > 0)
    if (open.length === 0) return
    const asked = JSON.stringify(open.map(({ instanceId, key, head }, i) => ({ i, instance: instanceId, key, head })))
    const changed: { i: number }[] = await this.sql`
      select a.i from json_to_recordset(${asked}::text::json) as a(i int, instance text, key text, head float8)
      join sync_rooms r on r.instance_id = a.instance and r.key = a.key
      where r.head > a.head or r.deleted_at is not null`
    for (const { i } of changed) this.look(open[i] as Room)
  }
}

/** Without the kind: a room that nobody has written to may be open as both. */
const topicOf = (room: Room) => room.topic
