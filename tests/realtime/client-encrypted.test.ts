import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  AccessDenied,
  type Awareness,
  type ConnectOptions,
  type DocumentKeys,
  type DocumentStorage,
  encryptedWebSocket,
  fixedDocumentKey,
  indexedDbStorage,
  type OpenStorage,
  passphraseKeys,
} from '@usher/sync'
import 'fake-indexeddb/auto'
import { WebsocketProvider } from 'y-websocket'
import { logClient, secret } from './log-client.ts'
import { startLogServer } from './log-server.ts'
import { until, Y } from './support.ts'

/** The client against a server that a test makes lie. What it does with the real one stands in client-rooms.test.ts. */
let server: ReturnType<typeof startLogServer>
beforeAll(() => {
  server = startLogServer()
})
afterAll(() => server.stop())

let rooms = 0
const newRoom = () => `encrypted-${rooms++}`
const client = (docId: string, options?: Partial<ConnectOptions>) => logClient(server.url, docId, options)

const holds = (haystack: Uint8Array, text: string) => Buffer.from(haystack).includes(text)

/** Writes some edits, each an envelope of its own. */
async function write(connection: ReturnType<typeof client>, ...words: string[]) {
  for (const word of words) {
    connection.text.insert(connection.text.length, word)
    await connection.whenSaved()
  }
}

describe('an encrypted document', () => {
  test('is the same for all who have the key, and nothing of it for the server', async () => {
    const room = newRoom()
    using ada = client(room)
    using bob = client(room)
    await Promise.all([ada.whenSynced(), bob.whenSynced()])
    ada.awareness.setLocalStateField('user', { name: 'Ada Lovelace' })
    ada.text.insert(0, 'plain secret')
    await until(() => bob.text.toString() === 'plain secret', 'received')
    expect(ada.unsaved).toBe(false)
    await until(() => [...bob.awareness.getStates().values()].some(({ user }) => user?.name === 'Ada Lovelace'), 'seen')
    using late = client(room)
    await late.whenSynced()
    expect(late.text.toString()).toBe('plain secret')
    await until(
      () => [...late.awareness.getStates().values()].some(({ user }) => user?.name === 'Ada Lovelace'),
      'seen',
    )
    for (const envelope of server.room(room).envelopes) expect(holds(envelope, 'secret')).toBe(false)
  })

  test('a passphrase is enough, and a wrong one is told', async () => {
    const room = newRoom()
    const cost = 'pbkdf2' as const
    using ada = client(room, { key: passphraseKeys('correct horse', { room, cost }) })
    await ada.whenSynced()
    await write(ada, 'hidden')
    using bob = client(room, { key: passphraseKeys('correct horse', { room, cost }) })
    await bob.whenSynced()
    expect(bob.text.toString()).toBe('hidden')
    using eve = client(room, { key: passphraseKeys('wrong horse', { room, cost }) })
    await until(() => eve.state.status === 'stopped', 'stopped')
    expect(eve.state).toMatchObject({ reason: 'wrong_key' })
    expect(eve.text.toString()).toBe('')
  }, 60_000)

  test('E-8 what was not acknowledged is sent again as it was, and once', async () => {
    const room = newRoom()
    using ada = client(room)
    using bob = client(room)
    await Promise.all([ada.whenSynced(), bob.whenSynced()])
    await write(ada, 'a')
    server.room(room).mute = true
    ada.text.insert(1, 'b')
    await Bun.sleep(60)
    ada.text.insert(2, 'c')
    await Bun.sleep(60)
    expect(ada.unsaved).toBe(true)
    server.cut(room)
    server.room(room).mute = false
    await ada.whenSaved()
    await until(() => bob.text.toString() === 'abc', 'received')
    expect(server.room(room).envelopes.length).toBe(3)
    // The acknowledgement is lost, and with it what the client knows: the log tells it.
    const { states } = ada
    states.length = 0
    server.cut(room)
    await until(() => states.some((state) => state.status === 'connected' && state.synced), 'back')
    expect(server.room(room).envelopes.length).toBe(3)
  })

  test('goes on where it was, without what it has', async () => {
    const room = newRoom()
    const storage = indexedDbStorage({ database: room })
    {
      using ada = client(room, { storage })
      await ada.whenSynced()
      await write(ada, 'one ', 'two ')
      ada.disconnect()
      ada.text.insert(8, 'offline ')
      await Bun.sleep(700)
      expect(ada.unsaved).toBe(true)
    }
    await Bun.sleep(50)
    const raw = await dump(room)
    expect(raw.length).toBeGreaterThan(3)
    for (const bytes of raw) {
      expect(holds(bytes, 'one')).toBe(false)
      expect(holds(bytes, 'offline')).toBe(false)
    }
    using bob = client(room)
    await bob.whenSynced()
    await write(bob, 'bob ')
    using ada = client(room, { storage, autoConnect: false })
    await ada.restored
    expect(ada.text.toString()).toBe('one two offline ')
    expect(ada.unsaved).toBe(true)
    ada.connect()
    await Promise.all([ada.whenSynced(), ada.whenSaved()])
    await until(() => bob.text.toString() === ada.text.toString(), 'the same')
    expect([...ada.text.toString()].sort().join('')).toBe([...'one two offline bob '].sort().join(''))
    expect(ada.problems).toEqual([])
    expect(server.room(room).envelopes.length).toBe(4)
  })

  test('an epoch without its key waits, and goes on when the key comes', async () => {
    const room = newRoom()
    const held = new Map([[0, secret]])
    const keys: DocumentKeys = {
      current: async () =>
        [...held].map(([epoch, key]) => ({ epoch, key })).at(-1) as { epoch: number; key: Uint8Array },
      get: async (epoch) => held.get(epoch),
      refresh: async () => {},
    }
    using ada = client(room, { key: keys })
    await ada.whenSynced()
    await write(ada, 'old ')
    using bob = client(room, { key: { ...keys, ...fixedDocumentKey(secret) } })
    await bob.whenSynced()
    held.set(1, new Uint8Array(32).fill(9))
    server.setEpoch(room, 1)
    await write(ada, 'new ')
    await until(() => bob.state.status === 'waiting-for-key', 'waiting')
    expect(bob.state).toEqual({ status: 'waiting-for-key', access: 'write', epoch: 1 })
    expect(bob.text.toString()).toBe('old ')
    bob.text.insert(0, 'kept ')
    using carol = client(room, { key: keys })
    await carol.whenSynced()
    expect(carol.text.toString()).toBe('old new ')
    expect(bob.unsaved).toBe(true)
  })

  test('what was sealed under the epoch before is sealed anew, once, however long it takes to find its key', async () => {
    const room = newRoom()
    let asked = 0
    const held = new Map([[0, secret]])
    const keys: DocumentKeys = {
      current: async () =>
        [...held].map(([epoch, key]) => ({ epoch, key })).at(-1) as { epoch: number; key: Uint8Array },
      get: async (epoch) => {
        asked++
        await Bun.sleep(60 * asked)
        return held.get(epoch)
      },
    }
    using ada = client(room, { key: keys })
    await ada.whenSynced()
    ada.disconnect()
    ada.text.insert(0, 'sealed offline')
    await Bun.sleep(600)
    held.set(1, new Uint8Array(32).fill(9))
    server.room(room).epoch = 1
    ada.connect()
    await ada.whenSaved()
    // Longer than a second sealing of it would take.
    await Bun.sleep(250)
    expect(server.room(room).envelopes.map((envelope) => envelope[7])).toEqual([1])
    using bob = client(room, { key: keys })
    await bob.whenSynced()
    expect(bob.text.toString()).toBe('sealed offline')
  })

  test('E-8 what has to be sealed anew survives the end of a tab: without the new key, and refused for a moment', async () => {
    const held = new Map([[0, secret]])
    const keys: DocumentKeys = {
      current: async () =>
        [...held].map(([epoch, key]) => ({ epoch, key })).at(-1) as { epoch: number; key: Uint8Array },
      get: async (epoch) => held.get(epoch),
    }
    const storage = indexedDbStorage({ database: newRoom() })
    const refuse = {
      409: (room: string) => server.setEpoch(room, 1),
      503: (room: string) => {
        server.room(room).nack = { code: 503, times: 1, retryAfterMs: 60_000 }
      },
    }
    for (const [code, refuses] of Object.entries(refuse)) {
      const room = newRoom()
      held.delete(1)
      let isKilled = false
      /** A tab that is killed writes nothing any more. */
      const ofTab: OpenStorage = async (name) =>
        new Proxy(await storage(name), {
          get: (place, method: keyof DocumentStorage) => (isKilled ? () => new Promise(() => {}) : place[method]),
        })
      const ada = client(room, { key: keys, storage: ofTab })
      await ada.whenSynced()
      await write(ada, 'first ')
      server.room(room).nacked = 0
      refuses(room)
      ada.text.insert(ada.text.length, `refused with ${code}`)
      if (code === '503') await until(() => server.room(room).nacked > 0, 'refused')
      await Bun.sleep(100)
      // Before there is a key to seal it with, or time for another try.
      isKilled = true
      ada.destroy()
      held.set(1, new Uint8Array(32).fill(9))
      using again = client(room, { key: keys, storage })
      await again.restored
      expect(again.text.toString()).toBe(`first refused with ${code}`)
      await Promise.all([again.whenSynced(), again.whenSaved()])
      using bob = client(room, { key: keys })
      await bob.whenSynced()
      expect(bob.text.toString()).toBe(`first refused with ${code}`)
      // Nothing of it is left to be sent another time.
      const place = await storage(`${server.url}/${room}`)
      const endsAt = Date.now() + 10_000
      while ((await place.load()).outbox.length > 0 && Date.now() < endsAt) await Bun.sleep(10)
      expect((await place.load()).outbox).toEqual([])
    }
  })

  test('what the server cannot take now comes later; what it never takes is told', async () => {
    const room = newRoom()
    using ada = client(room)
    await ada.whenSynced()
    server.room(room).nack = { code: 503, times: 2 }
    await write(ada, 'later')
    using bob = client(room)
    await bob.whenSynced()
    expect(bob.text.toString()).toBe('later')
    server.room(room).nack = { code: 422, times: 1 }
    ada.text.insert(0, 'never')
    await until(() => ada.problems.length > 0, 'told')
    expect(ada.problems[0]).toMatchObject({ code: 'refused' })
    server.room(room).nack = { code: 403, times: 1 }
    ada.text.insert(0, 'kept here')
    await until(() => ada.state.status === 'connected' && ada.state.access === 'read', 'told')
    expect(ada.unsaved).toBe(true)
  })
})

describe('the unmodified y-websocket on encryptedWebSocket', () => {
  const stock = (docId: string, options: Partial<Parameters<typeof encryptedWebSocket>[0]> = {}) => {
    const doc = new Y.Doc()
    const WebSocketPolyfill = encryptedWebSocket({ getKey: () => fixedDocumentKey(secret), ...options })
    const provider = new WebsocketProvider(server.url, docId, doc, { disableBc: true, WebSocketPolyfill })
    const text = doc.getText('t')
    return {
      doc,
      provider,
      text,
      synced: () => until(() => provider.synced, 'synced'),
      [Symbol.dispose]: () => provider.destroy(),
    }
  }
  const names = ({ awareness }: { awareness: Awareness }) =>
    [...awareness.getStates().values()]
      .flatMap(({ user }) => (user ? [user.name as string] : []))
      .sort()
      .join()

  test('edits together with our own client, and the server sees nothing', async () => {
    const room = newRoom()
    using ada = stock(room)
    using bob = client(room)
    await Promise.all([ada.synced(), bob.whenSynced()])
    ada.text.insert(0, 'hidden')
    ada.provider.awareness.setLocalStateField('user', { name: 'Ada' })
    bob.awareness.setLocalStateField('user', { name: 'Bob' })
    await until(() => bob.text.toString() === 'hidden', 'received')
    bob.text.insert(6, ' well')
    await until(() => ada.text.toString() === 'hidden well', 'received')
    for (const each of [ada.provider, bob]) await until(() => names(each) === 'Ada,Bob', 'seen')
    for (const envelope of server.room(room).envelopes) expect(holds(envelope, 'hidden')).toBe(false)
    using late = stock(room)
    await late.synced()
    expect(late.text.toString()).toBe('hidden well')
    await until(() => names(late.provider) === 'Ada,Bob', 'seen')
    ada.provider.destroy()
    await until(() => names(bob) === 'Bob', 'gone')
  })

  test('comes back with what was written meanwhile', async () => {
    const room = newRoom()
    using ada = stock(room)
    using bob = client(room)
    await Promise.all([ada.synced(), bob.whenSynced()])
    server.cut(room)
    ada.text.insert(0, 'offline')
    await until(() => !ada.provider.wsconnected, 'cut')
    await until(() => bob.text.toString() === 'offline', 'received')
    expect(ada.provider.synced).toBe(true)
  })

  test('stops where coming back changes nothing', async () => {
    const room = newRoom()
    using ada = stock(room, { getToken: () => Promise.reject(new AccessDenied(4403)) })
    const closed = new Promise<{ code: number }>((resolve) => ada.provider.on('closed', resolve))
    expect((await closed).code).toBe(4403)
    expect(ada.provider.shouldConnect).toBe(false)
  })
})

describe('a server that lies', () => {
  test('an envelope that was altered is told and skipped', async () => {
    const room = newRoom()
    using ada = client(room)
    await ada.whenSynced()
    await write(ada, 'one ', 'two ', 'three ')
    const { envelopes } = server.room(room)
    const altered = (envelopes[1] as Uint8Array).slice()
    altered[altered.length - 20] = (altered[altered.length - 20] as number) ^ 1
    envelopes[1] = altered
    using bob = client(room)
    await bob.whenSynced()
    expect(bob.problems[0]).toMatchObject({ code: 'unreadable', seq: 2 })
    expect(bob.text.toString()).toBe('one ')
  })

  test('E-4 a history that is shorter than it was stops the client, until the application takes it', async () => {
    const room = newRoom()
    using ada = client(room)
    await ada.whenSynced()
    await write(ada, 'one ', 'two ', 'three ')
    ada.disconnect()
    server.room(room).envelopes.pop()
    ada.connect()
    await until(() => ada.state.status === 'stopped', 'stopped')
    expect(ada.state).toMatchObject({ reason: 'history_changed' })
    expect(ada.text.toString()).toBe('one two three ')
    ada.acceptHistory()
    await Promise.all([ada.whenSynced(), ada.whenSaved()])
    using bob = client(room)
    await bob.whenSynced()
    expect(bob.text.toString()).toBe('one two three ')
  })

  test('E-4 a history that was changed where this client had been stops it', async () => {
    const room = newRoom()
    const storage = indexedDbStorage({ database: room })
    {
      using ada = client(room, { storage })
      await ada.whenSynced()
      await write(ada, 'one ', 'two ', 'three ')
      await Bun.sleep(50)
    }
    const { envelopes } = server.room(room)
    ;[envelopes[0], envelopes[1]] = [envelopes[1] as Uint8Array, envelopes[0] as Uint8Array]
    using ada = client(room, { storage })
    await until(() => ada.state.status === 'stopped', 'stopped')
    expect(ada.state).toMatchObject({ reason: 'history_changed' })
  })

  test('E-4 members who are shown different histories notice as soon as they exchange a change', async () => {
    const room = newRoom()
    using ada = client(room)
    await ada.whenSynced()
    await write(ada, 'one ', 'two ')
    const all = server.room(room).envelopes
    // Bob is shown a room without the second change.
    server.room(room).envelopes = all.slice(0, 1)
    server.room(room).sockets.clear()
    using bob = client(room)
    await bob.whenSynced()
    expect(bob.text.toString()).toBe('one ')
    await write(bob, 'bob ')
    const bobsChange = server.room(room).envelopes.at(-1) as Uint8Array
    server.room(room).envelopes = [...all, bobsChange]
    server.room(room).sockets.clear()
    server.cut(room)
    using carol = client(room)
    await carol.whenSynced()
    // Bob's change says that it follows the first one, which is true: a fork shows where it says something that is not.
    expect(carol.problems).toEqual([])
    ;[server.room(room).envelopes[0], server.room(room).envelopes[1]] = [all[1] as Uint8Array, all[0] as Uint8Array]
    using dave = client(room)
    await dave.whenSynced()
    expect(dave.problems.some(({ code }) => code === 'history_forked')).toBe(true)
  })

  test('another room’s changes cannot be pasted in', async () => {
    const [from, to] = [newRoom(), newRoom()]
    using ada = client(from)
    await ada.whenSynced()
    await write(ada, 'of another room')
    server.room(to).envelopes.push(server.room(from).envelopes[0] as Uint8Array)
    using bob = client(to)
    await bob.whenSynced()
    expect(bob.problems[0]).toMatchObject({ code: 'unreadable', seq: 1 })
    expect(bob.text.toString()).toBe('')
  })
})

/** Everything that IndexedDB holds in a database, as bytes. */
async function dump(database: string): Promise<Uint8Array[]> {
  const db = await new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open(database)
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
  const all: Uint8Array[] = []
  for (const name of db.objectStoreNames) {
    const request = db.transaction(name).objectStore(name).getAll()
    await new Promise((resolve) => {
      request.onsuccess = resolve
    })
    for (const value of request.result) all.push(value instanceof Uint8Array ? value : value.bytes)
  }
  db.close()
  return all
}
