import { describe, expect, test } from 'bun:test'
import * as Y from 'yjs'
import { splitUpdate } from './split-update.ts'
import { walkUpdate } from './walk-update.ts'

const state = (updates: readonly Uint8Array[]) => {
  const doc = new Y.Doc()
  for (const update of updates) Y.applyUpdate(doc, update)
  return doc
}

const contentOf = (doc: Y.Doc) => [doc.getText('t').toDelta(), doc.getMap('m').toJSON(), doc.getArray('a').toJSON()]

/** The same document, whole or in parts, in order or in any other. */
function same(update: Uint8Array, maxBytes: number, before: Uint8Array[] = []) {
  const parts = splitUpdate(update, maxBytes)
  const whole = state([...before, update])
  for (const order of [parts, [...parts].reverse()]) {
    const doc = state([...before, ...order])
    expect(doc.store.pendingStructs).toBeNull()
    expect(doc.store.pendingDs).toBeNull()
    expect(Y.equalSnapshots(Y.snapshot(doc), Y.snapshot(whole))).toBe(true)
    expect(contentOf(doc)).toEqual(contentOf(whole))
  }
  for (const part of parts) expect(() => walkUpdate(part)).not.toThrow()
  return parts
}

describe('an update that is too large', () => {
  test('stays as it is where it is not', () => {
    const doc = new Y.Doc()
    doc.getText('t').insert(0, 'short')
    const update = Y.encodeStateAsUpdate(doc)
    expect(splitUpdate(update, 1000)).toEqual([update])
  })

  test('is cut within one long text, and never within a character', () => {
    const doc = new Y.Doc()
    doc.getText('t').insert(0, 'é🙂'.repeat(5000))
    const update = Y.encodeStateAsUpdate(doc)
    const parts = same(update, 997)
    expect(Math.max(...parts.map((part) => part.length))).toBeLessThanOrEqual(997)
    expect(parts.length).toBeLessThan(80)
  })

  test('is cut between what several people wrote, with their deletions, lists, maps and formats', () => {
    let seed = 1
    // Park and Miller's: the same every time.
    const random = (n: number) => {
      seed = (seed * 48_271) % 0x7fffffff
      return seed % n
    }
    const docs = [new Y.Doc(), new Y.Doc(), new Y.Doc()]
    for (let i = 0; i < 300; i++) {
      const doc = docs[random(3)] as Y.Doc
      const text = doc.getText('t')
      const kind = random(7)
      if (kind < 3) text.insert(random(text.length + 1), `${i} `.repeat(1 + random(40)))
      else if (kind === 3 && text.length > 5) text.delete(random(text.length - 5), 1 + random(5))
      else if (kind === 4)
        doc.getMap('m').set(`k${random(20)}`, { i, list: Array.from({ length: random(30) }, () => i) })
      else if (kind === 5)
        doc.getArray('a').insert(
          0,
          Array.from({ length: 1 + random(40) }, (_, n) => `${n}`),
        )
      else if (text.length > 5) text.format(random(text.length - 5), 5, { bold: random(2) === 0 ? null : true })
      if (random(4) === 0) {
        const [from, to] = [docs[random(3)] as Y.Doc, docs[random(3)] as Y.Doc]
        Y.applyUpdate(to, Y.encodeStateAsUpdate(from, Y.encodeStateVector(to)))
      }
    }
    const before = (docs[0] as Y.Doc) && Y.encodeStateAsUpdate(docs[0] as Y.Doc)
    const vector = Y.encodeStateVector(docs[0] as Y.Doc)
    for (const doc of docs.slice(1)) Y.applyUpdate(docs[0] as Y.Doc, Y.encodeStateAsUpdate(doc))
    const update = Y.encodeStateAsUpdate(docs[0] as Y.Doc)
    const parts = same(update, 700)
    expect(Math.max(...parts.map((part) => part.length))).toBeLessThanOrEqual(700)
    // Only what is new, for somebody who has the rest; and something that has holes.
    same(Y.encodeStateAsUpdate(docs[0] as Y.Doc, vector), 300, [before])
    const [first, , third] = splitUpdate(update, update.length / 4)
    const holes = Y.mergeUpdates([first as Uint8Array, third as Uint8Array])
    expect(Y.encodeStateVectorFromUpdate(Y.mergeUpdates(splitUpdate(holes, 400)))).toEqual(
      Y.encodeStateVectorFromUpdate(holes),
    )
  })

  test('is whole where nothing can be cut: one binary value', () => {
    const doc = new Y.Doc()
    doc.getMap('m').set('file', new Uint8Array(5000))
    doc.getMap('m').set('name', 'small')
    const parts = same(Y.encodeStateAsUpdate(doc), 1000)
    expect(parts.map((part) => part.length > 1000)).toEqual([true, false])
  })
})
