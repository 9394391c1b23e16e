import { indexedDbStorage, passphraseKeys } from '@usher/sync'
import { useDocument, usePresence } from '@usher/sync/react'
import { StrictMode, useEffect, useMemo, useState } from 'react'
import { createRoot } from 'react-dom/client'

/** A page as people write it: one document, who is in it, and whether all of it is saved. */
const query = new URLSearchParams(location.search)
const parameter = (name: string) => query.get(name) ?? ''
const room = parameter('doc')
const storage = indexedDbStorage()

function Note() {
  const key = useMemo(
    () => (query.has('passphrase') ? passphraseKeys(parameter('passphrase'), { room, cost: 'pbkdf2' }) : undefined),
    [],
  )
  const { doc, awareness, state, unsaved } = useDocument({ url: parameter('url'), docId: room, key, storage })
  const { others, setOwn } = usePresence<{ name: string }>(awareness)
  const [content, setContent] = useState('')
  useEffect(() => setOwn({ name: parameter('name') }), [setOwn])
  useEffect(() => {
    const text = doc?.getText('t')
    const show = () => setContent(text?.toString() ?? '')
    show()
    text?.observe(show)
    return () => text?.unobserve(show)
  }, [doc])
  return (
    <main data-status={state.status} data-synced={state.status === 'connected' && state.synced} data-unsaved={unsaved}>
      <button type="button" onClick={() => doc?.getText('t').insert(content.length, `${parameter('name')} `)}>
        Write
      </button>
      <output id="content">{content}</output>
      <output id="others">
        {others
          .map(({ name }) => name)
          .sort()
          .join(', ')}
      </output>
    </main>
  )
}

createRoot(document.getElementById('root') as HTMLElement).render(
  <StrictMode>
    <Note />
  </StrictMode>,
)
