/** As much of yjs as the benchmarks use. */
type Doc = {
  on(event: 'update', listener: (update: Uint8Array) => void): void
  getText(name: string): { readonly length: number; insert(at: number, text: string): void }
  getMap(name: string): { set(key: string, value: unknown): void }
  transact(edit: () => void): void
  destroy(): void
}
type Yjs = {
  Doc: new () => Doc
  encodeStateAsUpdate(doc: Doc): Uint8Array
  mergeUpdates(updates: Uint8Array[]): Uint8Array
}

/** Of the benchmarks' own package, which is not installed where only types are checked. */
const name: string = 'yjs'
export const Y = (await import(name)) as Yjs
