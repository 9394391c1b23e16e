/** Bytes of one update, as a keystroke or two with their bookkeeping. */
export const updateBytes = 64

/** Stands in every sixteenth update and nowhere else in what a server sends. */
export const marker = Buffer.from('<~marker~>')
export const markerEvery = 16

/** SyncStep1 with an empty state vector: "send me everything". */
export const emptyStep1 = Uint8Array.from([0, 0, 1, 0])

/**
 * Updates of one writer who types one piece of text after the other into the root `t`: each is a valid Yjs update (V1)
 * of one item behind the one before it, so that a server that keeps a document does its ordinary work.
 */
export function* typingUpdates(client: number, count: number): Generator<Uint8Array> {
  let clock = 0
  for (let i = 0; i < count; i++) {
    const ends = (i + 1) % markerEvery === 0
    const parent = clock === 0 ? [4, 1, 1, 't'.charCodeAt(0)] : [0x84, ...varUint(client), ...varUint(clock - 1)]
    // One client, one item, its id, where it belongs; behind the content an empty delete set.
    const head = [1, 1, ...varUint(client), ...varUint(clock), ...parent]
    const length = updateBytes - head.length - 2
    const text = Buffer.alloc(length, 'x')
    if (ends) marker.copy(text)
    yield Uint8Array.from([...head, ...varUint(length), ...text, 0])
    clock += length
  }
}

/** The y-websocket message that carries an update. */
export const updateMessage = (update: Uint8Array): Uint8Array =>
  Uint8Array.from([0, 2, ...varUint(update.length), ...update])

export function varString(text: string): number[] {
  const bytes = Buffer.from(text)
  return [...varUint(bytes.length), ...bytes]
}

export function varUint(value: number): number[] {
  const out: number[] = []
  let rest = value
  while (rest > 127) {
    out.push(128 | (rest & 127))
    rest = Math.floor(rest / 128)
  }
  return [...out, rest]
}
