import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import { type Grant, tokenSocket } from './token-socket.ts'

export type Workspace = {
  owner: string
  setPermissions: (permissions: string) => void
  close: () => void
}

type Options = {
  /** `org_…` or `user_…`: its documents are `<owner>/tasks` and `<owner>/note`. */
  owner: string
  /** What the membership allows; a change asks for new tokens. */
  permissions: string
  /** Shown to others. */
  name: string
  getGrant: (docId: string) => Promise<Grant>
  onEnded: (reason: string) => void
}

const byId = <T extends HTMLElement>(id: string) => document.querySelector(`[data-testid=${id}]`) as T

/** Opens the two documents of a workspace and keeps the page and them the same. */
export function openWorkspace({ owner, permissions, name, getGrant, onEnded }: Options): Workspace {
  const rooms = [openRoom('tasks'), openRoom('note')]
  const [tasksRoom, noteRoom] = rooms as [Room, Room]
  const stops = [
    bindTasks(tasksRoom.doc.getArray('tasks'), () => tasksRoom.writable),
    bindNote(noteRoom.doc.getText('note')),
  ]
  noteRoom.provider.awareness.on('change', showPresence)
  noteRoom.provider.awareness.setLocalStateField('user', { name })
  let known = permissions
  let closed = false
  showState()

  type Room = { doc: Y.Doc; provider: WebsocketProvider; writable: boolean }

  function openRoom(part: string): Room {
    const doc = new Y.Doc()
    const docId = `${owner}/${part}`
    const room: Room = { doc, provider: undefined as never, writable: false }
    const socket = tokenSocket(async () => {
      const grant = await getGrant(docId)
      room.writable = grant.access === 'write'
      return grant
    })
    room.provider = new WebsocketProvider('ws://unused', docId, doc, { WebSocketPolyfill: socket, disableBc: true })
    room.provider.on('status', showState)
    room.provider.on('sync', showState)
    room.provider.on(
      'closed' as never,
      ((event: { code: number; reason?: string }) => {
        if (!closed)
          onEnded(event.code === 4401 ? 'Your session has ended.' : 'You no longer have access to this workspace.')
      }) as never,
    )
    return room
  }

  function showState() {
    if (closed) return
    const connected = rooms.every((r) => r.provider.wsconnected && r.provider.synced)
    const writable = connected && rooms.every((r) => r.writable)
    byId('connection').textContent = connected ? 'Connected' : 'Connecting…'
    byId('connection').dataset.state = connected ? 'connected' : 'connecting'
    byId('read-only').hidden = !connected || writable
    byId<HTMLTextAreaElement>('note').disabled = !writable
    byId<HTMLInputElement>('task-input').disabled = !writable
    byId<HTMLButtonElement>('task-add').disabled = !writable
    for (const control of document.querySelectorAll<HTMLInputElement>(
      '[data-testid=tasks] input, [data-testid=tasks] button',
    ))
      control.disabled = !writable
  }

  function showPresence() {
    const names = [...noteRoom.provider.awareness.getStates().values()].map((s) => s.user?.name).filter(Boolean)
    byId('presence').textContent = [...new Set(names)].join(', ')
  }

  function reconnect() {
    for (const { provider } of rooms) {
      provider.disconnect()
      provider.connect()
    }
  }

  return {
    owner,
    setPermissions: (now) => {
      if (now === known) return
      known = now
      reconnect()
    },
    close: () => {
      closed = true
      for (const stop of stops) stop()
      for (const { provider, doc } of rooms) {
        provider.destroy()
        doc.destroy()
      }
    },
  }
}

/** Tasks are maps in an array; whoever changes one changes it for all. */
function bindTasks(tasks: Y.Array<Y.Map<unknown>>, mayWrite: () => boolean): () => void {
  const list = byId('tasks')
  const form = document.querySelector('#new-task') as HTMLFormElement
  const draw = () => {
    list.replaceChildren(
      ...tasks.map((task, index) => {
        const item = document.createElement('li')
        item.className = 'row'
        item.dataset.testid = 'task'
        const done = Object.assign(document.createElement('input'), {
          type: 'checkbox',
          checked: task.get('done') === true,
          disabled: !mayWrite(),
        })
        const title = String(task.get('title') ?? '')
        done.setAttribute('aria-label', `Done: ${title}`)
        done.onchange = () => task.set('done', done.checked)
        const label = Object.assign(document.createElement('span'), { textContent: title })
        label.style.flex = '1'
        const remove = Object.assign(document.createElement('button'), { textContent: 'Delete', disabled: !mayWrite() })
        remove.setAttribute('aria-label', `Delete: ${title}`)
        remove.onclick = () => tasks.delete(index)
        item.append(done, label, remove)
        return item
      }),
    )
  }
  const add = (event: SubmitEvent) => {
    event.preventDefault()
    const input = byId<HTMLInputElement>('task-input')
    const title = input.value.trim()
    if (!title || !mayWrite()) return
    const task = new Y.Map<unknown>()
    task.set('title', title)
    task.set('done', false)
    tasks.push([task])
    input.value = ''
  }
  tasks.observeDeep(draw)
  form.addEventListener('submit', add)
  draw()
  return () => {
    tasks.unobserveDeep(draw)
    form.removeEventListener('submit', add)
    list.replaceChildren()
  }
}

/** Keeps a textarea and a text the same; the caret stays in its place when others type. */
function bindNote(text: Y.Text): () => void {
  const area = byId<HTMLTextAreaElement>('note')
  const origin = { area }
  const show = (event: Y.YTextEvent, transaction: Y.Transaction) => {
    if (transaction.origin === origin) return
    const [start, end] = [area.selectionStart, area.selectionEnd].map((index) => shift(index, event.delta))
    area.value = text.toString()
    if (document.activeElement === area) area.setSelectionRange(start ?? 0, end ?? 0)
  }
  const take = () => {
    const [before, after] = [text.toString(), area.value]
    let head = 0
    while (head < before.length && head < after.length && before[head] === after[head]) head++
    let tail = 0
    const most = Math.min(before.length, after.length) - head
    while (tail < most && before.at(-1 - tail) === after.at(-1 - tail)) tail++
    text.doc?.transact(() => {
      text.delete(head, before.length - head - tail)
      text.insert(head, after.slice(head, after.length - tail))
    }, origin)
  }
  area.value = text.toString()
  text.observe(show)
  area.addEventListener('input', take)
  return () => {
    text.unobserve(show)
    area.removeEventListener('input', take)
    area.value = ''
  }
}

function shift(index: number, delta: Y.YTextEvent['delta']): number {
  let at = 0
  let moved = index
  for (const step of delta) {
    if (step.retain !== undefined) at += step.retain
    else if (step.delete !== undefined) moved -= Math.max(0, Math.min(step.delete, moved - at))
    else if (typeof step.insert === 'string') {
      if (at < moved) moved += step.insert.length
      at += step.insert.length
    }
  }
  return moved
}
