import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import type { Awareness } from 'y-protocols/awareness'
import type * as Y from 'yjs'
import type { Channel, ChannelEvents, ChannelMember, ChannelMessage, ChannelOptions, ChannelState } from './channels.ts'
import { type ConnectOptions, connect, type SyncConnection } from './connect.ts'
import type { ConnectionState } from './connection-state.ts'
import type { RealtimeConnection } from './realtime.ts'

export type UsedDocument = {
  /** Undefined before the first effect, and on a server. */
  connection: SyncConnection | undefined
  doc: Y.Doc | undefined
  awareness: Awareness | undefined
  state: ConnectionState
  /** Something made here is not durable yet. */
  unsaved: boolean
}

const offline: ConnectionState = { status: 'offline' }

/**
 * A document for as long as a component is there. It is opened anew when `url`, `docId` or `key` change; `getToken` may be
 * another function every time.
 */
export function useDocument(options: ConnectOptions): UsedDocument {
  const latest = useRef(options)
  latest.current = options
  const { url, docId, key, token } = options
  const hasGetToken = options.getToken !== undefined
  const [connection, setConnection] = useState<SyncConnection>()
  // biome-ignore lint/correctness/useExhaustiveDependencies: what the other options were when it was opened
  useEffect(() => {
    const { getToken: _, ...rest } = latest.current
    const getToken = (id: string) => {
      const ask = latest.current.getToken
      if (!ask) throw new Error('getToken is gone')
      return ask(id)
    }
    const opened = connect(hasGetToken ? { ...rest, getToken } : rest)
    setConnection(opened)
    return () => {
      setConnection(undefined)
      opened.destroy()
    }
  }, [url, docId, key, token, hasGetToken])

  const subscribe = useCallback(
    (listener: () => void) => {
      const ends = [connection?.on('state', listener), connection?.on('unsaved', listener)]
      return () => {
        for (const end of ends) end?.()
      }
    },
    [connection],
  )
  const state = useSyncExternalStore(
    subscribe,
    () => connection?.state ?? offline,
    () => offline,
  )
  const unsaved = useSyncExternalStore(
    subscribe,
    () => connection?.unsaved ?? false,
    () => false,
  )
  return { connection, doc: connection?.doc, awareness: connection?.awareness, state, unsaved }
}

export type UsedPresence<State> = {
  /** Everybody else who shows something, by the id of their client. */
  others: (State & { clientId: number })[]
  own: State | undefined
  /** What the others see from now on; `undefined`: nothing. */
  setOwn: (state: State | undefined) => void
}

type Seen<State> = { awareness: Awareness | undefined; text: string; states: [number, State][] }

/** Who is in a document, and what they do there: cursors, names, selections. */
export function usePresence<State extends Record<string, unknown>>(
  awareness: Awareness | undefined,
): UsedPresence<State> {
  const cache = useRef<Seen<State>>({ awareness: undefined, text: '', states: [] })
  const subscribe = useCallback(
    (listener: () => void) => {
      awareness?.on('change', listener)
      return () => awareness?.off('change', listener)
    },
    [awareness],
  )
  // The same value as long as nothing changed: React compares by identity.
  const read = useCallback(() => {
    const states = [...(awareness?.getStates() ?? [])] as [number, State][]
    const text = JSON.stringify(states)
    if (cache.current.awareness !== awareness || cache.current.text !== text)
      cache.current = { awareness, text, states }
    return cache.current
  }, [awareness])
  const snapshot = useSyncExternalStore(subscribe, read, read)
  const setOwn = useCallback((state: State | undefined) => awareness?.setLocalState(state ?? null), [awareness])
  return useMemo(() => {
    const own = snapshot.states.find(([id]) => id === awareness?.clientID)?.[1]
    const others = snapshot.states
      .filter(([id, state]) => id !== awareness?.clientID && Object.keys(state).length > 0)
      .map(([clientId, state]) => ({ ...state, clientId }))
    return { own, others, setOwn }
  }, [snapshot, awareness, setOwn])
}

export type UsedChannel<Events extends ChannelEvents> = {
  state: ChannelState
  members: ChannelMember[]
  publish: Channel<Events>['publish']
  setPresence: Channel<Events>['setPresence']
  history: Channel<Events>['history']
}

const joining: ChannelState = { status: 'joining' }
const nobody: ChannelMember[] = []

/**
 * A channel for as long as a component is there; one component a channel and connection.
 *
 * @param onMessage called for each message, in their order; may be another function every time
 * @param onGap messages were missed that the server no longer has
 */
export function useChannel<Events extends ChannelEvents = ChannelEvents>(
  realtime: RealtimeConnection | undefined,
  name: string,
  options: ChannelOptions & { onMessage?: (message: ChannelMessage<Events>) => void; onGap?: () => void } = {},
): UsedChannel<Events> {
  const latest = useRef(options)
  latest.current = options
  const [channel, setChannel] = useState<Channel<Events>>()
  useEffect(() => {
    if (!realtime) return
    const { presence, since } = latest.current
    const opened = realtime.channel<Events>(name, { presence, since })
    opened.on('message', (message) => latest.current.onMessage?.(message))
    opened.on('gap', () => latest.current.onGap?.())
    setChannel(opened)
    return () => {
      setChannel(undefined)
      opened.leave()
    }
  }, [realtime, name])
  const subscribe = useCallback(
    (listener: () => void) => {
      const ends = [channel?.on('state', listener), channel?.on('members', listener)]
      return () => {
        for (const end of ends) end?.()
      }
    },
    [channel],
  )
  const state = useSyncExternalStore(
    subscribe,
    () => channel?.state ?? joining,
    () => joining,
  )
  const members = useSyncExternalStore(
    subscribe,
    () => channel?.members ?? nobody,
    () => nobody,
  )
  // They stay the same as long as the channel does, so that effects may depend on them.
  const calls = useMemo(() => {
    const gone = () => Promise.reject(new Error('the channel is not open yet'))
    return {
      publish: (...args: Parameters<Channel<Events>['publish']>) => channel?.publish(...args) ?? gone(),
      setPresence: (data: Parameters<Channel<Events>['setPresence']>[0]) => channel?.setPresence(data),
      history: (...args: Parameters<Channel<Events>['history']>) => channel?.history(...args) ?? gone(),
    } as Pick<UsedChannel<Events>, 'publish' | 'setPresence' | 'history'>
  }, [channel])
  return useMemo(() => ({ state, members, ...calls }), [state, members, calls])
}
