'use client'

import { useAuth, useSession } from '@clerk/nextjs'
import { useEffect, useEffectEvent, useRef, useState } from 'react'
import type { Person } from '@/server/presence'

/** Who is in the organization now, over a socket that a ticket opens. @param organizationId null: not any more */
export function usePresence(organizationId: string | null) {
  const { getToken } = useAuth()
  const { session } = useSession()
  const [people, setPeople] = useState<Person[]>([])
  const [state, setState] = useState<'connecting' | 'live' | 'reconnecting'>('connecting')
  const socket = useRef<WebSocket | null>(null)
  const typing = useRef(false)
  const refreshCookie = useEffectEvent(() => getToken({ skipCache: true }))
  const isReady = Boolean(session) && organizationId !== null

  useEffect(() => {
    if (!isReady) return
    let stopped = false
    let attempt = 0
    let timer: ReturnType<typeof setTimeout> | undefined

    const connect = async () => {
      const ticket = await fetchTicket(refreshCookie).catch(() => undefined)
      if (stopped) return
      if (!ticket) return retry()
      const own = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/api/presence?ticket=${ticket}`)
      socket.current = own
      own.onmessage = ({ data }) => {
        attempt = 0
        setState('live')
        setPeople((JSON.parse(String(data)) as { people: Person[] }).people)
      }
      own.onclose = ({ code }) => {
        setPeople([])
        setState('reconnecting')
        if (!(code >= 4400 && code < 4500)) retry()
      }
    }
    const retry = () => {
      if (!stopped) timer = setTimeout(connect, Math.min(10_000, 250 * 2 ** attempt++) * (0.5 + Math.random()))
    }
    void connect()
    return () => {
      stopped = true
      clearTimeout(timer)
      socket.current?.close()
    }
  }, [isReady])

  const setTyping = (now: boolean) => {
    if (typing.current === now || socket.current?.readyState !== WebSocket.OPEN) return
    typing.current = now
    socket.current.send(JSON.stringify({ typing: now }))
  }
  return { people, state, setTyping }
}

/** The cookie lives a minute; where it has just ended, the SDK renews it and the second attempt has it. */
async function fetchTicket(refreshCookie: () => Promise<unknown>): Promise<string> {
  const ask = () =>
    fetch('/api/ticket', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' })
  let response = await ask()
  if (response.status === 401) {
    await refreshCookie()
    response = await ask()
  }
  if (!response.ok) throw new Error(`no ticket: ${response.status}`)
  return ((await response.json()) as { ticket: string }).ticket
}
