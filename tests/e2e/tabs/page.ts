import { connect } from '@usher/sync'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'

/** A tab of an application: with the stock client as it is, which also talks to other tabs, or with ours. */
const query = new URLSearchParams(location.search)
const parameter = (name: string) => query.get(name) ?? ''
const [url, room, name] = [parameter('url'), parameter('doc'), parameter('name')]

function start() {
  if (parameter('client') === 'ours') {
    const connection = connect({ url, docId: room })
    return { doc: connection.doc, awareness: connection.awareness, isSaved: () => !connection.unsaved }
  }
  const doc = new Y.Doc()
  const provider = new WebsocketProvider(url, room, doc)
  return { doc, awareness: provider.awareness, isSaved: () => provider.synced }
}

const { doc, awareness, isSaved } = start()
const text = doc.getText('t')
const log = doc.getArray<string>('log')
let written = 0
awareness.setLocalStateField('name', name)

const tab = {
  /** Words at places of the text that chance gives, each under a name of its own in a list. */
  write: async (count: number) => {
    for (let i = 0; i < count; i++) {
      doc.transact(() => {
        text.insert(Math.floor(Math.random() * (text.length + 1)), `${name}${written};`)
        if (written % 3 === 2) text.delete(Math.floor(Math.random() * text.length), 1)
        log.push([`${name}-${written}`])
      })
      written++
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 8))
    }
  },
  /** As a cursor that moves. */
  move: () => awareness.setLocalStateField('moved', Math.random()),
  state: () => ({
    text: text.toString(),
    log: log.toArray(),
    isSaved: isSaved(),
    names: [...awareness.getStates().values()].map((state) => (state as { name?: string }).name ?? '').sort(),
  }),
}
export type Tab = typeof tab
Object.assign(window, { tab })
document.body.dataset.ready = ''
