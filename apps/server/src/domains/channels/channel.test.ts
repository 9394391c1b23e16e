import { expect, test } from 'bun:test'
import { Channel } from './channel.ts'
import { shareKeys } from './hub.ts'
import { channelLimits } from './limits.ts'

const said = (offset: number) => ({ offset, at: 0, digest: '' })

/** One socket could say 30,000 in the five minutes for which they are known again, and a person has 50 sockets. */
test('K10 messages that are known again by their key are bounded, and the newest stay', () => {
  const channel = new Channel('ins_1', 'room:1', 'memory')
  for (let i = 1; i <= channelLimits.keys + 500; i++) channel.remember(`user_1 ${i}`, said(i))
  expect(channel.keys.size).toBe(channelLimits.keys)
  expect([channel.keys.has('user_1 500'), channel.keys.has('user_1 501')]).toEqual([false, true])

  // Of many channels together: the one that remembers little loses nothing to those that remember much.
  const small = new Channel('ins_1', 'room:2', 'none')
  for (let i = 1; i <= 10; i++) small.remember(`user_2 ${i}`, said(i))
  const all = [channel, small, new Channel('ins_1', 'room:3', 'none')]
  shareKeys(all, channelLimits.keys + 10)
  expect(all.map(({ keys }) => keys.size)).toEqual([channelLimits.keys, 10, 0])
  shareKeys(all, 100)
  expect(all.map(({ keys }) => keys.size)).toEqual([50, 10, 0])
  expect(channel.keys.has(`user_1 ${channelLimits.keys + 500}`)).toBe(true)
})
