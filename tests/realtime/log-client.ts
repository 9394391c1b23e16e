import { type ConnectionState, type ConnectOptions, connect, fixedDocumentKey, type SyncProblem } from '@usher/sync'

/** The key of documents in tests whose key is not what they are about. */
export const secret = new Uint8Array(32).fill(7)

/** Our own client of an encrypted document, with what it said of its state and of problems. */
export function logClient(url: string, docId: string, options: Partial<ConnectOptions> = {}) {
  const connection = connect({
    url,
    docId,
    key: fixedDocumentKey(secret),
    backoff: { minMs: 20, maxMs: 200 },
    ...options,
  })
  const states: ConnectionState[] = []
  const problems: SyncProblem[] = []
  connection.on('state', (state) => states.push(state))
  connection.on('problem', (problem) => problems.push(problem))
  const text = connection.doc.getText('t')
  return Object.assign(connection, { states, problems, text, [Symbol.dispose]: connection.destroy })
}
