import { expect, test } from 'bun:test'
import { decodeSegment, encodeSegment } from './segment.ts'

const updates = [Uint8Array.of(0, 0), Uint8Array.of(1, 2, 3), new Uint8Array(300)]

test('a segment gives back its updates', () => {
  const { payload, crc } = encodeSegment(updates.map((bytes, i) => ({ bytes, at: 1000 + i * 500 })))
  expect(decodeSegment(payload, crc)).toEqual(updates.map((bytes, i) => ({ bytes, at: i * 500 })))
})

test('a flipped bit, a missing byte and another version are noticed', () => {
  const { payload, crc } = encodeSegment(updates.map((bytes) => ({ bytes, at: 0 })))
  for (let i = 0; i < payload.length; i += 13) {
    const broken = payload.slice()
    broken[i] = (broken[i] as number) ^ 4
    expect(decodeSegment(broken, crc)).toBeUndefined()
  }
  expect(decodeSegment(payload.slice(0, -1), crc)).toBeUndefined()
})
