import type { Connection } from './connection.ts'
import type { Entry, Room } from './room.ts'
import type { RoomKindName, RoomState } from './store.ts'

/** What distinguishes one kind of room from another. The hub and the log know rooms and connections only. */
export interface RoomKind<R extends Room<E>, E extends Entry> {
  readonly kind: RoomKindName
  /** @throws when the database does not answer; the room is not opened then, and never as an empty one */
  load(instanceId: string, key: string): Promise<R>
  /** A connection is live in its room: what it is told first. */
  entered(connection: Connection, room: R): void
  left(connection: Connection, room: R): void
  accessChanged(connection: Connection, room: R): void
  /** How many bytes of a frame count towards its connection's rate. */
  costOf(connection: Connection, frame: Uint8Array): number
  /** @throws {MalformedUpdate} for what no honest client says */
  receive(connection: Connection, room: R, frame: Uint8Array): void
  /** The socket has taken what it was given. */
  drained(connection: Connection, room: R): void
  /** Entries are durable: first those of this node, or those that others wrote. */
  committed(room: R, entries: E[]): void
  arrived(room: R, entries: E[]): void
  /** What the database says about the room besides its log. */
  looked(room: R, state: RoomState): void
  /** An append was refused although the room exists, and what others wrote meanwhile has been read. */
  refused(room: R): void
  /** Something ephemeral that was said in the room on another node, by `parts.tell` there. */
  heard(room: R, nodeId: string, bytes: Uint8Array): void
  /** Everything ephemeral that this node's connections stand for in the room, as `heard` takes it. */
  presence(room: R): Uint8Array | undefined
  /** Another node is gone, and whoever was there. */
  nodeGone(room: R, nodeId: string): void
  /** @param seconds since the start */
  everySecond(room: R, seconds: number, now: number): void
  /** Nobody is in the room. Whether it may be forgotten. */
  mayForget(room: R, now: number): boolean
  forget(room: R): void
  stop(): void
}

// biome-ignore lint/suspicious/noExplicitAny: whoever holds both kinds hands each its own rooms
export type AnyRoomKind = RoomKind<any, any>
