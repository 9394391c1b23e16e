import * as Y from 'yjs'

/** The whole document as one update, as any Yjs client takes it. */
export function mergeDocument(updates: readonly Uint8Array[]): Uint8Array {
  return withDocument(updates, (doc) => Y.encodeStateAsUpdate(doc))
}

/**
 * What stands in a document, by the names of its roots. Yjs does not store what kind a root is: it is read off what is
 * in it, and an empty one counts as text.
 */
export function contentOf(updates: readonly Uint8Array[]): Record<string, unknown> {
  return withDocument(updates, (doc) =>
    Object.fromEntries([...doc.share.keys()].map((name) => [name, jsonOf(doc, name)])),
  )
}

/** The text of all roots that are text, each on lines of its own. */
export function textOf(updates: readonly Uint8Array[]): string {
  return withDocument(updates, (doc) =>
    [...doc.share.keys()]
      .filter((name) => kindOf(doc, name) === 'text')
      .map((name) => doc.getText(name).toString())
      .join('\n'),
  )
}

function withDocument<T>(updates: readonly Uint8Array[], read: (doc: Y.Doc) => T): T {
  const doc = new Y.Doc()
  try {
    doc.transact(() => {
      for (const update of updates) Y.applyUpdate(doc, update)
    })
    return read(doc)
  } finally {
    doc.destroy()
  }
}

function kindOf(doc: Y.Doc, name: string): 'map' | 'text' | 'xml' | 'array' {
  const root = doc.share.get(name) as Y.AbstractType<unknown>
  if (root._map.size > 0) return 'map'
  for (let item = root._start; item; item = item.right) {
    const { content } = item
    if (content instanceof Y.ContentString || content instanceof Y.ContentFormat) return 'text'
    if (content instanceof Y.ContentType)
      return content.type instanceof Y.XmlElement || content.type instanceof Y.XmlText ? 'xml' : 'array'
    if (content instanceof Y.ContentAny || content instanceof Y.ContentJSON) return 'array'
  }
  return 'text'
}

function jsonOf(doc: Y.Doc, name: string): unknown {
  switch (kindOf(doc, name)) {
    case 'map':
      return doc.getMap(name).toJSON()
    case 'text':
      return doc.getText(name).toString()
    case 'xml':
      return doc.getXmlFragment(name).toString()
    case 'array':
      return doc.getArray(name).toJSON()
  }
}
