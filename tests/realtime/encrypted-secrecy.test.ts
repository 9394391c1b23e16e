import { expect, test } from 'bun:test'
import { connect, fixedDocumentKey } from '@usher/sync'
import { envelopeKind } from '@usher/sync/crypto'
import { SQL } from 'bun'
import { createSyncTokenForBackend, SyncEngine } from '../../apps/server/src/domains/sync/index.ts'
import { type TestInstance, testInstance } from '../../apps/server/src/testing/server.ts'
import { snapshotGetFrame } from '../../packages/sync/src/encrypted-frames.ts'
import { documentKey, member, upload } from './encrypted-support.ts'
import { somebody } from './named.ts'
import { until, withHeaders } from './support.ts'

const bytes = (text: string) => new Uint8Array(Buffer.from(text))
const urlOf = (t: TestInstance) => `${t.url.replace('http', 'ws')}/sync`

async function tokenFor(t: TestInstance, docId: string, access: 'read' | 'write' = 'write') {
  const userId = await somebody(t)
  const { token } = await createSyncTokenForBackend(t.ctx({ type: 'backend' }), { docId, userId, access })
  return { userId, token }
}

/** The role that owns the tables: it is shown the rows of every instance. */
function connectOwner({ server }: TestInstance): SQL {
  const { databaseUrl, dataDir } = server.runtime.config
  const path = `${dataDir}/run/.s.PGSQL.5432`
  return databaseUrl
    ? new SQL({ url: databaseUrl, max: 1 })
    : new SQL({ adapter: 'postgres', path, username: 'usher', database: 'postgres', max: 1 })
}

/** A row as text, with its binary values as they are. */
function unescaped(row: string): Buffer {
  const binary = [...row.matchAll(/\\x([0-9a-f]+)/g)].map(([, hex]) => Buffer.from(hex as string, 'hex'))
  return Buffer.concat([Buffer.from(row), ...binary])
}

test('E-1 E-7 neither what the server hears nor what lies in its database tells anything of a document', async () => {
  const t = await testInstance()
  const seen: Uint8Array[] = []
  const { receive } = SyncEngine.prototype
  SyncEngine.prototype.receive = function (connection, frame) {
    if (connection.principal.instanceId === t.ctx().instance.id) seen.push(new Uint8Array(Buffer.from(frame)))
    return receive.call(this, connection, frame)
  }
  try {
    const docId = 'notes/quarter'
    const secrets = [
      'Wolfgang resigns on Friday',
      'Cursor of Wolfgang',
      'Everything so far, folded',
      'titel-des-dokuments',
      'Said beside the document',
      'Mood of Wolfgang',
    ]
    const [line, cursor, folded, title, said, mood] = secrets as [string, string, string, string, string, string]
    const document = async () => {
      const connection = connect({
        url: urlOf(t),
        docId,
        key: fixedDocumentKey(documentKey),
        getToken: async () => (await tokenFor(t, docId)).token,
        WebSocket: withHeaders({ host: t.host }) as never,
      })
      await connection.whenSynced()
      return Object.assign(connection, { [Symbol.dispose]: connection.destroy })
    }
    using ada = await document()
    using bob = await document()
    ada.doc.getText('t').insert(0, line)
    ada.doc.getMap('meta').set('title', title)
    ada.awareness.setLocalStateField('user', { name: cursor })
    await until(() => bob.doc.getText('t').toString() === line && bob.doc.getMap('meta').get('title') === title, 'read')
    const heardByBob: unknown[] = []
    bob.channel({ presence: {} }).on('message', ({ data }) => heardByBob.push(data))
    await until(() => bob.channel().state.status === 'joined', 'joined')
    await ada.channel({ presence: { mood } }).publish('chat', { said })
    await until(() => heardByBob.length > 0 && bob.channel().members.some((one) => one.data.mood === mood), 'heard')
    expect(heardByBob).toEqual([{ said }])
    const { token } = await tokenFor(t, docId)
    using carol = member(urlOf(t), docId, { token, headers: { host: t.host } })
    const { head } = await carol.welcome()
    await carol.reached(head)
    const chunks = [await carol.sender.seal(envelopeKind.snapshot, bytes(folded))]
    expect(await upload(carol, docId, { chunks })).toMatchObject({ type: 'snapshot-live' })
    const owner = connectOwner(t)
    const tables = await owner`
      select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')`
    const dump: Buffer[] = []
    for (const { name } of tables) {
      for (const { row } of await owner.unsafe(`select t::text as row from "${name}" t`)) dump.push(unescaped(row))
    }
    await owner.close()
    const heard = Buffer.concat(seen)
    const stored = Buffer.concat(dump)
    expect(seen.length).toBeGreaterThan(5)
    expect(stored.includes('notes/quarter')).toBe(true)
    // Each in every encoding that a document could carry it in.
    for (const secret of secrets)
      for (const part of [secret, secret.slice(0, 12)])
        for (const form of [
          Buffer.from(part),
          Buffer.from(part, 'utf16le'),
          Buffer.from(Buffer.from(part).toString('base64').slice(0, 14)),
        ])
          expect([heard.includes(form), stored.includes(form)]).toEqual([false, false])
    expect(heard.includes(Buffer.from(documentKey))).toBe(false)
    expect(stored.includes(Buffer.from(documentKey))).toBe(false)
  } finally {
    SyncEngine.prototype.receive = receive
  }
})

test('R-15 K3 a reader gets the document and changes nothing of it: no envelope, no parameters, no snapshot, no verdict', async () => {
  const t = await testInstance()
  const docId = 'shared/plan'
  const headers = { host: t.host }
  using ada = member(urlOf(t), docId, { ...(await tokenFor(t, docId)), headers })
  await ada.welcome()
  await ada.write('first')
  await ada.reached(1)
  await upload(ada, docId)
  const { token, userId } = await tokenFor(t, docId, 'read')
  using reader = member(urlOf(t), docId, { token, headers, makesSnapshots: true })
  expect(await reader.welcome()).toMatchObject({ access: 'read', from: 1 })
  await reader.write('mine')
  expect(await reader.next('nack')).toMatchObject({ code: 403 })
  reader.send(Uint8Array.from([8, 1, 2, 3]))
  expect(await reader.next('nack')).toMatchObject({ cseq: 0, code: 403 })
  for (const op of [4, 5]) {
    reader.send(Uint8Array.from([4, op, 1]))
    expect(await reader.next('snapshot-refused')).toMatchObject({ code: 403 })
  }
  reader.send(snapshotGetFrame(1))
  await reader.next('snapshot-chunk')
  await until(
    () => ada.all('roster').some(({ entries }) => entries.some((e) => e.principal === userId)),
    'in the roster',
  )
  await ada.write('second')
  await reader.reached(2)
  expect(ada.head).toBe(2)
})

test('K12 the same id in another instance is another document, and a token of one is none in the other', async () => {
  const [one, two] = [await testInstance(), await testInstance()]
  const docId = 'same/id'
  const [mine, theirs] = [await tokenFor(one, docId), await tokenFor(two, docId)]
  using ada = member(urlOf(one), docId, { token: mine.token, headers: { host: one.host } })
  using eve = member(urlOf(two), docId, { token: theirs.token, headers: { host: two.host } })
  await Promise.all([ada.welcome(), eve.welcome()])
  await ada.write('not for eve')
  await ada.reached(1)
  await eve.write('not for ada')
  await eve.reached(1)
  expect([await ada.read(), await eve.read()]).toEqual([['not for eve'], ['not for ada']])
  expect(
    [ada.all('roster'), eve.all('roster')].flat().flatMap(({ entries }) => entries.map((e) => e.principal)),
  ).not.toContain(undefined)
  expect(eve.all('roster').flatMap(({ entries }) => entries.map((e) => e.principal))).not.toContain(mine.userId)
  using wrong = member(urlOf(one), docId, { token: theirs.token, headers: { host: one.host } })
  expect((await wrong.isClosed).code).toBe(4001)
  expect(wrong.log.size).toBe(0)
})
