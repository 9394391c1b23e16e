import { expect, test } from 'bun:test'
import { createSyncTokenForBackend, deleteDocument } from '../../apps/server/src/domains/sync/index.ts'
import { createEgress } from '../../apps/server/src/kernel/egress.ts'
import { testInstance } from '../../apps/server/src/testing/server.ts'
import { channels, chat, signedIn } from './channels-support.ts'
import { startIssuer } from './issuer.ts'
import { somebody } from './named.ts'
import { connect, until } from './support.ts'

test('C-1 a document’s token opens its own channel at /realtime, as the document is open to it, and no other', async () => {
  const t = await testInstance()
  const { organizationId, channel, ada, bob, setRole } = await chat(t)
  const docId = `${organizationId}/plan`
  const sync = { rules: [{ pattern: '*', write: 'org:chat:write' }] }
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { sync })
  const person = await signedIn(t, bob.id)
  const token = async (doc = docId) => (await person.browser.post('/sync/token', { doc_id: doc })).body.token as string
  using bobs = channels(t, await token())
  const ch = `doc:${docId}`
  expect(await bobs.ask({ t: 'sub', ch, presence: true })).toMatchObject({
    t: 'subbed',
    can: ['pub', 'history', 'presence'],
  })
  for (const other of [channel, `user:${bob.id}:notifications`, `doc:${organizationId}/other`, `doc:${bob.id}/note`])
    expect([other, await bobs.ask({ t: 'sub', ch: other })]).toEqual([
      other,
      expect.objectContaining({ code: 'forbidden' }),
    ])

  // One that the application's server granted for reading hears, and says nothing.
  const granted = { docId, userId: ada.id, access: 'read' as const }
  using adas = channels(t, (await createSyncTokenForBackend(t.ctx(), granted)).token)
  expect(await adas.ask({ t: 'sub', ch })).toMatchObject({ t: 'subbed', can: ['history', 'presence'] })
  expect(await adas.ask({ t: 'pub', ch, name: 'n', data: 1 })).toMatchObject({ code: 'forbidden' })
  expect(await bobs.ask({ t: 'pub', ch, name: 'n', data: 'to the document' })).toMatchObject({ t: 'ack' })
  expect(await adas.heard('msg')).toMatchObject({ ch, data: 'to the document', from: { user: bob.id } })

  // A renewal is for the same document; another's and a session's change nothing.
  bobs.say({ t: 'auth', token: await token(`${organizationId}/other`) })
  expect((await bobs.heard('err')).code).toBe('forbidden')
  bobs.say({ t: 'auth', token: await person.token() })
  expect((await bobs.heard('err')).code).toBe('forbidden')
  bobs.say({ t: 'auth', token: await token() })
  await bobs.heard('authed')

  using edits = connect(`ws://127.0.0.1:${t.server.port}/sync`, docId, {
    params: { token: await token() },
    headers: { host: t.host },
  })
  await edits.synced()
  edits.doc.getText('t').insert(0, 'x')

  // Rights are those of the moment: a demoted writer, a member who was removed, a document that is gone.
  const start = performance.now()
  await setRole(bob.id, 'org:member')
  expect(await bobs.heard('role')).toMatchObject({ ch, can: ['history', 'presence'] })
  expect(performance.now() - start).toBeLessThan(1500)
  // Written by now: what was never written cannot be deleted.
  for (;;)
    if (
      await deleteDocument(t.ctx(), docId).then(
        () => true,
        () => Bun.sleep(20),
      )
    )
      break
  await until(() => bobs.closing?.code === 4404 && adas.closing?.code === 4404, 'closed')
  using late = channels(t, (await createSyncTokenForBackend(t.ctx(), granted)).token)
  expect((await late.closed).code).toBe(4404)
}, 60_000)

test('T-11 K2 a document’s token in the query opens as many channels’ sockets as documents', async () => {
  const t = await testInstance()
  const userId = await somebody(t)
  const open = async (token: string) => {
    const socket = new WebSocket(`ws://127.0.0.1:${t.server.port}/realtime?token=${token}`, {
      headers: { host: t.host },
      protocols: ['usher.v1'],
    } as never)
    const end = await new Promise<string>((resolve) => {
      socket.onclose = ({ code }) => resolve(String(code))
      socket.onopen = () => socket.send('{"t":"ping"}')
      socket.onmessage = () => resolve('open')
    })
    socket.close()
    return end
  }
  const mint = async () => (await createSyncTokenForBackend(t.ctx(), { docId: 'notes', userId, access: 'read' })).token
  const set = (queryTokens: string) =>
    t.server.runtime.instances.changeSettings(t.ctx().instance.id, { sync: { queryTokens } })
  const free = await mint()
  expect([await open(free), await open(free)]).toEqual(['open', 'open'])
  await set('once')
  const once = await mint()
  expect([await open(once), await open(once)]).toEqual(['open', '4001'])
  await set('refuse')
  expect(await open(await mint())).toBe('4001')
})

test('T-20 T-25 people of another issuer are in the channels of the documents that the settings give them', async () => {
  using issuer = await startIssuer()
  const t = await testInstance()
  const rules = [
    { pattern: 'team/{organization}/*', read: 'docs:read', write: 'docs:write' },
    { pattern: 'people/{subject}/*' },
  ]
  const set = (change: object) =>
    t.server.runtime.instances.changeSettings(t.ctx().instance.id, {
      sync: {
        issuers: [
          {
            name: 'kinde',
            issuer: issuer.url,
            audience: issuer.audience,
            claims: { organization: 'org' },
            rules,
            ...change,
          },
        ],
      },
    })
  t.server.runtime.egress = createEgress({ allow: [issuer.host] })
  await set({})
  const token = (change: object = {}) => issuer.sign({ sub: 'ada', org: 'acme', permissions: ['docs:read'], ...change })
  using ada = channels(t, await token())
  const sub = (ch: string) => ada.ask({ t: 'sub', ch })
  expect(await sub('doc:team/acme/plan')).toMatchObject({ t: 'subbed', can: ['history', 'presence'] })
  expect(await sub('doc:people/ada/note')).toMatchObject({ t: 'subbed', can: ['pub', 'history', 'presence'] })
  for (const ch of [
    'doc:team/other/plan',
    'doc:people/bob/note',
    'org:acme:chat:1',
    'user:ada:notifications',
    'kept:1',
  ])
    expect([ch, await sub(ch)]).toEqual([ch, expect.objectContaining({ code: 'forbidden' })])
  using bob = channels(t, await token({ sub: 'bob', permissions: ['docs:read', 'docs:write'] }))
  await bob.ask({ t: 'sub', ch: 'doc:team/acme/plan' })
  expect(await bob.ask({ t: 'pub', ch: 'doc:team/acme/plan', name: 'n', data: 1 })).toMatchObject({ t: 'ack' })
  expect(await ada.heard('msg')).toMatchObject({ from: { user: 'kinde:bob' } })
  // A renewal with other permissions counts at once; somebody else's changes nothing.
  ada.say({ t: 'auth', token: await token({ sub: 'bob' }) })
  expect((await ada.heard('err')).code).toBe('forbidden')
  ada.say({ t: 'auth', token: await token({ permissions: ['docs:read', 'docs:write'] }) })
  await ada.heard('authed')
  expect(await ada.heard('role')).toMatchObject({ ch: 'doc:team/acme/plan', can: ['pub', 'history', 'presence'] })
  using wrong = channels(t, await token({ aud: 'another' }))
  expect((await wrong.closed).code).toBe(4001)
  await set({ rules: [] })
  expect((await ada.closed).code).toBe(4001)
  expect((await bob.closed).code).toBe(4001)
}, 60_000)
