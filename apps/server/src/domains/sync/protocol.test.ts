import { expect, test } from 'bun:test'
import { awarenessFrame, decodeFrame, deniedFrame, emptyStep2Frame, step1Frame, updateFrame } from './protocol.ts'
import { MalformedUpdate } from './walk-update.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const bytes = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'))

test('frames are the captured ones', () => {
  expect(hex(step1Frame(bytes('00')))).toBe('00000100')
  expect(hex(emptyStep2Frame)).toBe('0001020000')
  expect(hex(updateFrame(bytes('0101010004010174016100')))).toBe('00020b0101010004010174016100')
  expect(hex(deniedFrame('reason'))).toBe(`020006${hex(Buffer.from('reason'))}`)
  expect(hex(awarenessFrame(bytes('00')))).toBe('010100')
})

test('every message type decodes', () => {
  expect(decodeFrame(bytes('00000100')).type).toBe('sync_step_1')
  expect(decodeFrame(bytes('0001020000')).type).toBe('sync_step_2')
  expect(decodeFrame(bytes('0002020000')).type).toBe('update')
  expect(decodeFrame(bytes('010100')).type).toBe('awareness')
  expect(decodeFrame(bytes('03')).type).toBe('query_awareness')
  expect(decodeFrame(bytes('660100')).type).toBe('sync_status')
  expect(decodeFrame(bytes('0900')).type).toBe('unknown')
})

test('frames that are cut short, lie about their length or carry something behind are refused', () => {
  for (const bad of [
    '',
    '00',
    '0000',
    '000005',
    '00020b0101',
    '0003020000',
    '00020200 0000',
    '01ffffffffffffffffff01',
    '80',
  ]) {
    expect(() => decodeFrame(bytes(bad))).toThrow(MalformedUpdate)
  }
})
