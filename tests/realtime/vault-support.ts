import { createVault, type VaultOptions } from '@usher/sync/vault'
import { addMember, createOrganization } from '../../apps/server/src/domains/organizations/index.ts'
import { TestBrowser } from '../../apps/server/src/faces/frontend/testing.ts'
import { type TestInstance, testInstance } from '../../apps/server/src/testing/server.ts'
import { withHeaders } from './support.ts'

export type Member = Awaited<ReturnType<typeof member>>

const password = 'correct horse battery'

/** Somebody who is signed in, with as many devices as the test likes. @param origin of the application's pages */
export async function member(t: TestInstance, name: string, origin?: string) {
  const browser = new TestBrowser(t, origin)
  const emailAddress = `${name}-${crypto.randomUUID().slice(0, 8)}@example.com`
  const { userId, sessionId } = await browser.signUp(emailAddress, password)
  /** In another browser: a session of its own. */
  const signInElsewhere = async () => {
    const other = new TestBrowser(t, origin)
    const { body } = await other.post('/client/sign_ins', { identifier: emailAddress, password })
    return sessionOf(t, other, userId, body.response.created_session_id)
  }
  return { ...sessionOf(t, browser, userId, sessionId), signInElsewhere }
}

function sessionOf(t: TestInstance, browser: TestBrowser, userId: string, sessionId: string) {
  const getSessionToken = async (): Promise<string> => {
    const { body } = await browser.post(`/client/sessions/${sessionId}/tokens`)
    return body.jwt
  }
  /** What was said to the server, and what it answered. */
  const wire: string[] = []
  const fetch = (async (input: string, init: RequestInit) => {
    const { pathname, search } = new URL(input)
    const response = await t.fetch(pathname + search, init)
    const text = await response.clone().text()
    wire.push(`${init.method} ${pathname} ${init.body ?? ''}`, text)
    return response
  }) as unknown as typeof globalThis.fetch
  const getToken = async (docId: string) => {
    const response = await fetch(`${t.url}/v1/sync/token`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await getSessionToken()}`, 'content-type': 'application/json' },
      body: JSON.stringify({ doc_id: docId }),
    })
    const { token } = (await response.json()) as { token: string }
    return { url: `ws://127.0.0.1:${t.server.port}/sync`, token }
  }
  // The one that takes no second in JavaScript: what Argon2id computes is shown beside its code.
  const options: VaultOptions = { url: t.url, getSessionToken, fetch, cost: 'pbkdf2' }
  return {
    userId,
    browser,
    wire,
    getSessionToken,
    getToken,
    fetch,
    WebSocket: withHeaders({ host: t.host }),
    /** A device: nothing is known to it but who is signed in. */
    device: (more: Partial<VaultOptions> = {}) => createVault({ ...options, ...more }),
  }
}

/** People of one organization; the first is its administrator. */
export async function team(names: readonly string[], t?: TestInstance) {
  const instance = t ?? (await testInstance())
  const people: Member[] = []
  for (const name of names) people.push(await member(instance, name))
  const [admin, ...others] = people as [Member, ...Member[]]
  const { id: organizationId } = await createOrganization(instance.ctx(), { name: 'Team', createdBy: admin.userId })
  for (const { userId } of others) await addMember(instance.ctx(), { organizationId, userId, role: 'org:member' })
  return { t: instance, people, organizationId, docId: `${organizationId}/plan` }
}
