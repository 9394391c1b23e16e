import { connect, createRoomLink, type DocumentKeys, linkKeys, qrSvg } from '@usher/sync'
import { createPasskey, createVault, readPasskey } from '@usher/sync/vault'
import decodeQR from 'qr/decode.js'

/**
 * A page as people write it: one encrypted document, and the ways to its key. Whoever is signed in is told by the
 * application's server, as is the token for the document.
 */
const query = new URLSearchParams(location.search)
const parameter = (name: string) => query.get(name) ?? ''
const who = parameter('who')
const docId = parameter('doc')

const vault = createVault({
  url: parameter('url'),
  getSessionToken: async () => (await fetch(`/token?who=${who}`)).text(),
  cost: 'pbkdf2',
})

const show = (id: string, text: string) => {
  const element = document.querySelector(`#${id}`)
  if (element) element.textContent = text
}
const password = () => (document.querySelector('#password') as HTMLInputElement).value

let text: ReturnType<ReturnType<typeof connect>['doc']['getText']> | undefined

function openDocument(key: DocumentKeys, url = '', room = docId) {
  const getToken = who === '' ? undefined : async () => (await fetch(`/sync-token?who=${who}&doc=${room}`)).json()
  const connection = connect({ url, docId: room, key, getToken })
  text = connection.doc.getText('t')
  text.observe(() => show('content', text?.toString() ?? ''))
  connection.on('state', (state) =>
    show('status', state.status === 'connected' && state.synced ? 'synced' : state.status),
  )
  connection.on('unsaved', (unsaved) => show('saved', unsaved ? 'no' : 'yes'))
}
const openFromVault = () => openDocument(vault.documentKeys(docId))

/** What a camera sees: the picture on somebody else's screen. */
async function scan(picture: File): Promise<string> {
  const bitmap = await createImageBitmap(picture)
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height)
  const context = canvas.getContext('2d') as OffscreenCanvasRenderingContext2D
  context.drawImage(bitmap, 0, 0)
  return decodeQR(context.getImageData(0, 0, bitmap.width, bitmap.height))
}

const actions: Record<string, () => Promise<void>> = {
  async create() {
    await vault.create({ password: password() })
    openFromVault()
  },
  async 'add-passkey'() {
    const { userId, ways } = await vault.status()
    await vault.addPasskey(await createPasskey({ user: { id: userId, name: who }, appName: 'Notes', ways }))
  },
  async 'unlock-passkey'() {
    await vault.unlock({ passkey: await readPasskey({ ways: (await vault.status()).ways }) })
    openFromVault()
  },
  async write() {
    text?.insert(0, 'written on the laptop')
  },
  async 'share-by-code'() {
    const { text: code } = await createRoomLink(location.origin, { url: parameter('sync'), docId })
    openDocument((await linkKeys(code)).keys, parameter('sync'))
    const place = document.querySelector('#code')
    if (place) place.innerHTML = qrSvg(code)
  },
  async 'ask-to-be-let-in'() {
    const request = await vault.requestApproval()
    const place = document.querySelector('#code')
    if (place) place.innerHTML = request.svg
    request.digits.then((digits) => show('digits', digits))
    request.done.then(openFromVault)
  },
}

for (const [id, action] of Object.entries(actions)) {
  const button = document.createElement('button')
  Object.assign(button, { id, textContent: id })
  button.onclick = () =>
    action().then(
      () => show('done', id),
      (error) => show('failed', `${id}: ${error.name} ${error.code}: ${error.message}`),
    )
  document.body.append(button)
}

const camera = document.querySelector('#camera') as HTMLInputElement
camera.onchange = async () => {
  const [picture] = camera.files ?? []
  if (!picture) return
  try {
    const code = await scan(picture)
    show('scanned', code)
    if (parameter('scans') === 'room') {
      const { keys, payload } = await linkKeys(code)
      openDocument(keys, payload.url, payload.room)
      return
    }
    const approval = await vault.approveDevice(code)
    show('digits', approval.digits)
    ;(document.querySelector('#confirm') as HTMLButtonElement).onclick = () => approval.confirm()
  } catch (error) {
    show('failed', String(error))
  }
}
document.body.dataset.ready = 'yes'
