import { expect, test } from 'bun:test'
import { createSyncTokenForBackend } from '../../apps/server/src/domains/sync/index.ts'
import { signSyncToken } from '../../apps/server/src/domains/sync/sync-token.ts'
import { testInstance } from '../../apps/server/src/testing/server.ts'
import { startUsher, temporaryDirectory } from '../support/usher.ts'
import { named, somebody } from './named.ts'
import { connect, raw, until, upgradeStatus } from './support.ts'

const step1 = Uint8Array.of(0, 0, 1, 0)

test('K2 T-12 no token is in anything that the server writes, wherever it stood and whatever became of it', async () => {
  using data = temporaryDirectory()
  await using usher = await startUsher({ data: data.path, env: { LOG_LEVEL: 'trace' } })
  const { url, secret_key: secretKey } = usher.ready
  const call = async (path: string, body: unknown) => {
    const response = await fetch(`${url}/v1${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${secretKey}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    expect(response.status).toBe(200)
    return response.json() as Promise<{ id: string; token: string; url: string }>
  }
  const { id } = await call('/users', { email_address: ['ada@example.com'], skip_password_requirement: true })
  const base = `${url.replace(/^http/, 'ws')}/sync`
  const tokens: string[] = []
  const grant = async (docId: string) => {
    const { token } = await call('/sync_tokens', { doc_id: docId, user_id: id, access: 'write' })
    tokens.push(token)
    return token
  }
  const bent = async (docId: string) => {
    const token = `${(await grant(docId)).slice(0, -4)}AAAA`
    tokens.push(token)
    return token
  }
  // By query: let in, refused, for another document, over HTTP from the third time on, and at an address that is none.
  using stock = connect(base, 'doc', { params: { token: await grant('doc') } })
  await stock.synced()
  stock.doc.getText('t').insert(0, 'x')
  const wrong = await bent('doc')
  for (let i = 0; i < 2; i++) expect((await raw(`${base}/doc?token=${wrong}`).closed).code).toBe(4001)
  expect(await upgradeStatus(`${base}/doc?token=${wrong}`)).toBe(401)
  expect((await raw(`${base}/other?token=${await grant('doc')}`).closed).code).toBe(4403)
  expect(await upgradeStatus(`${base}/a%20b?token=${await grant('doc')}`)).toBe(400)
  for (const path of ['/sync/doc', '/nothing', '/v1/nothing']) {
    const answer = await fetch(`${url}${path}?token=${await grant('doc')}`)
    expect(answer.status).toBeGreaterThanOrEqual(400)
    if (path === '/sync/doc') expect(answer.headers.get('referrer-policy')).toBe('no-referrer')
    expect(await answer.text()).not.toContain(tokens.at(-1) as string)
  }
  // By subprotocol and by message.
  for (const token of [await grant('doc'), await bent('doc')]) {
    using socket = named(`${base}/doc`, { token })
    await socket.opened
    socket.socket.send(step1)
    await until(() => socket.frames.length > 0, 'answered')
    expect(socket.socket.protocol).toBe('usher.v1')
  }
  for (const token of [await grant('doc'), await bent('doc'), await grant('other')]) {
    using socket = named(`${base}/doc`)
    await socket.opened
    socket.say({ t: 'auth', token })
    await until(() => socket.texts.length > 0 || socket.closing !== undefined, 'answered')
    if (socket.closing) continue
    socket.say({ t: 'auth', token: await bent('doc') })
    await socket.heard('err')
    socket.say({ t: 'auth', token: await grant('doc') })
    await socket.heard('authed')
  }
  expect(await usher.stop()).toBe(0)
  const { stdout, stderr } = usher.output()
  // It did write about them.
  expect(stderr).toContain('a socket was refused')
  expect(tokens.length).toBeGreaterThan(15)
  const written = stdout + stderr
  for (const token of tokens) {
    expect(written).not.toContain(token)
    expect(written).not.toContain(token.split('.')[2] as string)
    expect(written).not.toContain(Buffer.from(token).toString('base64url').slice(0, 200))
  }
  // The database’s own log and files too.
  const signatures = tokens.map((token) => token.split('.')[2]).join('\n')
  const found = Bun.spawnSync(['grep', '-rlaF', '-f', '-', data.path], { stdin: Buffer.from(signatures) })
  expect(found.stdout.toString()).toBe('')
}, 60_000)

test('K2 T-11 a token in the URL opens one connection, or none, where an instance says so', async () => {
  const t = await testInstance()
  const userId = await somebody(t)
  const url = `ws://127.0.0.1:${t.server.port}/sync/doc`
  const headers = { host: t.host }
  const grant = async () => (await createSyncTokenForBackend(t.ctx(), { docId: 'doc', userId, access: 'write' })).token
  const set = (queryTokens: string) =>
    t.server.runtime.instances.changeSettings(t.ctx().instance.id, { sync: { queryTokens } })
  const byQuery = async (token: string) => {
    const socket = raw(`${url}?token=${token}`, { headers })
    // Refused often enough it does not even open.
    if (!(await socket.opened.then(() => true).catch(() => false))) return false
    socket.socket.send(step1)
    await until(() => socket.frames.length > 0, 'answered')
    return socket.frames[0]?.[0] === 0
  }
  const byProtocol = async (token: string) => {
    using socket = named(url, { headers, token })
    await socket.opened
    await until(() => socket.frames.length > 0, 'answered')
    return socket.frames[0]?.[0] === 0
  }
  const often = await grant()
  expect([await byQuery(often), await byQuery(often)]).toEqual([true, true])
  await set('once')
  const once = await grant()
  const ten = await Promise.all(Array.from({ length: 10 }, () => byQuery(once)))
  expect(ten.filter(Boolean).length).toBe(1)
  expect(await byQuery(await grant())).toBe(true)
  expect([await byProtocol(often), await byProtocol(often)]).toEqual([true, true])
  await set('refuse')
  expect(await byQuery(await grant())).toBe(false)
  expect(await byProtocol(await grant())).toBe(true)
}, 60_000)

test('a stock client stays beyond its token where an instance says so, and goes with the right', async () => {
  const t = await testInstance()
  const userId = await somebody(t)
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { sync: { keepStockClients: true } })
  const claims = {
    room: 'doc',
    access: 'write' as const,
    userId,
    grantedBy: 'backend' as const,
    sessionId: undefined,
    organizationId: undefined,
    permissionVersion: 'none',
  }
  const { token } = await signSyncToken(t.ctx().instance, claims, new Date(), 1)
  const socket = raw(`ws://127.0.0.1:${t.server.port}/sync/doc?token=${token}`, { headers: { host: t.host } })
  await socket.opened
  socket.socket.send(step1)
  await Bun.sleep(3500)
  expect(socket.socket.readyState).toBe(WebSocket.OPEN)
  await t.fetch(`/v1/users/${userId}/ban`, { method: 'POST', secretKey: true })
  expect((await socket.closed).code).toBe(4401)
}, 60_000)
