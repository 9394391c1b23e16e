import { expect, test } from 'bun:test'
import * as Y from 'yjs'
import { ClockRanges } from './clock-ranges.ts'
import { DocumentWorker } from './document-worker-client.ts'
import { decodeClocks, encodeClocks, packSnapshot } from './stored-snapshot.ts'
import { walkUpdate } from './walk-update.ts'

test('clocks come back as they were written, and changed bytes do not', () => {
  const ranges = [
    { client: 1, from: 0, to: 5 },
    { client: 2 ** 53 - 1, from: 2 ** 31, to: 2 ** 32 },
    { client: 300, from: 128, to: 129 },
  ]
  const bytes = encodeClocks(ranges)
  expect(decodeClocks(bytes)).toEqual(ranges)
  for (let i = 0; i < bytes.length; i++) {
    const changed = bytes.slice()
    changed[i] = (changed[i] as number) ^ 1
    expect(decodeClocks(changed)).toBeUndefined()
  }
  expect(decodeClocks(bytes.subarray(0, 2))).toBeUndefined()
  expect(decodeClocks(encodeClocks([]))).toEqual([])
})

test('each part of a large document is compressed by itself', () => {
  const document = new Uint8Array(600_000).map((_, i) => (i * i) % 251)
  const { codec, chunks } = packSnapshot(document)
  expect(codec).toBe('parts')
  const parts = chunks.map((chunk) => Bun.zstdDecompressSync(chunk as Uint8Array<ArrayBuffer>))
  expect(parts.map(({ length }) => length)).toEqual([262_144, 262_144, 75_712])
  expect(Buffer.compare(Buffer.concat(parts), document)).toBe(0)
  expect(packSnapshot(document.subarray(0, 1000)).codec).toBe('plain')
})

test('a compaction in pieces makes of many updates one that holds the same', async () => {
  const doc = new Y.Doc()
  const updates: Uint8Array[] = []
  doc.on('update', (update: Uint8Array) => updates.push(update))
  // More than goes to the worker in one piece, by number and by length.
  for (let i = 0; i < 5000; i++) doc.getMap('m').set(`record-${i % 50}`, `${i}`.padEnd(400, 'x'))
  const worker = new DocumentWorker()
  const [made, other] = await Promise.all([worker.compact(updates), worker.compact(updates.slice(0, 3))])
  worker.end()
  if (!made || !other) throw new Error('the compaction failed')
  const again = new Y.Doc()
  const update = made.frame.subarray(made.start)
  Y.applyUpdate(again, update)
  expect(again.getMap('m').toJSON()).toEqual(doc.getMap('m').toJSON())
  const [held, written] = [new ClockRanges(), new ClockRanges()]
  held.addAll(walkUpdate(update).ranges)
  written.addAll(decodeClocks(made.packed.clocks ?? new Uint8Array()) ?? [])
  expect(written.equals(held)).toBe(true)
  expect(other.frame.length).toBeLessThan(made.frame.length)
})
