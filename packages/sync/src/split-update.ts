import * as encoding from 'lib0/encoding'
import * as Y from 'yjs'

/** Numbers before the structs of one client: how many, whose, and from which clock on. */
const groupBytes = 24
/** One deletion with, at worst, the client it belongs to. */
const deletionBytes = 32

type Struct = Y.Item | Y.GC | Y.Skip
/** Structs of one client that follow each other, encoded. */
type Group = { client: number; clock: number; structs: Uint8Array[] }

/**
 * An update as several that do the same, in any order: each is an update by itself. Long texts and lists are cut; a single value
 * that is larger than `maxBytes`, such as a file, stays whole.
 */
export function splitUpdate(update: Uint8Array, maxBytes: number): Uint8Array[] {
  if (update.length <= maxBytes) return [update]
  const { structs, ds } = Y.decodeUpdate(update)
  const parts: Uint8Array[] = []
  let groups: Group[] = []
  let size = 2
  const flush = () => {
    if (groups.length > 0) parts.push(encodePart(groups, []))
    groups = []
    size = 2
  }
  for (const struct of structs as Struct[])
    for (const { clock, bytes } of pieces(struct, maxBytes - groupBytes - 2)) {
      const { client } = struct.id
      const fits = size + bytes.length + (groups.at(-1)?.client === client ? 0 : groupBytes) <= maxBytes
      if (!fits) flush()
      // A gap needs no place of its own: the next part begins behind it.
      if (struct instanceof Y.Skip && groups.at(-1)?.client !== client) continue
      if (groups.at(-1)?.client !== client) {
        groups.push({ client, clock, structs: [] })
        size += groupBytes
      }
      groups.at(-1)?.structs.push(bytes)
      size += bytes.length
    }
  flush()
  const deletions = [...ds.clients].flatMap(([client, items]) =>
    items.map(({ clock, len }) => ({ client, clock, len })),
  )
  const atOnce = Math.max(1, Math.floor((maxBytes - 2) / deletionBytes))
  for (let at = 0; at < deletions.length; at += atOnce) parts.push(encodePart([], deletions.slice(at, at + atOnce)))
  return parts
}

function encodePart(groups: Group[], deletions: { client: number; clock: number; len: number }[]): Uint8Array {
  return encoding.encode((encoder) => {
    encoding.writeVarUint(encoder, groups.length)
    for (const { client, clock, structs } of groups) {
      for (const number of [structs.length, client, clock]) encoding.writeVarUint(encoder, number)
      for (const bytes of structs) encoding.writeUint8Array(encoder, bytes)
    }
    const byClient = new Map<number, typeof deletions>()
    for (const deletion of deletions) {
      const others = byClient.get(deletion.client)
      if (others) others.push(deletion)
      else byClient.set(deletion.client, [deletion])
    }
    encoding.writeVarUint(encoder, byClient.size)
    for (const [client, items] of byClient) {
      encoding.writeVarUint(encoder, client)
      encoding.writeVarUint(encoder, items.length)
      for (const { clock, len } of items) {
        encoding.writeVarUint(encoder, clock)
        encoding.writeVarUint(encoder, len)
      }
    }
  })
}

/** A struct, or what it is cut into, with the clock at which each begins. */
function* pieces(
  struct: Struct,
  maxBytes: number,
  from = 0,
  to = struct.length,
): Generator<{ clock: number; bytes: Uint8Array }> {
  const bytes = encodeStruct(struct, from, to)
  const middle = from + Math.floor((to - from) / 2)
  if (bytes.length <= maxBytes || to - from < 2 || !(struct instanceof Y.Item)) {
    yield { clock: struct.id.clock + from, bytes }
    return
  }
  const { content } = struct
  // Both halves of a character belong together.
  const cut =
    content instanceof Y.ContentString && /[\ud800-\udbff]/.test(content.str[middle - 1] ?? '') ? middle + 1 : middle
  if (cut >= to) {
    yield { clock: struct.id.clock + from, bytes }
    return
  }
  yield* pieces(struct, maxBytes, from, cut)
  yield* pieces(struct, maxBytes, cut, to)
}

/** A struct without what stands before `from` and behind `to`, as Yjs writes one that is partly known. */
function encodeStruct(struct: Struct, from: number, to: number): Uint8Array {
  const encoder = new Y.UpdateEncoderV1()
  if (!(struct instanceof Y.Item) || to === struct.length) struct.write(encoder, from)
  else {
    const { content } = struct
    const head = content.copy()
    head.splice(to)
    struct.content = head
    struct.write(encoder, from)
    struct.content = content
  }
  return encoding.toUint8Array(encoder.restEncoder)
}
