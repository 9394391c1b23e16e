import type { SQL } from 'bun'
import type { Cluster } from '../../kernel/cluster/index.ts'
import type { Log } from '../../kernel/log.ts'
import { realtimeAcks } from '../../kernel/metrics.ts'
import type { CloseReason } from './close-codes.ts'
import { Comebacks } from './comebacks.ts'
import type { Access, Connection, Principal, Socket } from './connection.ts'
import { Encrypted } from './encrypted.ts'
import { Hub } from './hub.ts'
import { laneSettings } from './lanes.ts'
import { defaultLimits, type SyncLimits } from './limits.ts'
import { Plaintext } from './plaintext.ts'
import type { Room } from './room.ts'
import type { AnyRoomKind } from './room-kind.ts'
import { RoomLink } from './room-link.ts'
import { RoomLog, type Segment } from './room-log.ts'
import { SharedCaps } from './shared-caps.ts'
import { type RoomKindName, WrongRoomKind } from './store.ts'

export type EngineOptions = {
  /** Reads and snapshots. */
  sql: SQL
  /** A driver of its own for each lane. */
  connect: (max: number, settings: Record<string, string>) => SQL
  log: Log
  limits?: Partial<SyncLimits>
  lanes?: number
  /** The other nodes; absent: there are none. */
  cluster?: Cluster
}

/** What the kinds of rooms share. */
export type EngineParts = {
  limits: SyncLimits
  log: Log
  sql: SQL
  hub: Hub
  roomLog: RoomLog
  /** Hands one message to everybody on a topic. */
  publish: (topic: string, frame: Uint8Array) => void
  /** Tells the other nodes something about a room that is not kept. Absent: there are none. */
  tell: ((room: Room, bytes: Uint8Array) => void) | undefined
}

/**
 * The realtime plane without sockets and tokens: the hub of connections, the log, and both kinds of rooms behind one
 * face.
 */
export class SyncEngine {
  readonly limits: SyncLimits
  /** Hands one message to everybody on a topic. Set when the server listens. */
  publish: (topic: string, frame: Uint8Array) => void = () => {}
  draining = false

  /** A text frame of a connection that has a named subprotocol. Nobody else may send one. */
  set onText(listener: (connection: Connection, text: string) => void) {
    this.hub.onText = listener
  }

  readonly hub: Hub
  readonly roomLog: RoomLog
  private readonly kinds: Record<RoomKindName, AnyRoomKind>
  /** By kind, instance and key. A room that was never written to may be open as both kinds. */
  private readonly rooms = new Map<string, Room>()
  private readonly opening = new Map<string, Promise<Room>>()
  private readonly secondTimer: ReturnType<typeof setInterval>
  private seconds = 0
  private readonly log: Log
  private readonly link: RoomLink | undefined
  private readonly caps: SharedCaps | undefined
  private readonly comebacks: Comebacks

  constructor({ sql, connect, log, limits, lanes = 4, cluster }: EngineOptions) {
    this.log = log
    this.limits = { ...defaultLimits, ...limits }
    this.hub = new Hub(this.limits, log, {
      enter: (connection) => this.enter(connection),
      costOf: (connection, frame) => this.kinds[connection.kind].costOf(connection, frame),
      receive: (connection, frame) => this.kinds[connection.kind].receive(connection, connection.room, frame),
      leave: (connection) => this.leave(connection),
    })
    this.roomLog = new RoomLog({
      sql,
      connect: (max) => connect(max, laneSettings),
      log,
      lanes,
      handlers: {
        committed: (room, entries) => {
          realtimeAcks.inc({ plane: 'sync' }, entries.length)
          this.kinds[room.kind].committed(room, entries)
          this.closeOtherKind(room)
        },
        arrived: (room, entries) => {
          this.kinds[room.kind].arrived(room, entries)
          this.closeOtherKind(room)
        },
        looked: (room, state) => {
          this.kinds[room.kind].looked(room, state)
          this.closeOtherKind(room)
          if (room.damaged) this.closeWriters(room)
        },
        refused: (room) => this.kinds[room.kind].refused(room),
        rewound: (room, found) => this.comebacks.rewound(room, found),
        gone: (room, reason, message) => this.closeRoom(room, reason, message),
      },
    })
    const parts: EngineParts = {
      limits: this.limits,
      log,
      sql,
      hub: this.hub,
      roomLog: this.roomLog,
      publish: (topic, frame) => this.publish(topic, frame),
      tell: cluster?.isShared ? (room, bytes) => this.link?.tell(room, bytes) : undefined,
    }
    this.kinds = { yjs: new Plaintext(parts), e2ee: new Encrypted(parts) }
    if (cluster?.isShared) {
      this.link = this.linkTo(cluster, sql)
      const over = (connection: Connection, message: string) => this.close(connection, 'rate_limited', message)
      this.caps = new SharedCaps(cluster, this.limits, over, log)
    }
    const { rooms, opening } = this
    this.comebacks = new Comebacks({
      sql,
      log,
      rooms: {
        get open() {
          return rooms.values()
        },
        get opening() {
          return opening.values()
        },
        drop: (room) => this.roomLog.drop(room),
        close: (room, reason, message) => this.closeRoom(room, reason, message),
      },
    })
    this.secondTimer = setInterval(() => this.everySecond(), 1000)
    this.secondTimer.unref()
  }

  private linkTo(cluster: Cluster, sql: SQL): RoomLink {
    const { rooms } = this
    const link = new RoomLink(
      cluster,
      {
        get openRooms() {
          return rooms.values()
        },
        catchUp: (room) => this.catchUp(room),
        adopt: (room, incarnation, segment) => this.adopt(room, incarnation, segment),
        heard: (room, nodeId, bytes) => this.kinds[room.kind].heard(room, nodeId, bytes),
        presence: (room) => this.kinds[room.kind].presence(room),
        nodeGone: (room, nodeId) => this.kinds[room.kind].nodeGone(room, nodeId),
      },
      sql,
      this.log,
    )
    this.roomLog.onAppended = (room, segment) => link.appended(room, segment)
    return link
  }

  // Connections

  /** Takes in an upgraded socket. Its room is loaded, its frames wait until then. */
  attach(connection: Connection, socket: Socket) {
    this.hub.attach(connection, socket)
    if (connection.state !== 'closing') this.caps?.entered(connection)
  }

  /** The socket is gone, or was cut. */
  detach(connection: Connection) {
    this.hub.detach(connection)
  }

  /** Cuts a connection: first it stops receiving, then it is told why. */
  close(connection: Connection, reason: CloseReason, message: string) {
    this.hub.close(connection, reason, message)
  }

  /** A frame of a client. */
  receive(connection: Connection, frame: Uint8Array | string) {
    this.hub.receive(connection, frame)
  }

  /** The socket has taken what it was given. */
  drained(connection: Connection) {
    if (connection.room) this.kinds[connection.kind].drained(connection, connection.room)
  }

  /** Live connections that a change of these ids may concern; of the whole instance when `everyone`. */
  connectionsOf(instanceId: string, ids: Iterable<string> | 'everyone'): Set<Connection> {
    return this.hub.connectionsOf(instanceId, ids)
  }

  /** Puts a connection on another credential of the same person. */
  setPrincipal(connection: Connection, principal: Principal) {
    this.hub.setPrincipal(connection, principal)
  }

  /** Swaps the rights of a live connection. They hold from its next frame on. */
  setAccess(connection: Connection, access: Access) {
    if (connection.access === access) return
    connection.access = access
    connection.sendText({ t: 'role', access })
    if (connection.room) this.kinds[connection.kind].accessChanged(connection, connection.room)
  }

  private async enter(connection: Connection): Promise<void> {
    let room: Room
    try {
      room = await this.room(connection.kind, connection.principal.instanceId, connection.key)
    } catch (error) {
      if (error instanceof WrongRoomKind)
        return this.close(connection, 'wrong_protocol', 'this document is of another kind')
      this.log.error({ err: error }, 'a room could not be loaded')
      return this.close(connection, 'storage_unavailable', 'the document cannot be loaded now')
    }
    if (connection.state !== 'opening') return
    if (room.deleted) return this.close(connection, 'room_deleted', 'the document was deleted')
    if (room.gone) return this.close(connection, 'storage_unavailable', 'the document is being opened anew')
    if (room.damaged && connection.access === 'write')
      return this.close(connection, 'storage_unavailable', 'the document is damaged and can only be read')
    if (room.connections.size >= this.limits.connectionsPerRoom)
      return this.close(connection, 'overloaded', 'the room is full')
    room.connections.add(connection)
    connection.room = room
    // The same text: held once for all who are in the room.
    connection.key = room.key
    connection.state = 'live'
    connection.socket?.cork(() => {
      this.kinds[room.kind].entered(connection, room)
      this.hub.resume(connection)
    })
  }

  private leave(connection: Connection) {
    this.caps?.left(connection)
    const { room } = connection
    if (!room) return
    room.connections.delete(connection)
    this.kinds[room.kind].left(connection, room)
    if (room.connections.size === 0) room.emptySince = performance.now()
  }

  // Rooms

  /** The room in memory; loaded once, however many ask at the same time. */
  private room(kind: RoomKindName, instanceId: string, key: string): Promise<Room> | Room {
    const name = nameOf(kind, instanceId, key)
    const open = this.rooms.get(name)
    if (open) return open
    let loading = this.opening.get(name)
    if (!loading) {
      loading = this.kinds[kind]
        .load(instanceId, key)
        .then((room: Room) => {
          this.rooms.set(name, room)
          this.link?.opened(room)
          return room
        })
        .finally(() => this.opening.delete(name))
      this.opening.set(name, loading)
    }
    return loading
  }

  /** Rooms in memory, for whoever compares them with the database. */
  get openRooms(): Iterable<Room> {
    return this.rooms.values()
  }

  /** The rooms in memory under a document id: one, or one of each kind while nothing is written. */
  findRooms(instanceId: string, key: string): Room[] {
    return (['yjs', 'e2ee'] as const).flatMap((kind) => this.rooms.get(nameOf(kind, instanceId, key)) ?? [])
  }

  /** A document was deleted: whoever is in it, or about to be, is sent away for good. */
  documentDeleted(instanceId: string, key: string) {
    for (const room of this.findRooms(instanceId, key)) this.closeRoom(room, 'room_deleted', 'the document was deleted')
    for (const kind of ['yjs', 'e2ee'] as const)
      void this.opening
        .get(nameOf(kind, instanceId, key))
        ?.then((room) => this.closeRoom(room, 'room_deleted', 'the document was deleted'))
        .catch(() => {})
  }

  /** Reads what others wrote to a room since our head and hands it on. */
  catchUp(room: Room): Promise<void> {
    return this.roomLog.catchUp(room)
  }

  /** The same, for whoever need not know when. What fails now is found by the next look, or by the next append. */
  catchUpSoon(room: Room): void {
    this.catchUp(room).catch((error) => this.log.warn({ err: error, room: room.id }, 'a log could not be read'))
  }

  /** Takes in a segment that another node says it has committed; reads the database when it does not fit. */
  adopt(room: Room, incarnation: string, segment: Segment): Promise<void> {
    return this.roomLog.adopt(room, incarnation, segment)
  }

  /** The first write decides of which kind a document is: who is here for the other kind cannot stay. */
  private closeOtherKind(room: Room) {
    const other = this.rooms.get(nameOf(room.kind === 'yjs' ? 'e2ee' : 'yjs', room.instanceId, room.key))
    if (other) this.closeRoom(other, 'wrong_protocol', 'this document is of another kind')
  }

  private closeWriters(room: Room) {
    for (const connection of [...room.connections])
      if (connection.access === 'write')
        this.close(connection, 'storage_unavailable', 'the document is damaged and can only be read')
  }

  private closeRoom(room: Room, reason: CloseReason, message: string) {
    this.roomLog.drop(room)
    const name = nameOf(room.kind, room.instanceId, room.key)
    if (this.rooms.get(name) === room) this.rooms.delete(name)
    this.link?.closed(room)
    for (const connection of [...room.connections]) this.close(connection, reason, message)
    this.kinds[room.kind].forget(room)
  }

  // Time

  private everySecond() {
    const now = performance.now()
    this.seconds++
    this.comebacks.look()
    this.hub.everySecond(this.seconds, now)
    for (const [name, room] of this.rooms) {
      // What it holds is still to be put back: whoever opened it anew now would not find that.
      if (room.gone) continue
      const kind = this.kinds[room.kind]
      kind.everySecond(room, this.seconds, now)
      // While the database does not answer, nobody knows whether the next one has what is held here.
      if (room.connections.size > 0 || !this.comebacks.isAnswered || !kind.mayForget(room, now)) continue
      this.roomLog.drop(room)
      this.rooms.delete(name)
      this.link?.closed(room)
      kind.forget(room)
    }
  }

  /** Tells every socket that the server goes, in random order over the window, then makes everything durable. */
  async drain(windowMs: number): Promise<void> {
    this.draining = true
    await this.hub.drain(windowMs)
    await Promise.race([Promise.all([this.roomLog.settle(), this.comebacks.settle()]), Bun.sleep(5000)])
  }

  async stop(): Promise<void> {
    clearInterval(this.secondTimer)
    this.link?.stop()
    this.hub.stop()
    this.comebacks.stop()
    for (const room of this.rooms.values()) this.kinds[room.kind].forget(room)
    for (const kind of Object.values(this.kinds)) kind.stop()
    await this.roomLog.stop()
  }

  get stats() {
    return { connections: this.hub.all.size, rooms: this.rooms.size }
  }
}

function nameOf(kind: RoomKindName, instanceId: string, key: string): string {
  return `${kind}:${instanceId}:${key}`
}
