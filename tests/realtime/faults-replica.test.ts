import { describe, expect, test } from 'bun:test'
import { connect as connectClient, fixedDocumentKey } from '@usher/sync'
import { postgresBin } from '../support/postgres.ts'
import { follow, serverBehindProxy } from './behind-proxy.ts'
import { logOf, missing, stored, type Writer, writeAcknowledged, writer } from './ledger.ts'
import { connect, stateOf, until } from './support.ts'

const held = await serverBehindProxy()

const secret = fixedDocumentKey(new Uint8Array(32).fill(9))
function member(docId: string) {
  const connection = connectClient({
    url: held.server.wsUrl,
    docId,
    key: secret,
    backoff: { minMs: 20, maxMs: 200 },
  })
  return Object.assign(connection, { text: connection.doc.getText('t'), [Symbol.dispose]: connection.destroy })
}
const plain = (docId: string) => {
  const connection = connectClient({ url: held.server.wsUrl, docId, backoff: { minMs: 20, maxMs: 200 } })
  return Object.assign(connection, { text: connection.doc.getText('t'), [Symbol.dispose]: connection.destroy })
}

async function expectSame(docId: string, writers: Writer[]) {
  const everything = writers.reduce((sum, one) => sum + one.sent(), 0)
  using reader = connect(held.server.wsUrl, docId)
  await until(() => logOf(reader.doc).size === everything, 'all stored', 20_000)
  await until(() => writers.every((one) => stateOf(one.doc) === stateOf(reader.doc)), 'the same for all')
}

describe.skipIf(!postgresBin)('a replica that is promoted without the last commits', () => {
  test('R-19 the server puts back what it holds, and clients send the rest: nothing acknowledged is lost', async () => {
    const replica = await follow(held)
    const ada = writer(held.server.wsUrl, 'stays', 'ada')
    const gone = writer(held.server.wsUrl, 'left', 'gone')
    const fold = writer(held.server.wsUrl, 'folded', 'fold')
    using usher = plain('usher')
    using carol = member('sealed')
    using dave = member('sealed')
    await Promise.all([ada, gone, fold].map((one) => one.synced()))
    for (const one of [ada, gone, fold]) await writeAcknowledged(one, 5)
    usher.text.insert(0, 'before ')
    carol.text.insert(0, 'before ')
    await Promise.all([usher.whenSaved(), carol.whenSaved()])
    await replica.holdBack()
    for (const one of [ada, gone, fold]) await writeAcknowledged(one, 5)
    // A document that the replica has never heard of.
    const born = writer(held.server.wsUrl, 'born-late', 'born')
    await born.synced()
    await writeAcknowledged(born, 5)
    // A compaction that is lost with the tail.
    fold.doc.getText('t').insert(0, 'a long line '.repeat(25_000))
    await replica.untilFolded('folded')
    usher.text.insert(0, 'after ')
    carol.text.insert(0, 'after ')
    await Promise.all([usher.whenSaved(), carol.whenSaved()])
    // They do not come back.
    for (const one of [gone, fold]) one[Symbol.dispose]()
    // The first attempt to put something back fails with its connection: a database that changes comes and goes.
    const cut = held.proxy.at({ statement: /insert into sync_room_segments/, when: 'before' }, () => 'cut')
    await replica.promote()
    await cut
    for (const one of [ada, born]) await until(() => one.client.synced, 'back', 20_000)
    for (const one of [ada, born]) one.write()
    await expectSame('stays', [ada])
    await expectSame('born-late', [born])
    carol.text.insert(0, 'then ')
    usher.text.insert(0, 'then ')
    await Promise.all([usher.whenSaved(), carol.whenSaved()])
    await until(() => dave.text.toString() === 'then after before ', 'received', 10_000)
    expect([ada, born].flatMap(({ closes }) => closes.map(({ code }) => code)).filter((c) => c === 4404)).toEqual([])
    for (const one of [ada, born]) one[Symbol.dispose]()
    // Whatever is in memory now is not what counts.
    await held.server.stop()
    held.server = await held.start()
    for (const one of [ada, gone, born, fold])
      expect(await missing(held.server.wsUrl, one.client.roomname, one.acknowledged)).toEqual([])
    using folded = connect(held.server.wsUrl, 'folded')
    await folded.synced()
    expect(folded.doc.getText('t').length).toBe(25_000 * 12)
    using late = member('sealed')
    using latePlain = plain('usher')
    await Promise.all([late.whenSynced(), latePlain.whenSynced()])
    expect(late.text.toString()).toBe('then after before ')
    expect(latePlain.text.toString()).toBe('then after before ')
  }, 90_000)

  test('R-19 a server that died as well gets it back from the clients, and an encrypted one asks its person', async () => {
    const replica = await follow(held)
    const ada = writer(held.server.wsUrl, 'both', 'ada')
    using usher = plain('both-usher')
    using carol = member('both-sealed')
    await ada.synced()
    await writeAcknowledged(ada, 5)
    usher.text.insert(0, 'before ')
    carol.text.insert(0, 'before ')
    await Promise.all([usher.whenSaved(), carol.whenSaved()])
    await replica.holdBack()
    await writeAcknowledged(ada, 5)
    usher.text.insert(0, 'after ')
    carol.text.insert(0, 'after ')
    await Promise.all([usher.whenSaved(), carol.whenSaved()])
    held.server.process.kill('SIGKILL')
    await held.server.process.exited
    await replica.promote()
    held.server = await held.start()
    await until(() => ada.client.synced, 'back', 20_000)
    ada.write()
    await expectSame('both', [ada])
    ada[Symbol.dispose]()
    expect(await missing(held.server.wsUrl, 'both', ada.acknowledged)).toEqual([])
    await usher.whenSynced()
    await until(() => carol.state.status === 'stopped', 'told', 20_000)
    expect(carol.state).toMatchObject({ reason: 'history_changed' })
    expect(carol.text.toString()).toBe('after before ')
    carol.acceptHistory()
    await until(() => carol.state.status === 'connected' && carol.state.synced, 'back')
    await carol.whenSaved()
    using late = member('both-sealed')
    using latePlain = plain('both-usher')
    await Promise.all([late.whenSynced(), latePlain.whenSynced()])
    expect(late.text.toString()).toBe('after before ')
    expect(latePlain.text.toString()).toBe('after before ')
    expect((await stored(held.server.wsUrl, 'both')).size).toBe(ada.sent())
  }, 90_000)
})
