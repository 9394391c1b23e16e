import { describe, expect, test } from 'bun:test'
import { createDecipheriv, hkdfSync } from 'node:crypto'
import { concat, fromHex, toHex, utf8 } from './bytes.ts'
import {
  createReceiver,
  createSender,
  decodeContent,
  encodeContent,
  envelopeFlag,
  envelopeKind,
  extendChain,
  fixedDocumentKey,
  paddedLength,
  parseEnvelope,
  sessionLimits,
  startChain,
} from './index.ts'
import { deriveSessionKey, importDocumentKey } from './session-key.ts'

const key = fromHex('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f')
const room = 'my-doc'
const keys = fixedDocumentKey(key, 1)
const sender = (options: Partial<Parameters<typeof createSender>[0]> = {}) =>
  createSender({ key, epoch: 1, room, ...options })
const receiver = (options: Partial<Parameters<typeof createReceiver>[0]> = {}) =>
  createReceiver({ keys, room, ...options })

const vector = {
  sessionId: fromHex('a0a1a2a3a4a5a6a7a8a9aaabacadaeaf'),
  commitment: 'eb06f0f0e61423e45ea126d973632846',
  first: fromHex(
    `5531010100000001a0a1a2a3a4a5a6a7a8a9aaabacadaeaf0000000000000000${'eb06f0f0e61423e45ea126d973632846'}b9a7232942aae1e5f844cc76d639e87044254b3965`,
  ),
  second: fromHex('5531010000000001a0a1a2a3a4a5a6a7a8a9aaabacadaeaf0000000000000001a0781a12ea33f701112c8f3193c918fc'),
}

describe('the worked vector', () => {
  test('derives the session’s key and commitment', async () => {
    const derived = await deriveSessionKey(await importDocumentKey(key), {
      sessionId: vector.sessionId,
      room,
      epoch: 1,
    })
    expect(toHex(derived.commitment)).toBe(vector.commitment)
    const okm = Buffer.from(
      hkdfSync(
        'sha256',
        key,
        vector.sessionId,
        fromHex('75736865722f653265652f76312f6672616d650000066d792d646f6300000001'),
        48,
      ),
    )
    expect(okm.toString('hex')).toBe(
      'dd650f0dc568adaeba11e1740334c9462aef2d3dfcd6be5e99d0dd731e4e6ea4eb06f0f0e61423e45ea126d973632846',
    )
  })

  test('opens both envelopes, in their order only', async () => {
    const { open } = receiver()
    const [first, second] = await Promise.all([open(vector.first), open(vector.second)])
    expect(first).toMatchObject({ kind: 1, epoch: 1, counter: 0, missing: 0, plaintext: utf8('hello') })
    expect(second).toMatchObject({ kind: 1, counter: 1, missing: 0, plaintext: new Uint8Array() })
    await expect(receiver().open(vector.second)).rejects.toMatchObject({ code: 'commitment' })
  })

  test('computes the chain over frames', async () => {
    const start = startChain(room)
    expect(toHex(start)).toBe('867996b6e47e2140799725d7a2b6fca8b117ac491d6e53979d7af2d3924a4153')
    const [first] = await extendChain(start, 1, [fromHex('010203')])
    expect(toHex(first as Uint8Array)).toBe('09465ccf71e57c66444c2d3206a628d60876cf7c30017fc8ebe310580af7de68')
    const three = await extendChain(start, 1, [fromHex('010203'), new Uint8Array(20_000), fromHex('')])
    const again = await extendChain(three[0] as Uint8Array, 2, [new Uint8Array(20_000), fromHex('')])
    expect(three.slice(1)).toEqual(again)
    const swapped = await extendChain(three[0] as Uint8Array, 2, [fromHex(''), new Uint8Array(20_000)])
    expect(swapped[1]).not.toEqual(again[1] as Uint8Array)
  })
})

describe('sealing', () => {
  test('gives what another implementation opens', async () => {
    const mine = sender({ commitment: 'first' })
    for (const [counter, text] of ['hello', '', 'x'.repeat(70_000)].entries()) {
      const envelope = await mine.seal(envelopeKind.update, utf8(text))
      expect(envelope.length).toBe(48 + text.length + (counter === 0 ? 16 : 0))
      const { sessionId, ciphertext, header, commitment } = parseEnvelope(envelope)
      expect(sessionId).toEqual(mine.sessionId)
      const info = Buffer.concat([Buffer.from('usher/e2ee/v1/frame\0\0\x06my-doc'), Buffer.from([0, 0, 0, 1])])
      const okm = Buffer.from(hkdfSync('sha256', key, sessionId, info, 48))
      const nonce = Buffer.alloc(12)
      nonce.writeUInt32BE(counter, 8)
      const decipher = createDecipheriv('aes-256-gcm', okm.subarray(0, 32), nonce)
      decipher.setAAD(concat(header, fromHex('0006'), utf8(room)))
      decipher.setAuthTag(ciphertext.subarray(-16))
      expect(Buffer.concat([decipher.update(ciphertext.subarray(0, -16)), decipher.final()]).toString()).toBe(text)
      if (counter === 0) expect(toHex(commitment as Uint8Array)).toBe(okm.subarray(32).toString('hex'))
      else expect(commitment).toBeUndefined()
    }
  })

  test('keeps the order of a thousand that are under way at once', async () => {
    const mine = sender()
    const theirs = receiver()
    const order: number[] = []
    const seals = Array.from({ length: 1000 }, (_, i) =>
      // Large ones take longer than those behind them.
      mine.seal(envelopeKind.update, utf8(`${i}:${'x'.repeat(i % 7 === 0 ? 100_000 : 10)}`)).then((envelope) => {
        order.push(i)
        return theirs.open(envelope)
      }),
    )
    const opened = await Promise.all(seals)
    expect(order).toEqual(Array.from({ length: 1000 }, (_, i) => i))
    expect(opened.every(({ counter, missing }, i) => counter === i && missing === 0)).toBe(true)
    expect(opened.every(({ plaintext }, i) => Number.parseInt(Buffer.from(plaintext).toString(), 10) === i)).toBe(true)
  })

  test('takes the bytes at the moment of the call', async () => {
    const bytes = utf8('before')
    const sealed = sender().seal(envelopeKind.update, bytes)
    bytes.fill(0)
    expect((await receiver().open(await sealed)).plaintext).toEqual(utf8('before'))
  })

  test('E-6 pads to few lengths and gives back what was padded', async () => {
    for (const [length, padded] of [
      [1, 1],
      [9, 10],
      [100, 104],
      [1000, 1024],
      [1_000_000, 1_015_808],
    ] as const)
      expect(paddedLength(length)).toBe(padded)
    for (let length = 64; length < 5000; length++) expect(paddedLength(length) / length).toBeLessThan(1.12)
    const mine = sender()
    const theirs = receiver()
    for (const text of ['', '\0\0', 'abc', 'x'.repeat(999), 'x'.repeat(1000)]) {
      const envelope = await mine.seal(envelopeKind.update, utf8(text), { flags: envelopeFlag.padded })
      expect(envelope.length).toBe(64 + paddedLength(text.length + 1))
      expect((await theirs.open(envelope)).plaintext).toEqual(utf8(text))
    }
  })

  test('E-5 signs for those who ask, and refuses what nobody known signed', async () => {
    const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify'])
    const algorithm = { name: 'ECDSA', hash: 'SHA-256' }
    const sign = async (message: Uint8Array) =>
      new Uint8Array(await crypto.subtle.sign(algorithm, pair.privateKey, new Uint8Array(message)))
    const verify = async (message: Uint8Array, signature: Uint8Array) =>
      (await crypto.subtle.verify(algorithm, pair.publicKey, new Uint8Array(signature), new Uint8Array(message)))
        ? 'ada'
        : undefined
    const mustBeSigned = (kind: number) => kind === envelopeKind.snapshot
    const mine = sender({ sign })
    const signed = await mine.seal(envelopeKind.snapshot, utf8('all'), { flags: envelopeFlag.signature })
    expect(signed.length).toBe(64 + 64 + 3)
    expect(await receiver({ verify, mustBeSigned }).open(signed)).toMatchObject({ signer: 'ada' })
    const bent = signed.slice()
    bent[bent.length - 1] = (bent.at(-1) as number) ^ 1
    await expect(receiver({ verify }).open(bent)).rejects.toMatchObject({ code: 'signature' })
    // Without keys to compare with, the content is still authentic to the room.
    expect(await receiver().open(signed)).toMatchObject({ signer: undefined, plaintext: utf8('all') })
    const unsigned = await mine.seal(envelopeKind.snapshot, utf8('all'))
    await expect(receiver({ verify, mustBeSigned }).open(unsigned)).rejects.toMatchObject({ code: 'signature' })
    await expect(
      sender().seal(envelopeKind.snapshot, utf8(''), { flags: envelopeFlag.signature }),
    ).rejects.toMatchObject({ code: 'signature' })
  })

  test('E-7 says inside what it is and what its author had seen', () => {
    const content = { type: 1, seq: 70_000_000_000, chain: startChain(room), data: utf8('update') }
    expect(decodeContent(encodeContent(content))).toEqual(content)
    expect(() => decodeContent(new Uint8Array(40))).toThrow(expect.objectContaining({ code: 'malformed' }))
  })
})

describe('E-2 nonces', () => {
  test('L2 no two of 20,000 sessions share an id, and no session repeats a counter', async () => {
    const ids = new Set<string>()
    for (let i = 0; i < 20_000; i++) ids.add(toHex(sender().sessionId))
    expect(ids.size).toBe(20_000)

    // Two tabs, offline and interleaved, under one document key.
    const tabs = [sender(), sender()]
    const writes = process.env.USHER_LONG_TESTS ? 1_000_000 : 10_000
    const positions = new Set<string>()
    for (let done = 0; done < writes; done += 1000) {
      const sealed = await Promise.all(
        Array.from({ length: 1000 }, (_, i) => tabs[i % 2]?.seal(envelopeKind.update, utf8('same text'))),
      )
      for (const envelope of sealed) positions.add(toHex((envelope as Uint8Array).subarray(8, 32)))
    }
    expect(positions.size).toBe(writes)
  })

  test('L2 a session that has sealed all it may says so, and says it again', async () => {
    expect(sessionLimits).toEqual({ frames: 16_777_216, bytes: 68_719_476_736 })
    const few = sender({ limits: { frames: 2 } })
    await few.seal(1, utf8('a'))
    expect(few.remaining).toBe(1)
    await few.seal(1, utf8('b'))
    for (let i = 0; i < 2; i++) await expect(few.seal(1, utf8('c'))).rejects.toMatchObject({ code: 'exhausted' })
    const small = sender({ limits: { bytes: 10 } })
    await small.seal(1, utf8('12345678'))
    await expect(small.seal(1, utf8('901'))).rejects.toMatchObject({ code: 'exhausted' })
    // No limit of a caller goes beyond the rule.
    expect(sender({ limits: { frames: 2 ** 40 } }).remaining).toBe(2 ** 24)
  })

  test('L2 the same text under the same key is never the same ciphertext', async () => {
    const [one, other] = [sender(), sender()]
    const sealed = await Promise.all([one.seal(1, utf8('a')), one.seal(1, utf8('a')), other.seal(1, utf8('a'))])
    expect(new Set(sealed.map((envelope) => toHex(parseEnvelope(envelope).ciphertext))).size).toBe(3)
  })
})

describe('opening refuses', () => {
  const seal = () => sender().seal(envelopeKind.update, utf8('secret'))

  test('E-3 another room, epoch, session or key', async () => {
    const envelope = await seal()
    await expect(receiver({ room: 'my-doc2' }).open(envelope)).rejects.toMatchObject({ code: 'commitment' })
    await expect(receiver({ keys: fixedDocumentKey(new Uint8Array(32), 1) }).open(envelope)).rejects.toMatchObject({
      code: 'commitment',
    })
    await expect(receiver({ keys: fixedDocumentKey(key, 2) }).open(envelope)).rejects.toMatchObject({
      code: 'unknown_key',
    })
    const otherEpoch = envelope.slice()
    otherEpoch[7] = 2
    await expect(receiver({ keys: fixedDocumentKey(key, 2) }).open(otherEpoch)).rejects.toMatchObject({
      code: 'commitment',
    })
    const otherSession = envelope.slice()
    otherSession[8] = (otherSession[8] as number) ^ 1
    await expect(receiver().open(otherSession)).rejects.toMatchObject({ code: 'commitment' })
  })

  test('every altered byte, and every shortening', async () => {
    const envelope = await seal()
    for (let at = 0; at < envelope.length; at++) {
      const altered = envelope.slice()
      altered[at] = (altered[at] as number) ^ 1
      await expect(receiver().open(altered)).rejects.toHaveProperty('code')
    }
    for (let length = 0; length < envelope.length; length++)
      await expect(receiver().open(envelope.subarray(0, length))).rejects.toHaveProperty('code')
  })

  test('E-4 another counter, what was opened before, and tells what is missing', async () => {
    const mine = sender()
    const sealed = await Promise.all([0, 1, 2, 3, 4].map((i) => mine.seal(1, utf8(`${i}`))))
    const [zero, one, two, three, four] = sealed as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array]
    const theirs = receiver()
    await theirs.open(zero)
    await expect(theirs.open(zero)).rejects.toMatchObject({ code: 'repeated' })
    const renumbered = one.slice()
    renumbered[31] = 9
    await expect(theirs.open(renumbered)).rejects.toMatchObject({ code: 'authentication' })
    // The forgery has not taken the place of the next one.
    expect(await theirs.open(one)).toMatchObject({ missing: 0 })
    expect(await theirs.open(three)).toMatchObject({ counter: 3, missing: 1 })
    await expect(theirs.open(two)).rejects.toMatchObject({ code: 'repeated' })
    expect(await theirs.open(four)).toMatchObject({ missing: 0 })
  })

  test('a failure among many, without touching the others', async () => {
    const mine = sender()
    const sealed = await Promise.all(Array.from({ length: 9 }, (_, i) => mine.seal(1, utf8(`${i}`))))
    const bent = (sealed[4] as Uint8Array).slice()
    bent[bent.length - 1] = (bent.at(-1) as number) ^ 1
    sealed[4] = bent
    const { open } = receiver()
    const results = await Promise.allSettled(sealed.map((envelope) => open(envelope)))
    expect(results.map(({ status }) => status === 'fulfilled')).toEqual([
      ...[true, true, true, true],
      false,
      ...[true, true, true, true],
    ])
  })

  test('looks once for a key that came since', async () => {
    let refreshes = 0
    let held: Uint8Array | undefined
    const late = {
      get: async () => held,
      refresh: async () => {
        refreshes++
        await Bun.sleep(5)
        held = key
      },
    }
    const mine = sender()
    const sealed = await Promise.all(Array.from({ length: 20 }, () => mine.seal(1, utf8('a'))))
    const { open } = receiver({ keys: late })
    await Promise.all(sealed.map((envelope) => open(envelope)))
    expect(refreshes).toBe(1)
  })
})
