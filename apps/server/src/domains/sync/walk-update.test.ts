import { describe, expect, test } from 'bun:test'
import * as Y from 'yjs'
import { ClockRanges } from './clock-ranges.ts'
import { randomFrom } from './testing.ts'
import { MalformedUpdate, walkStateVector, walkUpdate } from './walk-update.ts'

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
const varUint = (n: number): number[] => (n < 128 ? [n] : [(n % 128) | 128, ...varUint(Math.floor(n / 128))])
const refused = (update: Uint8Array) => expect(() => walkUpdate(update)).toThrow(MalformedUpdate)

/** A document that has met every kind of content, edited by several clients, with the updates on the way. */
function anyDocument(random: (below: number) => number, edits = 40) {
  const docs = [new Y.Doc(), new Y.Doc(), new Y.Doc({ gc: false })]
  const updates: Uint8Array[] = []
  for (const [i, doc] of docs.entries()) {
    doc.clientID = random(2 ** 31) + i
    doc.on('update', (update: Uint8Array) => updates.push(update))
  }
  for (let i = 0; i < edits; i++) {
    const doc = docs[random(docs.length)] as Y.Doc
    const text = doc.getText('text')
    const array = doc.getArray('array')
    const map = doc.getMap('map')
    switch (random(13)) {
      case 0:
      case 1:
        text.insert(
          random(text.length + 1),
          ['a', 'héé', '漢字', '😀', 'x'.repeat(random(40) + 1)][random(5)] as string,
        )
        break
      case 2:
        if (text.length > 1) text.delete(random(text.length - 1), 1)
        break
      case 3:
        if (text.length) text.format(0, random(text.length) + 1, { bold: random(2) ? true : null, link: { a: [1] } })
        break
      case 4:
        text.insertEmbed(random(text.length + 1), { image: 'x', n: [random(9)] })
        break
      case 5:
        array.insert(0, [random(100), 1.5, -3, null, true, 'x', { a: [1, { b: 2 }] }, [1, [2]]] as unknown[])
        break
      case 6:
        array.insert(array.length, [new Uint8Array(random(20))])
        break
      case 7:
        if (array.length > 2) array.delete(random(array.length - 2), 2)
        break
      case 8:
        map.set(`k${random(4)}`, random(2) ? new Y.Map([['x', random(5)]]) : random(1000))
        break
      case 9:
        map.delete(`k${random(4)}`)
        break
      case 10:
        doc.getXmlFragment('xml').insert(0, [new Y.XmlElement('p'), new Y.XmlText('t')])
        break
      case 11:
        map.set('doc', new Y.Doc({ meta: { a: 1 }, autoLoad: random(2) === 1 }))
        break
      case 12: {
        const other = docs[random(docs.length)] as Y.Doc
        Y.applyUpdate(other, Y.encodeStateAsUpdate(doc, Y.encodeStateVector(other)))
        break
      }
    }
  }
  for (const doc of docs) for (const other of docs) Y.applyUpdate(doc, Y.encodeStateAsUpdate(other))
  return { doc: docs[0] as Y.Doc, updates }
}

describe('walkUpdate', () => {
  test('reads the captured examples', () => {
    expect(walkUpdate(bytes('0000'))).toEqual({ ranges: [], hasDeletes: false })
    expect(walkUpdate(bytes('01010100 0401017401 6100'))).toEqual({
      ranges: [{ client: 1, from: 0, to: 1 }],
      hasDeletes: false,
    })
    expect(walkUpdate(bytes('000101010001'))).toEqual({ ranges: [], hasDeletes: true })
  })

  test('R-6 refuses the hostile nine bytes before anything is allocated', () => {
    const hostile = Uint8Array.from([1, ...varUint(30_000_000), 1, 0, 0, 0])
    expect(hostile).toHaveLength(9)
    const before = process.memoryUsage().rss
    for (let i = 0; i < 10_000; i++) refused(hostile)
    expect(process.memoryUsage().rss - before).toBeLessThan(100e6)
  })

  test('R-6 refuses values nested deeper than 64 and accepts 60', () => {
    const nested = (depth: number) =>
      Uint8Array.from([1, 1, 1, 0, 8, 1, 1, 97, 1, ...Array.from({ length: depth }, () => [117, 1]).flat(), 126, 0])
    expect(walkUpdate(nested(60)).ranges).toEqual([{ client: 1, from: 0, to: 1 }])
    refused(nested(66))
    refused(nested(20_000))
  })

  test('R-6 refuses JSON nested deeper than 64 and JSON that does not parse', () => {
    const embed = (json: string) =>
      Uint8Array.from([1, 1, 1, 0, 5, 1, 1, 97, ...varUint(json.length), ...Buffer.from(json), 0])
    expect(walkUpdate(embed('{"a":"[[["}')).ranges).toHaveLength(1)
    refused(embed('['.repeat(70) + ']'.repeat(70)))
    refused(embed('{'))
    refused(embed('undefined'))
  })

  test('R-6 refuses a run of 2^52 and a clock beyond 2^32', () => {
    refused(Uint8Array.from([1, 1, 1, 0, 0, ...varUint(2 ** 52), 0]))
    refused(Uint8Array.from([1, 1, 1, ...varUint(2 ** 32), 0, 1, 0]))
    refused(Uint8Array.from([0, 1, 1, 1, ...varUint(2 ** 32), 1]))
    expect(walkUpdate(Uint8Array.from([1, 1, 1, 0, 0, ...varUint(2 ** 32), 0])).ranges[0]?.to).toBe(2 ** 32)
  })

  test('R-6 refuses text that is not UTF-8', () => {
    const text = (...content: number[]) => Uint8Array.from([1, 1, 1, 0, 4, 1, 1, 97, content.length, ...content, 0])
    expect(walkUpdate(text(0xf0, 0x9f, 0x98, 0x80)).ranges[0]?.to).toBe(2)
    for (const bad of [[0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xe2, 0x82], [0x80], [0xff]]) {
      refused(text(...bad))
    }
  })

  test('R-6 refuses an item that refers to a later one of its own client, and a client that appears twice', () => {
    refused(Uint8Array.from([1, 1, 1, 0, 0x84, 1, 0, 1, 97, 0]))
    refused(Uint8Array.from([2, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 0]))
  })

  test('R-6 refuses more than a hundred thousand client groups and counts beyond the bytes', () => {
    const groups = (n: number) => Array.from({ length: n }, (_, i) => [1, ...varUint(200_000 - i), 0, 0, 1]).flat()
    expect(walkUpdate(Uint8Array.from([...varUint(20_000), ...groups(20_000), 0])).ranges).toHaveLength(20_000)
    refused(Uint8Array.from([...varUint(100_001), ...groups(100_001), 0]))
    refused(bytes('ffffffffffffff0f'))
    refused(Uint8Array.from([0, 1, 1, ...varUint(1e9)]))
    refused(new Uint8Array())
  })

  test('R-6 refuses deletions that are out of order, overlap, or name a client twice', () => {
    expect(walkUpdate(bytes('00 01 01 02 0001 0102')).hasDeletes).toBe(true)
    refused(bytes('00 01 01 02 0501 0001'))
    refused(bytes('00 01 01 02 0003 0201'))
    refused(bytes('00 02 01 01 0001 01 01 0501'))
  })

  test('R-6 refuses bytes that a reader would make the prototype of an object', () => {
    const object = (key: string, ...value: number[]) =>
      Uint8Array.from([1, 1, 1, 0, 8, 1, 1, 97, 1, 118, 1, key.length, ...Buffer.from(key), ...value, 0])
    refused(object('__proto__', 116, 1, 9))
    for (const [key, ...value] of [
      ['__proto__', 126],
      ['__proto__', 118, 0],
      ['x__proto__', 116, 1, 9],
      ['proto____', 116, 1, 9],
    ] as [string, ...number[]][])
      expect(walkUpdate(object(key, ...value)).ranges).toHaveLength(1)
  })

  test('R-6 refuses V2 bytes and every truncation of a valid update', () => {
    const { doc } = anyDocument(randomFrom(7), 80)
    const update = Y.encodeStateAsUpdate(doc)
    walkUpdate(update)
    refused(Y.encodeStateAsUpdateV2(doc))
    for (let n = 0; n < update.length; n++) refused(update.subarray(0, n))
    refused(Uint8Array.from([...update, 0]))
  })

  test('agrees with yjs on what updates contain', () => {
    const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
    console.log(`seed ${seed}`)
    const random = randomFrom(seed)
    for (let round = 0; round < 150; round++) {
      const { doc, updates } = anyDocument(random)
      const all = new ClockRanges()
      for (const update of updates) all.addAll(walkUpdate(update).ranges)
      const state = Y.encodeStateAsUpdate(doc)
      const whole = new ClockRanges()
      whole.addAll(walkUpdate(state).ranges)
      expect(all.equals(whole)).toBe(true)
      expect(walkStateVector(whole.encodeVector())).toEqual(Y.decodeStateVector(Y.encodeStateVector(doc)))
      walkUpdate(Y.mergeUpdates(updates.filter((_, i) => i % 3 > 0)))
      walkUpdate(Y.diffUpdate(state, Y.encodeStateVectorFromUpdate(updates[0] as Uint8Array)))
    }
  })

  test('what it accepts, yjs applies, merges and diffs without throwing', () => {
    const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
    console.log(`seed ${seed}`)
    const random = randomFrom(seed)
    let accepted = 0
    const silent = console.error
    console.error = () => {}
    try {
      for (let round = 0; round < 60; round++) {
        const { doc, updates } = anyDocument(random, 25)
        const good = Y.encodeStateAsUpdate(doc)
        for (let i = 0; i < 60; i++) {
          const mutant = mutate(random, random(2) ? good : (updates[random(updates.length)] ?? good))
          try {
            walkUpdate(mutant)
          } catch (error) {
            expect(error).toBeInstanceOf(MalformedUpdate)
            continue
          }
          accepted++
          try {
            // On a document of its own: what contradicts a document's existing operations no reader of bytes can see.
            const fresh = new Y.Doc()
            Y.applyUpdate(fresh, mutant)
            const again = new Y.Doc()
            Y.applyUpdate(again, Y.encodeStateAsUpdate(fresh))
            Y.mergeUpdates([good, mutant])
            Y.diffUpdate(mutant, Y.encodeStateVectorFromUpdate(updates[0] ?? good))
            Y.encodeStateVectorFromUpdate(mutant)
          } catch (error) {
            throw new Error(
              `seed ${seed}: ${Buffer.from(mutant).toString('hex')} on ${Buffer.from(good).toString('hex')}`,
              {
                cause: error,
              },
            )
          }
        }
      }
    } finally {
      console.error = silent
    }
    expect(accepted).toBeGreaterThan(100)
  })
})

function mutate(random: (below: number) => number, update: Uint8Array): Uint8Array {
  const out = Array.from(update)
  for (let n = random(3) + 1; n > 0; n--) {
    const at = random(out.length)
    switch (random(5)) {
      case 0:
        out[at] = random(256)
        break
      case 1:
        out[at] = (out[at] as number) ^ (1 << random(8))
        break
      case 2:
        out.splice(at, 1)
        break
      case 3:
        out.splice(at, 0, random(256))
        break
      case 4:
        out.splice(at, random(6), ...out.slice(random(out.length), random(out.length) + 6))
        break
    }
  }
  return Uint8Array.from(out)
}
