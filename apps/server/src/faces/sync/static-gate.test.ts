import { expect, test } from 'bun:test'
import type { Offer } from './credentials.ts'
import { staticGate } from './static-gate.ts'

const tokens = ['the-first-shared-secret', 'the-second-shared-secret']
const offer = (token: string | undefined, ip: string): Offer => ({
  docId: 'doc',
  token,
  via: 'query',
  subprotocol: '',
  origin: undefined,
  host: '',
  ip,
})

test('K8 a hundred thousand guesses from one network are five, and nobody else notices', async () => {
  const { gate } = staticGate({ tokens, wrongTokensPerMinute: 5 })
  const start = performance.now()
  const answers = { guessed: 0, refused: 0 }
  for (let i = 0; i < 100_000; i++) {
    // All of an IPv6 customer's addresses are one.
    const answer = await gate(offer(`guess-${i}`, `2001:db8:1:2:${(i % 65_536).toString(16)}::1`))
    expect(answer.admitted).toBe(false)
    if ('status' in answer && answer.status === 429) answers.refused++
    else answers.guessed++
  }
  expect(answers.guessed).toBeLessThanOrEqual(5 + Math.ceil((performance.now() - start) / 12_000))
  expect(await gate(offer(tokens[0], '2001:db8:1:2::9'))).toMatchObject({ status: 429 })
  expect(await gate(offer(tokens[0], '2001:db8:1:3::9'))).toMatchObject({ admitted: true, access: 'write' })
  expect(await gate(offer(tokens[1], '192.0.2.1'))).toMatchObject({ admitted: true })
  for (const near of ['', tokens[0]?.slice(0, -1), `${tokens[0]} `, tokens.join(','), tokens[0]?.toUpperCase()])
    expect([near, (await gate(offer(near, '192.0.2.2'))).admitted]).toEqual([near, false])
})
