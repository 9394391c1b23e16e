import * as Y from 'yjs'
import { pick, type Random } from './random.ts'

const texts = [
  'a',
  'ab',
  'héé',
  '漢字',
  '😀',
  '👩‍👩‍👧',
  '\u0000',
  '\ufeffx',
  '',
  'x'.repeat(60),
  '\ud83d',
  '\ude00',
  '"\\\n',
]
const keys = ['k', 'k2', '', 'häß', '__proto__', 'constructor', '😀', 'x'.repeat(200)]

/** Any value that a client may put into a map or an array. */
function anyValue(random: Random, depth = 0): unknown {
  switch (random(depth > 4 ? 11 : 14)) {
    case 0:
      return null
    case 1:
      return undefined
    case 2:
      return random(2) === 0
    case 3:
      return random(200) - 100
    case 4:
      return pick(random, [-0, 2 ** 31, -(2 ** 31), 2 ** 31 - 1, 2 ** 53, -(2 ** 53) + 1, 63, 64, -64, 1e300, 5e-324])
    case 5:
      return pick(random, [Number.NaN, Number.POSITIVE_INFINITY, 0.5, 0.1, 1 / 3])
    case 6:
      return pick(random, [0n, -1n, 2n ** 63n - 1n, -(2n ** 63n)])
    case 7:
    case 8:
      return pick(random, texts)
    case 9:
      return new Uint8Array(random(30)).fill(random(256))
    case 10:
      return {}
    case 11:
      return Array.from({ length: random(4) }, () => anyValue(random, depth + 1))
    case 12:
      return Object.fromEntries(
        Array.from({ length: random(4) }, () => [pick(random, keys), anyValue(random, depth + 1)] as const)
          // A key that yjs cannot keep, and with bytes behind it cannot encode again.
          .filter(([key, inner]) => key !== '__proto__' || !(inner instanceof Uint8Array)),
      )
    default: {
      let value: unknown = random(10)
      for (let i = random(58 - depth); i > 0; i--) value = random(2) ? [value] : { a: value }
      return depth === 0 ? value : 7
    }
  }
}

/** A value that JSON can hold: formats and embeds are stored as JSON. */
const jsonValue = (random: Random): object => ({
  a: [random(9), pick(random, texts), null, { [pick(random, keys)]: true }],
})

type AnyType = Y.Map<unknown> | Y.Array<unknown> | Y.Text | Y.XmlElement | Y.XmlFragment | Y.XmlHook

function newType(random: Random, depth = 0): AnyType {
  switch (random(7)) {
    case 0:
      return new Y.Map(Array.from({ length: random(3) }, () => [pick(random, keys), value(random, depth + 1)]))
    case 1:
      return listOf(Array.from({ length: random(4) }, () => value(random, depth + 1)))
    case 2:
      return new Y.Text(pick(random, texts))
    case 3: {
      const element = new Y.XmlElement(pick(random, ['p', 'h1', 'ß']))
      element.setAttribute('a', pick(random, texts))
      element.insert(0, [new Y.XmlText('inner')])
      return element as never
    }
    case 4:
      return new Y.XmlText(pick(random, texts)) as never
    case 5:
      return new Y.XmlFragment() as never
    default:
      return new Y.XmlHook('hook') as never
  }
}

function listOf(values: unknown[]) {
  const list = new Y.Array<unknown>()
  list.push(values)
  return list
}

function value(random: Random, depth = 0): unknown {
  if (depth < 3 && random(6) === 0) return newType(random, depth)
  if (depth < 2 && random(25) === 0) return subdocument(random)
  return anyValue(random)
}

const subdocument = (random: Random) =>
  new Y.Doc({
    gc: random(2) === 0,
    autoLoad: random(2) === 0,
    shouldLoad: random(2) === 0,
    ...(random(2) && { meta: pick(random, [{ a: [1] }, 'text', 7]) }),
    ...(random(3) === 0 && { guid: pick(random, ['', 'guid', '😀'.repeat(10)]) }),
  })

function editText(random: Random, text: Y.Text) {
  switch (random(6)) {
    case 0:
    case 1:
      text.insert(random(text.length + 1), pick(random, texts))
      return
    case 2:
      if (text.length > 0) text.delete(random(text.length), 1)
      return
    case 3:
      if (text.length > 3) text.delete(random(text.length - 3), 1 + random(3))
      return
    case 4:
      if (text.length > 0)
        text.format(random(text.length), 1, {
          [pick(random, ['bold', 'link'])]: pick(random, [true, null, jsonValue(random)]),
        })
      return
    default:
      text.insertEmbed(random(text.length + 1), random(4) ? jsonValue(random) : (newType(random) as never))
  }
}

/** One thing that a person or a program does to a document. */
function edit(random: Random, doc: Y.Doc) {
  const array = doc.getArray<unknown>('array')
  const map = doc.getMap<unknown>('map')
  switch (random(12)) {
    case 0:
    case 1:
    case 2:
      return editText(random, doc.getText('text'))
    case 3:
      array.insert(
        random(array.length + 1),
        Array.from({ length: 1 + random(4) }, () => value(random)),
      )
      return
    case 4:
      if (array.length > 2) array.delete(random(array.length - 2), 1 + random(2))
      return
    case 5:
    case 6:
      map.set(pick(random, keys), value(random))
      return
    case 7:
      map.delete(pick(random, keys))
      return
    case 8: {
      const xml = doc.getXmlFragment('xml')
      xml.insert(
        random(xml.length + 1),
        [newType(random)].filter((type) => type instanceof Y.XmlElement),
      )
      return
    }
    case 9: {
      const nested = [...array.toArray(), ...map.values()].filter((item) => item instanceof Y.AbstractType)
      const type = nested.length > 0 ? pick(random, nested) : undefined
      if (type instanceof Y.Text) editText(random, type)
      else if (type instanceof Y.Map) type.set(pick(random, keys), value(random, 2))
      else if (type instanceof Y.Array) type.push([value(random, 2)])
      return
    }
    case 10:
      // Formatting and typing in one transaction, as editors do.
      return doc.transact(() => {
        for (let i = random(6); i > 0; i--) editText(random, doc.getText('text'))
      })
    default: {
      const element = doc.getXmlFragment('xml').get(0)
      if (element instanceof Y.XmlElement) element.setAttribute(pick(random, ['a', 'b']), pick(random, texts))
    }
  }
}

export type RealUpdates = {
  docs: Y.Doc[]
  /** As the clients sent them, in the order in which they were made. */
  updates: Uint8Array[]
}

/** A few clients that edit one document, sometimes meet, undo, and come back under another client id. */
export function realUpdates(random: Random, edits: number): RealUpdates {
  const updates: Uint8Array[] = []
  // Two documents under one id would contradict each other, which is no client's way.
  const used = new Set<number>()
  const unused = (next: () => number): number => {
    const id = next()
    if (used.has(id)) return unused(next)
    used.add(id)
    return id
  }
  const docs = Array.from({ length: 2 + random(3) }, () => {
    const doc = new Y.Doc({ gc: random(3) > 0 })
    // Small, ordinary and very large ids; yjs itself takes 32 random bits.
    doc.clientID = unused(() => pick(random, [random(200), random(2 ** 31) * 2, 2 ** 32 + random(2 ** 20)]))
    doc.on('update', (update: Uint8Array) => updates.push(update))
    return doc
  })
  const undo = docs.map((doc) => new Y.UndoManager([doc.getText('text'), doc.getMap('map')], { captureTimeout: 0 }))
  for (let i = 0; i < edits; i++) {
    const at = random(docs.length)
    const doc = docs[at] as Y.Doc
    switch (random(14)) {
      case 0: {
        const other = pick(random, docs)
        Y.applyUpdate(other, Y.encodeStateAsUpdate(doc, Y.encodeStateVector(other)))
        break
      }
      case 1:
        undo[at]?.undo()
        break
      case 2:
        undo[at]?.redo()
        break
      case 3:
        doc.clientID = unused(() => random(2 ** 32))
        break
      case 4:
        if (updates.length > 0) Y.applyUpdate(doc, pick(random, updates)) // what comes early waits in the document
        break
      default:
        try {
          edit(random, doc)
        } catch {
          // Some values yjs itself does not take (undefined in a list, say); what it wrote before counts all the same.
        }
    }
  }
  for (const manager of undo) manager.destroy()
  return { docs, updates }
}

/** What else a client or a server makes of updates before it sends them. */
export function derivedUpdates(random: Random, { docs, updates }: RealUpdates): Uint8Array[] {
  const some = updates.filter(() => random(3) > 0)
  const derived = docs.map((doc) => Y.encodeStateAsUpdate(doc))
  if (some.length > 0) {
    const merged = Y.mergeUpdates(some)
    derived.push(merged, Y.diffUpdate(merged, someVector(random, updates)))
    derived.push(Y.convertUpdateFormatV2ToV1(Y.convertUpdateFormatV1ToV2(merged)))
  }
  const doc = pick(random, docs)
  derived.push(Y.encodeStateAsUpdate(doc, someVector(random, updates)))
  derived.push(Y.diffUpdate(pick(random, derived), Y.encodeStateVector(pick(random, docs))))
  return derived
}

/** A state vector that ends in the midst of what clients wrote. */
export function someVector(random: Random, updates: readonly Uint8Array[]): Uint8Array {
  const vector = new Map<number, number>()
  for (let i = random(4); i > 0 && updates.length > 0; i--) {
    for (const [client, { to }] of ends(pick(random, updates))) vector.set(client, random(to + 3))
  }
  return Y.encodeStateVector(vector as never)
}

function ends(update: Uint8Array): Map<number, { to: number }> {
  const { to } = Y.parseUpdateMeta(update)
  return new Map([...to].map(([client, clock]) => [client, { to: clock }]))
}
