import type { DocumentStorage, OpenStorage } from './storage.ts'

/**
 * Documents in the browser's IndexedDB, also for several tabs at once: each removes only what it knows of.
 *
 * @param options.database undefined: `usher-sync`. Give each person their own if several use one browser.
 */
export function indexedDbStorage({ database = 'usher-sync' }: { database?: string } = {}): OpenStorage {
  return async (name) => {
    const db = await openDatabase(database)
    /** Keys of the updates that this tab has seen. What another tab added meanwhile stays. */
    const known = new Set<IDBValidKey>()

    async function add(store: IDBObjectStore, bytes: Uint8Array): Promise<void> {
      known.add(await done(store.add({ document: name, bytes })))
    }

    const storage: DocumentStorage = {
      async load() {
        const transaction = db.transaction(['updates', 'meta', 'outbox'])
        const updates = transaction.objectStore('updates').index('document')
        const [keys, rows, meta, outbox] = await Promise.all([
          done(updates.getAllKeys(name)),
          done(updates.getAll(name)),
          done(transaction.objectStore('meta').get(name)),
          done(transaction.objectStore('outbox').index('document').getAll(name)),
        ])
        for (const key of keys) known.add(key)
        return {
          updates: rows.map((row) => row.bytes as Uint8Array),
          meta: meta as Uint8Array | undefined,
          outbox: outbox.map(({ id, bytes }) => ({ id, bytes })),
        }
      },

      async append(updates, meta) {
        const transaction = db.transaction(['updates', 'meta'], 'readwrite')
        const ended = finished(transaction)
        const store = transaction.objectStore('updates')
        for (const bytes of updates) add(store, bytes).catch(() => {})
        if (meta) transaction.objectStore('meta').put(meta, name)
        await ended
      },

      async replace(state, meta) {
        const transaction = db.transaction(['updates', 'meta'], 'readwrite')
        const ended = finished(transaction)
        const store = transaction.objectStore('updates')
        for (const key of known) store.delete(key)
        known.clear()
        add(store, state).catch(() => {})
        if (meta) transaction.objectStore('meta').put(meta, name)
        await ended
      },

      async keep(id, bytes) {
        const transaction = db.transaction('outbox', 'readwrite')
        transaction.objectStore('outbox').add({ document: name, id, bytes })
        await finished(transaction)
      },

      async forget(ids) {
        const transaction = db.transaction('outbox', 'readwrite')
        const index = transaction.objectStore('outbox').index('id')
        for (const id of ids)
          index.getAllKeys([name, id]).onsuccess = ({ target }) => {
            for (const key of (target as IDBRequest<IDBValidKey[]>).result)
              transaction.objectStore('outbox').delete(key)
          }
        await finished(transaction)
      },

      async clear() {
        const transaction = db.transaction(['updates', 'meta', 'outbox'], 'readwrite')
        for (const part of ['updates', 'outbox'] as const) {
          const store = transaction.objectStore(part)
          store.index('document').getAllKeys(name).onsuccess = ({ target }) => {
            for (const key of (target as IDBRequest<IDBValidKey[]>).result) store.delete(key)
          }
        }
        transaction.objectStore('meta').delete(name)
        known.clear()
        await finished(transaction)
      },

      close: () => db.close(),
    }
    return storage
  }
}

function openDatabase(name: string): Promise<IDBDatabase> {
  const request = indexedDB.open(name, 1)
  request.onupgradeneeded = () => {
    const db = request.result
    db.createObjectStore('updates', { autoIncrement: true }).createIndex('document', 'document')
    db.createObjectStore('meta')
    const outbox = db.createObjectStore('outbox', { autoIncrement: true })
    outbox.createIndex('document', 'document')
    outbox.createIndex('id', ['document', 'id'])
  }
  return done(request)
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}

function finished(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve()
    transaction.onabort = () => reject(transaction.error ?? new Error('the transaction was aborted'))
    transaction.onerror = () => reject(transaction.error)
  })
}
