/**
 * The pre-release of the next major version of y-websocket, with the Yjs 14 and lib0 1 that it brings. In a package of
 * its own, because everything else here has one pinned version of lib0.
 */
import { WebsocketProvider } from '@y/websocket'
import * as Y from '@y/y'

/** A provider and the one text of its document. */
export function connect(
  url: string,
  docId: string,
  params: Record<string, string>,
  WebSocketPolyfill: typeof WebSocket,
) {
  const doc = new Y.Doc()
  const text = doc.get('t')
  const client = new WebsocketProvider(url, docId, doc, { params, disableBc: true, WebSocketPolyfill })
  return {
    client,
    text: () => text.toString(),
    type: (characters: string) => text.insert(text.length, characters),
  }
}
