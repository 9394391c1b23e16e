import { countSyncFrames } from '../../kernel/metrics.ts'
import type { Connection } from './connection.ts'
import type { DocumentWorker } from './document-worker-client.ts'
import type { PlaintextRoom } from './plaintext-room.ts'
import { awarenessFrame, emptyStep2Frame, updateFrame } from './protocol.ts'
import type { Room } from './room.ts'

/** Below this everything is sent: computing a difference would cost more than the bytes. */
const diffFrom = 64 * 1024
/** What a socket may hold before the next piece waits for it to drain: the next send after the limit closes it. */
export const bufferedAtMost = 256 * 1024
const cachedDiffs = 32

/**
 * Sends a client what it lacks: the snapshot and the updates behind it as they lie in memory, then an empty SyncStep2.
 * Only a client that has something, in a large document, gets a difference, which a worker makes for its vector and
 * for nobody else's.
 */
export function serveState(
  connection: Connection,
  vector: ReadonlyMap<number, number>,
  vectorBytes: Uint8Array,
  worker: DocumentWorker,
) {
  const room = connection.room as PlaintextRoom | undefined
  // A second request while the first is under way adds nothing: what arrives meanwhile is part of the answer.
  if (!room || connection.serving) return
  connection.serving = true
  connection.stepped = false
  if (connection.subscribed) connection.presenceVersion = room.awareness.version
  unsubscribe(connection)
  if (vector.size === 0 || !room.snapshot || room.bytes < diffFrom) {
    connection.position = -1
    return continueServing(connection)
  }
  const version = room.snapshotVersion
  // Until the difference is there, a drain must not go on from a position that assumes it.
  connection.position = Number.POSITIVE_INFINITY
  diffFor(room, vectorBytes, worker).then((diff) => {
    if (connection.state !== 'live') return
    if (diff && room.snapshotVersion === version) {
      connection.socket?.send(updateFrame(diff))
      connection.position = room.base
    } else connection.position = -1
    continueServing(connection)
  })
}

/** Goes on where the socket was full. Called again whenever it has drained. */
export function continueServing(connection: Connection) {
  const { socket } = connection
  const room = connection.room as PlaintextRoom | undefined
  if (!room || !socket || !connection.serving || connection.state !== 'live') return
  if (connection.position === Number.POSITIVE_INFINITY) return
  if (connection.position < room.base) {
    if (room.snapshotFrame) socket.send(room.snapshotFrame)
    connection.position = room.base
  }
  // Only what is durable: a client that reconnects must not take its own lost change for an acknowledged one.
  const durable = room.base + room.committed
  while (connection.position < durable) {
    if (socket.getBufferedAmount() > bufferedAtMost) return
    const entry = room.tail[connection.position - room.base]
    if (entry) socket.send(entry.frame)
    connection.position++
  }
  if (!connection.stepped) {
    if (socket.getBufferedAmount() > bufferedAtMost) return
    socket.send(emptyStep2Frame)
    connection.stepped = true
  }
  // Only an empty socket may join the topic: what is published to a full one closes it.
  if (socket.getBufferedAmount() > bufferedAtMost) return
  connection.serving = false
  sendDeferred(connection)
  // Who came and went between its opening and now was told to those on the topic.
  const recent = connection.presenceVersion === room.awareness.version ? undefined : room.awareness.encodeRecent()
  if (recent) socket.send(awarenessFrame(recent))
  // It has been given all of that, or will be.
  room.outbox.flush()
  socket.subscribe(room.topic)
  connection.subscribed = true
  if (room.hasUncommitted) room.owed.push({ connection, entries: room.tail.slice(room.committed) })
}

/** Sends what had to stay behind the state that was on its way. */
export function sendDeferred(connection: Connection) {
  const { deferred } = connection
  connection.deferred = undefined
  for (const frame of deferred ?? []) connection.socket?.send(frame)
}

export function unsubscribe(connection: Connection) {
  if (!connection.subscribed) return
  connection.subscribed = false
  const room = connection.room as Room
  connection.socket?.unsubscribe(room.topic)
  if (room.kind === 'e2ee') connection.socket?.unsubscribe(ephemeralTopic(room))
}

/** What an encrypted room relays without storing it goes to those who read fast enough. */
export const ephemeralTopic = (room: { topic: string }) => `${room.topic} ephemeral`

/** Sends to one connection, behind the state that is on its way to it. */
export function sendTo(connection: Connection, frame: Uint8Array) {
  if (connection.state !== 'live') return
  countSyncFrames('out', 1, frame.length)
  if (connection.serving && (connection.socket?.getBufferedAmount() ?? 0) > bufferedAtMost) {
    connection.deferred ??= []
    connection.deferred.push(frame)
  } else connection.socket?.send(frame)
}

function diffFor(room: PlaintextRoom, vector: Uint8Array, worker: DocumentWorker): Promise<Uint8Array | undefined> {
  const key = Buffer.from(vector).toString('latin1')
  const known = room.diffs.get(key)
  if (known) return known
  const diff = worker.diff(room.snapshot as Uint8Array, vector)
  if (room.diffs.size >= cachedDiffs) room.diffs.delete(room.diffs.keys().next().value as string)
  room.diffs.set(key, diff)
  return diff
}
