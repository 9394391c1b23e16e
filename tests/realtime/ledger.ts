import { connect, until, Y } from './support.ts'

/**
 * A stock client whose updates are marked, and a ledger of the marks that came back: the echo is the acknowledgement, so
 * whatever came back must be there for ever.
 */
export function writer(url: string, docId: string, name: string) {
  const doc = new Y.Doc()
  const acknowledged = new Set<string>()
  const connection = connect(url, docId, { doc })
  const mark = new RegExp(`${name}-\\d+;`, 'g')
  let sent = 0
  const watch = () => {
    const socket = connection.client.ws as (WebSocket & { watched?: boolean }) | null
    if (!socket || socket.watched) return
    socket.watched = true
    const receive = socket.onmessage
    socket.onmessage = (event) => {
      const frame = new Uint8Array(event.data as ArrayBuffer)
      // 0 2: an update. A difference or a snapshot that holds what we wrote acknowledges nothing.
      if (frame[0] === 0 && frame[1] === 2 && frame.length < 200)
        for (const [found] of Buffer.from(frame).toString('latin1').matchAll(mark)) acknowledged.add(found)
      receive?.call(socket, event)
    }
  }
  return {
    ...connection,
    acknowledged,
    sent: () => sent,
    write: () => {
      watch()
      doc.getArray<string>('log').push([`${name}-${sent++};`])
    },
  }
}
export type Writer = ReturnType<typeof writer>

export const logOf = (doc: Y.Doc) => new Set(doc.getArray<string>('log').toArray())

/** What whoever comes now finds in the document. */
export async function stored(url: string, docId: string): Promise<Set<string>> {
  using reader = connect(url, docId)
  await reader.synced()
  return logOf(reader.doc)
}

/** The marks that were acknowledged and that are not there for whoever comes now. */
export async function missing(url: string, docId: string, marks: Iterable<string>): Promise<string[]> {
  const there = await stored(url, docId)
  return [...marks].filter((mark) => !there.has(mark))
}

/** Writes until so many more are acknowledged. */
export async function writeAcknowledged(one: Writer, more: number): Promise<void> {
  const wanted = one.acknowledged.size + more
  for (let i = 0; i < more; i++) one.write()
  await until(() => one.acknowledged.size >= wanted, `acknowledged ${more} more`, 20_000)
}
