import { defaultKeymap } from '@codemirror/commands'
import { EditorState } from '@codemirror/state'
import { EditorView, keymap } from '@codemirror/view'
import { AccessDenied, encryptedWebSocket, linkKeys, passphraseKeys, tokenWebSocket } from '@usher/sync'
import { yCollab, yUndoManagerKeymap } from 'y-codemirror.next'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'

/** A page with an editor. What it connects to, and how, stands in its address. */
const query = new URLSearchParams(location.search)
const parameter = (name: string) => query.get(name) ?? ''

async function getToken(docId: string): Promise<{ url: string; token: string }> {
  const response = await fetch(`/token?${new URLSearchParams({ doc: docId, user: parameter('user') })}`)
  if (response.status === 403) throw new AccessDenied(4403)
  if (!response.ok) throw new Error(`no token: ${response.status}`)
  return (await response.json()) as { url: string; token: string }
}

/** What is encrypted is so by a passphrase, or by the secret in the part of the address that no server sees. */
async function getKey(room: string) {
  if (location.hash) return (await linkKeys(location.hash)).keys
  return passphraseKeys(parameter('passphrase'), { room, cost: 'pbkdf2' })
}
const isEncrypted = query.has('passphrase') || location.hash !== ''

const gradations = {
  open: isEncrypted ? { WebSocketPolyfill: encryptedWebSocket({ getKey }) } : {},
  static: {
    params: { token: parameter('token') },
    ...(isEncrypted && { WebSocketPolyfill: encryptedWebSocket({ getKey }) }),
  },
  'get-token': {
    WebSocketPolyfill: isEncrypted ? encryptedWebSocket({ getToken, getKey }) : tokenWebSocket({ getToken }),
  },
}

const doc = new Y.Doc()
const provider = new WebsocketProvider(parameter('url'), parameter('doc'), doc, {
  ...gradations[parameter('gradation') as keyof typeof gradations],
  disableBc: true,
})
provider.awareness.setLocalStateField('user', { name: parameter('name'), color: '#30bced' })
const text = doc.getText('editor')
const view = new EditorView({
  state: EditorState.create({
    doc: text.toString(),
    extensions: [
      keymap.of([...yUndoManagerKeymap, ...defaultKeymap]),
      EditorView.lineWrapping,
      yCollab(text, provider.awareness),
    ],
  }),
  parent: document.body,
})
const show = (name: string, value: string) => document.body.setAttribute(`data-${name}`, value)
provider.on('sync', (synced: boolean) => show('synced', String(synced)))
provider.on('closed', ({ code }) => show('closed', String(code)))
Object.assign(window, { provider, view })
