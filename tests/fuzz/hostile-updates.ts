import { pick, type Random } from './random.ts'

const varUint = (n: number): number[] => (n < 128 ? [n] : [(n % 128) | 128, ...varUint(Math.floor(n / 128))])
const varString = (text: string): number[] => {
  const bytes = Buffer.from(text)
  return [...varUint(bytes.length), ...bytes]
}

/** Changes bytes: flips, cuts, doubles, and puts in numbers that have hurt readers. */
export function mutate(random: Random, update: Uint8Array, other: Uint8Array): Uint8Array {
  const out = Array.from(update)
  for (let n = random(3) + 1; n > 0; n--) {
    const at = random(out.length + 1)
    switch (random(8)) {
      case 0:
        out[at] = random(256)
        break
      case 1:
        if (at < out.length) out[at] = (out[at] as number) ^ (1 << random(8))
        break
      case 2:
        out.splice(at, 1 + random(3))
        break
      case 3:
        out.splice(at, 0, random(256))
        break
      case 4: {
        const from = random(out.length)
        out.splice(at, random(6), ...out.slice(from, from + random(12)))
        break
      }
      case 5: {
        const from = random(other.length)
        out.splice(at, random(12), ...other.subarray(from, from + random(30)))
        break
      }
      case 6:
        out.splice(
          at,
          random(3),
          ...varUint(pick(random, [127, 128, 2 ** 14, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1])),
        )
        break
      default:
        if (at < out.length) out[at] = ((out[at] as number) + pick(random, [1, 255])) & 255
    }
  }
  return Uint8Array.from(out, (byte) => byte ?? 0)
}

/** An update that no client would write, but whose form is right: items that refer to anything, of any content. */
export function invent(random: Random, known: { client: number; to: number }[]): Uint8Array {
  const clients = new Set(Array.from({ length: 1 + random(4) }, () => someClient(random, known)))
  const out = varUint(clients.size)
  for (const client of clients) {
    const structs = random(5) === 0 ? 0 : 1 + random(6)
    const clock = pick(random, [0, 0, random(20), known.find((one) => one.client === client)?.to ?? 0, 2 ** 32 - 40])
    out.push(...varUint(structs), ...varUint(client), ...varUint(clock))
    for (let i = 0; i < structs; i++) out.push(...struct(random, known, [...clients]))
  }
  const deleting = random(3)
  out.push(deleting)
  for (let i = 0; i < deleting; i++) {
    const n = random(4)
    out.push(...varUint(someClient(random, known)), n)
    for (let j = 0; j < n; j++) out.push(...varUint(random(30)), ...varUint(1 + pick(random, [0, random(9), 2 ** 31])))
  }
  return Uint8Array.from(out)
}

const someClient = (random: Random, known: { client: number }[]): number =>
  known.length > 0 && random(3) > 0 ? pick(random, known).client : pick(random, [random(5), random(2 ** 32)])

function someId(random: Random, known: { client: number; to: number }[], clients: number[]): number[] {
  const one = known.length > 0 && random(2) ? pick(random, known) : { client: pick(random, clients), to: 12 }
  return [...varUint(one.client), ...varUint(random(one.to + 1))]
}

function struct(random: Random, known: { client: number; to: number }[], clients: number[]): number[] {
  const kind = pick(random, [0, 1, 2, 3, 4, 4, 4, 5, 6, 7, 7, 8, 9, 10])
  if (kind === 0 || kind === 10) return [kind, ...varUint(1 + pick(random, [0, random(9), 2 ** 31]))]
  const origins = pick(random, [0, 0, 0x80, 0x40, 0xc0])
  const sub = random(3) === 0 ? 0x20 : 0
  const out = [kind | origins | sub]
  if (origins & 0x80) out.push(...someId(random, known, clients))
  if (origins & 0x40) out.push(...someId(random, known, clients))
  if (origins === 0) {
    if (random(2)) out.push(1, ...varString(pick(random, ['text', 'array', 'map', 'xml', ''])))
    else out.push(0, ...someId(random, known, clients))
    if (sub) out.push(...varString(pick(random, ['k', '', '__proto__'])))
  }
  return [...out, ...content(random, kind)]
}

function content(random: Random, kind: number): number[] {
  switch (kind) {
    case 1:
      return varUint(1 + pick(random, [0, random(9), 2 ** 31]))
    case 2:
      return [2, ...varString('undefined'), ...varString('{"a":[1]}')]
    case 3:
      return [3, 1, 2, 3]
    case 4:
      return varString(pick(random, ['x', 'xyz', '😀😀', 'é'.repeat(9)]))
    case 5:
      return varString(pick(random, ['{"a":1}', 'null', '"x"', '[]', '1', '{"__proto__":1}']))
    case 6:
      return [
        ...varString(pick(random, ['bold', '', '__proto__', 'ychange'])),
        ...varString(pick(random, ['true', 'null', '{}'])),
      ]
    case 7: {
      const type = random(7)
      return type === 3 || type === 5 ? [type, ...varString('p')] : [type]
    }
    case 8:
      return [3, 119, ...varString('s'), 118, 1, ...varString('a'), 126, 117, 1, 125, random(64)]
    default:
      return [...varString('guid'), 118, 1, ...varString('meta'), 118, 0]
  }
}
