'use client'

import { useAuth } from '@clerk/nextjs'
import { AccessDenied, connect, type SyncConnection } from '@usher/sync'
import { passphraseKeys } from '@usher/sync/crypto'
import { type FormEvent, useEffect, useEffectEvent, useRef, useState } from 'react'
import { bindTextarea } from './bind-textarea'
import { freshToken } from './fresh-token'

type State = SyncConnection['state']

/** A document that Usher keeps and cannot read: the passphrase goes round among people, not over any server. */
export function SecretNote(props: { documentId: string; organizationId: string; canWrite: boolean }) {
  const { documentId, organizationId, canWrite } = props
  const { getToken } = useAuth()
  const [passphrase, setPassphrase] = useState<string | null>(null)
  const [state, setState] = useState<State>({ status: 'offline' })
  const [isWrong, setWrong] = useState(false)
  const area = useRef<HTMLTextAreaElement>(null)

  const fetchGrant = useEffectEvent(async () => {
    const token = await freshToken(getToken, organizationId)
    if (token.refused) throw new AccessDenied(token.refused === 'signed_out' ? 4401 : 4403)
    const response = await fetch('/api/sync-token', {
      method: 'POST',
      headers: { authorization: `Bearer ${token.value}`, 'content-type': 'application/json' },
      body: JSON.stringify({ documentId }),
    })
    if (!response.ok) throw Object.assign(new Error('no token'), { status: response.status })
    return (await response.json()) as { url: string; token: string }
  })

  useEffect(() => {
    if (passphrase === null || !area.current) return
    const document = connect({
      url: '', // each grant says where the server is
      docId: documentId,
      getToken: () => fetchGrant(),
      key: passphraseKeys(passphrase, { room: documentId }),
    })
    const unbind = bindTextarea(document.doc.getText('note'), area.current)
    document.on('state', (now) => {
      setState(now)
      if (now.status !== 'stopped' || now.reason !== 'wrong_key') return
      setWrong(true)
      setPassphrase(null)
    })
    return () => {
      unbind()
      document.destroy()
    }
  }, [passphrase, documentId])

  const open = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setWrong(false)
    setPassphrase(String(new FormData(event.currentTarget).get('passphrase')))
  }
  const isLive = state.status === 'connected' && state.synced

  return (
    <section className="card wide" aria-labelledby="secret-title">
      <header className="card-head">
        <div>
          <h2 id="secret-title">Secret note</h2>
          <p className="quiet">Encrypted in this browser. The server keeps bytes that it cannot read.</p>
        </div>
        {passphrase !== null && (
          <span className="badge" role="status" data-testid="secret-status" data-state={isLive ? 'live' : state.status}>
            {isLive ? 'Live' : state.status === 'stopped' ? 'Closed' : 'Connecting…'}
          </span>
        )}
      </header>
      {isWrong && (
        <p className="alert" role="alert" data-testid="secret-wrong">
          This is not the passphrase of this note.
        </p>
      )}
      {passphrase === null ? (
        <form className="add" onSubmit={open}>
          <input
            name="passphrase"
            type="password"
            autoComplete="off"
            required
            minLength={8}
            data-testid="secret-passphrase"
            aria-label="Passphrase"
            placeholder="The passphrase that your organization agreed on"
          />
          <button className="button" type="submit" data-testid="secret-open">
            Open
          </button>
        </form>
      ) : (
        <textarea
          ref={area}
          className="note"
          data-testid="secret-note"
          aria-labelledby="secret-title"
          readOnly={!canWrite || !isLive}
          spellCheck={false}
        />
      )}
    </section>
  )
}
