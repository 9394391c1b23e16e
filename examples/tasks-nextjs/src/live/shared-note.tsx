'use client'

import { useEffect, useRef } from 'react'
import { bindTextarea } from './bind-textarea'
import { useLive } from './live-room'
import { LiveStatus } from './live-status'

export function SharedNote({ title, hint }: { title: string; hint: string }) {
  const { access, connection, note } = useLive()
  const area = useRef<HTMLTextAreaElement>(null)
  // Read only as well until the first token has come: nobody types what nobody may store.
  const readOnly = access === 'read' || connection.state === 'connecting' || connection.state === 'ended'

  useEffect(() => {
    if (note && area.current) return bindTextarea(note, area.current)
  }, [note])

  return (
    <section className="card" aria-labelledby="note-title">
      <header className="card-head">
        <div>
          <h2 id="note-title">{title}</h2>
          <p className="quiet">{hint}</p>
        </div>
        <LiveStatus />
      </header>
      {connection.state === 'ended' && (
        <p className="alert" role="alert">
          The server closed this note for good. Reload the page to try again.
        </p>
      )}
      <textarea
        ref={area}
        className="note"
        data-testid="note"
        data-access={access}
        aria-labelledby="note-title"
        placeholder={
          access === 'read' ? 'Nothing written yet.' : 'Write something. Everybody here sees it as you type.'
        }
        readOnly={readOnly}
        spellCheck={false}
      />
    </section>
  )
}
