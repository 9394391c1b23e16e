/** What channels of this node may use, beside what every socket may (`SyncLimits` of the sync domain). */
export const channelLimits = {
  /** Channels of one socket. */
  channelsPerConnection: 128,
  /** Channels of a socket of the application's own server. */
  channelsPerBackend: 10_000,
  /** Bytes of a message's data, as JSON. */
  dataBytes: 64 * 1024,
  /** Levels of arrays and objects in it. */
  dataDepth: 32,
  presenceBytes: 4 * 1024,
  presenceKeys: 32,
  /** Members of one channel that are told of. */
  presenceMembers: 5000,
  /** Changes of presence of one connection. */
  presencePerSecond: 20,
  presenceBurst: 40,
  /** Who goes without a word may be back so soon that nobody has to know. */
  presenceGraceMs: 5000,
  /** Changes of presence are told together, so often at most. */
  presenceTickMs: 100,
  /** Frames that wait until it is known what their sender may do. */
  waitingFrames: 100,
  /** Messages of one connection that wait for their acknowledgement, before reading from it pauses. */
  unacknowledged: 200,
  unacknowledgedBytes: 256 * 1024,
  /** Messages of a channel that stay in memory, and for how long. */
  ringMessages: 500,
  ringBytes: 1024 * 1024,
  ringMs: 5 * 60_000,
  /** Memory of all channels together; the one that was quiet longest is forgotten first. */
  nodeRingBytes: 128 * 1024 * 1024,
  /** Messages that are known again by their key, of one channel and of all of this node. */
  keys: 10_000,
  nodeKeys: 200_000,
  /** Messages read from the database at a time, and bytes of their data. */
  page: 500,
  pageBytes: 1024 * 1024,
  /** Bytes that a socket has not taken yet, beyond which it gets no more of a history. */
  bufferedBytes: 256 * 1024,
  /** A socket that holds more than that for longer is closed. */
  laggingMs: 30_000,
  /** How long a message is tried to be stored. */
  storeForMs: 10_000,
  historyLimit: 100,
  /** Pages of histories that are read for one socket at the same time. */
  historiesAtOnce: 4,
} as const
