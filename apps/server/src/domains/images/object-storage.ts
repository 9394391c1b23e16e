import type { Database } from '../../database/index.ts'

/** Where the bytes of pictures are kept, when it is not the database. */
export type ObjectStorage = {
  write: (key: string, bytes: Uint8Array, contentType: string) => Promise<void>
  /** Undefined: there is no such object. */
  read: (key: string) => Promise<Uint8Array | undefined>
  remove: (key: string) => Promise<void>
}

/** A bucket of a storage that speaks the S3 protocol. */
export type Bucket = {
  endpoint: string
  region: string
  bucket: string
  accessKeyId: string
  secretAccessKey: string
}

const storages = new WeakMap<Database, ObjectStorage>()

/** Keeps pictures that are uploaded from now on in an object storage. Those in the database stay there. */
export function useObjectStorage(database: Database, storage: ObjectStorage): void {
  storages.set(database, storage)
}

export function objectStorageOf(database: Database): ObjectStorage | undefined {
  return storages.get(database)
}

/** A bucket as object storage. Nothing in it needs to be public: pictures are served by this server. */
export function bucketStorage(bucket: Bucket): ObjectStorage {
  const client = new Bun.S3Client(bucket)
  return {
    write: async (key, bytes, contentType) => {
      await client.write(key, bytes, { type: contentType })
    },
    read: async (key) => {
      try {
        return await client.file(key).bytes()
      } catch (error) {
        if ((error as { code?: string }).code === 'NoSuchKey') return undefined
        throw error
      }
    },
    remove: (key) => client.delete(key),
  }
}
