'use client'

import { type FormEvent, useEffect, useRef, useState } from 'react'
import type { Person } from '@/server/presence'
import type { ChatMessage } from '@/server/router'
import { useEvents } from './live-room'
import type { LiveClient } from './use-live-client'

const words = { connecting: 'Connecting…', live: 'Live', reconnecting: 'Reconnecting…' } as const

export function Chat(props: {
  live: LiveClient
  userId: string
  canWrite: boolean
  people: Person[]
  onTyping: (now: boolean) => void
}) {
  const { live, userId, canWrite, people, onTyping } = props
  const [text, setText] = useState('')
  const [problem, setProblem] = useState<string | null>(null)
  const end = useRef<HTMLLIElement>(null)
  const messages = useEvents<ChatMessage>(live, (trpc, onEvent) => {
    const { unsubscribe } = trpc.chat.messages.subscribe(undefined, {
      onData: (event) => onEvent(event.id, event.data.data),
    })
    return unsubscribe
  })
  // biome-ignore lint/correctness/useExhaustiveDependencies(messages.length): the newest message is looked at
  useEffect(() => {
    end.current?.scrollIntoView({ block: 'nearest' }) // its promise is none of an effect's business
  }, [messages.length])

  const send = async (event: FormEvent) => {
    event.preventDefault()
    const said = text.trim()
    if (!said || !live.trpc) return
    setText('')
    onTyping(false)
    setProblem(null)
    await live.trpc.chat.send.mutate({ text: said, key: crypto.randomUUID() }).catch((error: Error) => {
      setProblem(error.message)
      setText(said)
    })
  }
  const typing = people.filter((person) => person.typing && person.id !== userId)

  return (
    <section className="card chat" aria-labelledby="chat-title">
      <header className="card-head">
        <h2 id="chat-title">Chat</h2>
        <span className="badge" role="status" data-testid="chat-status" data-state={live.state}>
          {words[live.state]}
        </span>
      </header>
      <ol className="messages" data-testid="messages" aria-live="polite">
        {messages.length === 0 && <li className="quiet">Nothing has been said yet.</li>}
        {messages.map(({ id, data }) => (
          <li key={id} data-testid="message" data-own={data.author.id === userId}>
            <span className="quiet">{data.author.name}</span>
            <p>{data.text}</p>
          </li>
        ))}
        <li ref={end} aria-hidden="true" />
      </ol>
      <p className="quiet typing" data-testid="typing">
        {typing.length > 0 && `${typing.map((person) => person.name).join(', ')} …`}
      </p>
      {problem && (
        <p className="alert" role="alert" data-testid="chat-error">
          {problem}
        </p>
      )}
      <form className="add" onSubmit={send}>
        <input
          data-testid="chat-input"
          aria-label="Message"
          placeholder={canWrite ? 'Say something' : 'Your role may read, not write.'}
          value={text}
          disabled={!canWrite}
          onChange={(event) => {
            setText(event.target.value)
            onTyping(event.target.value !== '')
          }}
        />
        <button className="button" type="submit" data-testid="chat-send" disabled={!canWrite || live.state !== 'live'}>
          Send
        </button>
      </form>
    </section>
  )
}
