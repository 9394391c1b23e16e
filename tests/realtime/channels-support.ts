import { createPermission, createRole } from '../../apps/server/src/domains/access/index.ts'
import { changeMemberRole } from '../../apps/server/src/domains/organizations/index.ts'
import { frontiers } from '../../apps/server/src/domains/organizations/testing.ts'
import { TestBrowser } from '../../apps/server/src/faces/frontend/testing.ts'
import type { TestInstance } from '../../apps/server/src/testing/server.ts'
import { named, type Text } from './named.ts'

/** A person with a session, and sockets of channels with it. */
export async function signedIn(t: TestInstance, userId: string) {
  const made = await t.fetch('/v1/sign_in_tokens', {
    method: 'POST',
    secretKey: true,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ user_id: userId, expires_in_seconds: 60 }),
  })
  const { token: ticket } = (await made.json()) as { token: string }
  const browser = new TestBrowser(t)
  const { body } = await browser.post('/client/sign_ins', { strategy: 'ticket', ticket })
  const sessionId = body.response.created_session_id as string
  const token = async () => (await browser.post(`/client/sessions/${sessionId}/tokens`)).body.jwt as string
  return { userId, browser, sessionId, token, connect: async () => channels(t, await token()) }
}

/** A socket at `/realtime`. */
export function channels(t: TestInstance, token?: string, headers: Record<string, string> = {}) {
  const socket = named(`ws://127.0.0.1:${t.server.port}/realtime`, {
    headers: { host: t.host, ...headers },
    ...(token !== undefined && { token }),
  })
  let ids = 0
  return Object.assign(socket, {
    /** Says something and waits for the answer to it. */
    ask: async (frame: Text, ms = 10_000): Promise<Text> => {
      await socket.opened
      const id = ++ids
      socket.say({ ...frame, id })
      const deadline = performance.now() + ms
      while (performance.now() < deadline) {
        const at = socket.texts.findIndex((text) => text.id === id)
        if (at >= 0) return socket.texts.splice(at, 1)[0] as Text
        if (socket.closing) throw new Error(`closed: ${JSON.stringify(socket.closing)}`)
        await Bun.sleep(2)
      }
      throw new Error(`no answer to ${JSON.stringify(frame)} within ${ms} ms: ${JSON.stringify(socket.texts)}`)
    },
  })
}

/** An organization with two members, of whom Bob may write in its chats, and a stranger. */
export async function chat(t: TestInstance) {
  const ctx = t.ctx()
  const { organization, ada, bob, eve } = await frontiers(t)
  const { id } = await createPermission(ctx, { key: 'org:chat:write', name: 'Write' })
  await createRole(ctx, { key: 'org:writer', name: 'Writer', permissionIds: [id] })
  const setRole = (userId: string, role: string) =>
    changeMemberRole(ctx, { organizationId: organization.id, userId, role })
  await setRole(bob.id, 'org:writer')
  return { organizationId: organization.id, channel: `org:${organization.id}:chat:42`, ada, bob, eve, setRole }
}
