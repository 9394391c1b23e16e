'use client'

import { useAuth, useSession, useUser } from '@clerk/nextjs'
import { useRouter } from 'next/navigation'
import { createContext, type ReactNode, useContext, useEffect, useEffectEvent, useMemo, useRef, useState } from 'react'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import { Ended } from './ended'
import { getGrant } from './get-grant'
import { type Person, peopleIn } from './people'
import { type Grant, Refused, tokenWebSocket } from './token-web-socket'

export type Access = Grant['access']

export type Connection =
  | { state: 'connecting' | 'live' | 'reconnecting' }
  | { state: 'ended'; why: 'signed_out' | 'no_access' | 'refused' }

type Live = {
  connection: Connection
  /** What the newest token allows; until there is one, what the server rendered. */
  access: Access
  people: Person[]
  /** The shared note; null until the first connection is being made. */
  note: Y.Text | null
  /** Tells everybody in the room that the tasks in the database changed. */
  announceTasksChanged: () => void
}

const LiveContext = createContext<Live | null>(null)

export function useLive(): Live {
  const live = useContext(LiveContext)
  if (!live) throw new Error('useLive needs a <LiveRoom> around it')
  return live
}

/**
 * One connection to a tenant's document, for everything on the page: the note is its text, who is here its awareness.
 * "The tasks changed" travels as awareness too. It is a hint and nothing more: the tasks themselves are read from the
 * database again, with the reader's own rights, and after every reconnect.
 */
export function LiveRoom(props: {
  documentId: string
  organizationId: string | null
  /** What the server rendered this page with. */
  access: Access
  children: ReactNode
}) {
  const { documentId, organizationId } = props
  const { getToken, orgRole } = useAuth()
  const { session } = useSession()
  const { user } = useUser()
  const router = useRouter()
  const provider = useRef<WebsocketProvider | null>(null)
  const [connection, setConnection] = useState<Connection>({ state: 'connecting' })
  const [granted, setGranted] = useState<Access | null>(null)
  const [people, setPeople] = useState<Person[]>([])
  const [note, setNote] = useState<Y.Text | null>(null)
  const [round, setRound] = useState(0)

  const fetchGrant = useEffectEvent(() => getGrant(getToken, { documentId, organizationId }))
  const refresh = useEffectEvent(() => router.refresh())
  const introduce = useEffectEvent(() => {
    if (!user) return
    const name = user.fullName || user.primaryEmailAddress?.emailAddress || 'Somebody'
    provider.current?.awareness.setLocalStateField('user', { id: user.id, name })
  })

  // Right after signing in the page is there before the SDK has the session: without one there is nothing to ask with.
  const isReady = Boolean(session)
  // biome-ignore lint/correctness/useExhaustiveDependencies(round): a new round starts over with an empty document
  useEffect(() => {
    if (!isReady) return
    const doc = new Y.Doc()
    let access: Access | null = null
    let mayAskAgain = true
    let mounted = true

    const connect = async () => {
      const grant = await fetchGrant().catch((error: unknown) => {
        // After 4403, and only then, every failure means no: the SDK may call a refusal "offline" where it cannot tell.
        throw mayAskAgain ? error : new Refused(4403, 'You have no access any more.')
      })
      if (!mounted) return grant
      if (access === 'write' && grant.access === 'read') {
        // What was typed but never stored must not linger on a screen that can no longer write it.
        setRound((n) => n + 1)
        throw new Error('Starting over with an empty document.')
      }
      access = grant.access
      setGranted(access)
      return grant
    }

    const room = new WebsocketProvider('ws://by-token', documentId, doc, {
      WebSocketPolyfill: tokenWebSocket(documentId, connect),
      // Tabs of one browser would exchange content past the server, whoever is signed in there.
      disableBc: true,
      // 4403 ends *this* connection's right. A role may have been exchanged for another: ask once more, then believe it.
      shouldReconnect: ({ code }) => {
        const askAgain = code === 4403 && mayAskAgain
        if (askAgain) mayAskAgain = false
        return askAgain || !(code >= 4400 && code < 4500)
      },
    })
    provider.current = room
    setNote(doc.getText('note'))

    room.on('sync', (synced) => {
      if (!synced) return
      mayAskAgain = true
      setConnection({ state: 'live' })
      // The server said goodbye for the connection before, one tick ahead of our own clock. Without these two steps past
      // it, the others would not see us, nor what we announce, until the next renewal (15 s).
      for (let step = 0; step < 2; step++) room.awareness.setLocalState(room.awareness.getLocalState())
      refresh() // for what happened while nobody told us
    })
    room.on('connection-close', (event) => {
      if (!room.synced) return
      setConnection({ state: 'reconnecting' })
      // Said to a connection that worked, 4001 means "come back with a new token": no reason to wait.
      if (event?.code === 4001 || event?.code === 4403) queueMicrotask(() => room.shouldConnect && room.connect())
    })
    room.on('status', ({ status }) => {
      if (status !== 'connecting') return
      // Nobody else is here while we are not connected, but their clocks are remembered, and what the server says of
      // them would be taken for old until their next renewal (15 s).
      const { awareness } = room
      for (const id of awareness.meta.keys()) if (!awareness.states.has(id)) awareness.meta.delete(id)
    })
    room.on('closed', ({ code }) => {
      const why = code === 4401 ? 'signed_out' : code === 4403 ? 'no_access' : 'refused'
      setConnection({ state: 'ended', why })
    })

    const seen = new Map<number, unknown>()
    room.awareness.on('change', ({ added, updated }: { added: number[]; updated: number[] }) => {
      const states = room.awareness.getStates()
      setPeople(peopleIn(states))
      const others = [...added, ...updated].filter((id) => id !== doc.clientID)
      const changed = others.filter((id) => states.get(id)?.tasks !== seen.get(id))
      for (const id of changed) seen.set(id, states.get(id)?.tasks)
      if (changed.length > 0) refresh()
    })
    introduce()

    return () => {
      mounted = false
      provider.current = null
      room.destroy()
      doc.destroy()
    }
  }, [documentId, isReady, round])

  // biome-ignore lint/correctness/useExhaustiveDependencies(user): awareness shows the name as it is now
  useEffect(() => introduce(), [user])

  // The server rendered other rights than before, or the SDK learned of another role: the old token is out of date.
  const rights = `${props.access} ${orgRole}`
  const knownRights = useRef(rights)
  const renew = useEffectEvent(() => {
    if (connection.state === 'ended') return // what was said last stays until it is read
    refresh()
    if (!granted || props.access === granted) return
    provider.current?.disconnect()
    provider.current?.connect()
  })
  useEffect(() => {
    if (knownRights.current === rights) return
    knownRights.current = rights
    renew()
  }, [rights])

  // Another access than the server rendered comes from another role: the server and the SDK have to look again.
  const lookAgain = useEffectEvent(() => {
    if (!granted || granted === props.access) return
    refresh()
    session?.reload().catch(() => {}) // the role that the SDK shows; the next answer of the server brings it anyway
  })
  // biome-ignore lint/correctness/useExhaustiveDependencies(granted): the event it reacts to
  useEffect(() => lookAgain(), [granted])

  const live = useMemo<Live>(
    () => ({
      connection,
      access: granted ?? props.access,
      people,
      note,
      announceTasksChanged: () => provider.current?.awareness.setLocalStateField('tasks', crypto.randomUUID()),
    }),
    [connection, granted, props.access, people, note],
  )

  const ended = connection.state === 'ended' && connection.why !== 'refused'
  return <LiveContext value={live}>{ended ? <Ended why={connection.why} /> : props.children}</LiveContext>
}
