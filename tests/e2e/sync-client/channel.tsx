import { connectRealtime } from '@usher/sync'
import { useChannel } from '@usher/sync/react'
import { StrictMode, useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'

/** A page as people write it: what is said in a channel, and who is there. */
type Chat = { 'message.sent': { text: string } }
const parameter = (name: string) => new URLSearchParams(location.search).get(name) ?? ''
const realtime = connectRealtime({
  url: parameter('url'),
  getToken: async () => (await fetch(`/token?who=${parameter('name')}`)).text(),
})

function Conversation() {
  const [said, setSaid] = useState<string[]>([])
  const { state, members, publish, setPresence } = useChannel<Chat>(realtime, parameter('channel'), {
    presence: {},
    onMessage: (message) => {
      if (message.name === 'message.sent') setSaid((before) => [...before, message.data.text])
    },
  })
  useEffect(() => {
    if (state.status === 'joined') setPresence({ name: parameter('name') })
  }, [state.status, setPresence])
  return (
    <main data-status={state.status}>
      <button type="button" onClick={() => publish('message.sent', { text: `${parameter('name')} was here` })}>
        Say
      </button>
      <output id="content">{said.join('; ')}</output>
      <output id="others">{members.length}</output>
    </main>
  )
}

createRoot(document.getElementById('root') as HTMLElement).render(
  <StrictMode>
    <Conversation />
  </StrictMode>,
)
