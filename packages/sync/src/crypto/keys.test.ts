import { describe, expect, test } from 'bun:test'
import { pbkdf2Sync } from 'node:crypto'
import { Aes128Gcm, CipherSuite, DhkemP256HkdfSha256, HkdfSha256 } from '@hpke/core'
import { argon2id } from '@noble/hashes/argon2.js'
import { fromHex, toHex, utf8 } from './bytes.ts'
import {
  checkOf,
  createReceiver,
  createSender,
  decodeKeyParameters,
  deriveKey,
  encodeKeyParameters,
  exportPrivateKey,
  formatRecoveryCode,
  generateKeyPair,
  importPrivateKey,
  type KeyParameters,
  type LinkPayload,
  linkKeys,
  linkText,
  linkUrl,
  newKeyParameters,
  newRecoverySecret,
  newRoomSecret,
  openBytes,
  openFrom,
  parseLink,
  parseRecoveryCode,
  passphraseKeys,
  qrSvg,
  roomKey,
  sealBytes,
  sealTo,
  stretch,
  unwrapKey,
  wrapKey,
} from './index.ts'

const now = Date.UTC(2026, 10, 21, 12)
const salt = fromHex('000102030405060708090a0b0c0d0e0f')

describe('derivations', () => {
  test('Argon2id computes what RFC 9106 §5.3 says', () => {
    const tag = argon2id(new Uint8Array(32).fill(1), new Uint8Array(16).fill(2), {
      m: 32,
      t: 3,
      p: 4,
      dkLen: 32,
      key: new Uint8Array(8).fill(3),
      personalization: new Uint8Array(12).fill(4),
    })
    expect(toHex(tag)).toBe('0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659')
  })

  test('a password becomes a root, and the root one key a purpose', async () => {
    const root = await stretch('correct horse battery staple', {
      kdf: 'argon2id',
      memoryKiB: 19_456,
      passes: 2,
      lanes: 1,
      salt,
    })
    expect(toHex(root)).toBe('818259b6310026a8e0dbac5d2e6927abcfdb07b32258fac4f61b18b80f929085')
    expect(toHex(await deriveKey(root, 'usher/kek/v1'))).toBe(
      'c4b2cb58706dc4726fa3d367a2064316f861c3ab427db94bf751152410ec8f0c',
    )
    expect(toHex(await deriveKey(root, 'usher/auth/v1'))).toBe(
      '9a1be5ba1894cac0a42319d7763e0a93c1c64a8a0dfeb9c6aef960d3f86c1bf4',
    )
  })

  test('PBKDF2 is what another implementation computes, and only on request', async () => {
    const parameters: KeyParameters = { kdf: 'pbkdf2', iterations: 600_000, salt }
    const expected = pbkdf2Sync('pässword', salt, 600_000, 32, 'sha256').toString('hex')
    // The same letter as two characters: NFKC makes one of them.
    expect(toHex(await stretch('pa\u0308ssword', parameters))).toBe(expected)
    expect(newKeyParameters()).toMatchObject({ kdf: 'argon2id', memoryKiB: 65_536, passes: 3, lanes: 1 })
    expect(newKeyParameters('light')).toMatchObject({ kdf: 'argon2id', memoryKiB: 19_456, passes: 2 })
  })

  test('L5 parameters that would weaken or hang a client are refused, whoever sends them', async () => {
    const fine = { kdf: 'argon2id', memoryKiB: 65_536, passes: 3, lanes: 1, salt } as const
    expect(decodeKeyParameters(encodeKeyParameters(fine))).toEqual(fine)
    const refused: KeyParameters[] = [
      { ...fine, memoryKiB: 8 },
      { ...fine, memoryKiB: 19_455 },
      { ...fine, memoryKiB: 4_194_304 },
      { ...fine, passes: 1 },
      { ...fine, passes: 255 },
      { ...fine, lanes: 0 },
      { ...fine, lanes: 200 },
      { ...fine, salt: new Uint8Array(8) },
      { kdf: 'pbkdf2', iterations: 1000, salt },
      { kdf: 'pbkdf2', iterations: 4_000_000_000, salt },
    ]
    for (const parameters of refused) {
      const began = performance.now()
      await expect(stretch('password', parameters)).rejects.toMatchObject({ code: 'weak_parameters' })
      expect(performance.now() - began).toBeLessThan(50)
      const bytes = encodeKeyParameters(parameters)
      expect(() => decodeKeyParameters(bytes)).toThrow()
    }
  })
})

describe('wraps', () => {
  test('AES-KW computes what RFC 3394 §4.6 says', async () => {
    const wrapping = fromHex('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f')
    const key = fromHex('00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f')
    const wrapped = await wrapKey(wrapping, key)
    expect(toHex(wrapped)).toBe('28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21')
    expect(await unwrapKey(wrapping, wrapped)).toEqual(key)
    wrapped[0] = (wrapped[0] as number) ^ 1
    await expect(unwrapKey(wrapping, wrapped)).rejects.toMatchObject({ code: 'authentication' })
  })

  test('HPKE opens what RFC 9180 A.3.1 says', async () => {
    const suite = new CipherSuite({ kem: new DhkemP256HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes128Gcm() })
    const privateKey = await suite.kem.deserializePrivateKey(
      fromHex('f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2'),
    )
    const recipient = await suite.createRecipientContext({
      recipientKey: privateKey,
      enc: fromHex(
        '04a92719c6195d5085104f469a8b9814d5838ff72b60501e2c4466e5e67b325ac98536d7b61a1af4b78e5b7f951c0900be863c403ce65c9bfcb9382657222d18c4',
      ),
      info: fromHex('4f6465206f6e2061204772656369616e2055726e'),
    })
    const opened = await recipient.open(
      fromHex('5ad590bb8baa577f8619db35a36311226a896e7342a6d836d8b7bcd2f20b6c7f9076ac232e3ab2523f39513434'),
      fromHex('436f756e742d30'),
    )
    expect(toHex(new Uint8Array(opened))).toBe('4265617574792069732074727574682c20747275746820626561757479')
  })

  test('what is sealed to one person opens for nobody else and for nothing else', async () => {
    const [ada, bob] = await Promise.all([generateKeyPair(), generateKeyPair()])
    const sealed = await sealTo(ada.publicKey, utf8('key'), utf8('doc-1'))
    expect(sealed.length).toBe(65 + 3 + 16)
    expect(await openFrom(ada, sealed, utf8('doc-1'))).toEqual(utf8('key'))
    await expect(openFrom(bob, sealed, utf8('doc-1'))).rejects.toMatchObject({ code: 'authentication' })
    await expect(openFrom(ada, sealed, utf8('doc-2'))).rejects.toMatchObject({ code: 'authentication' })
    await expect(sealTo(new Uint8Array(65), utf8('key'), utf8(''))).rejects.toMatchObject({ code: 'malformed' })
    await expect(crypto.subtle.exportKey('pkcs8', ada.privateKey)).rejects.toThrow()
  })

  test('private keys open whether or not they can be exported, every time', async () => {
    for (let i = 0; i < 20; i++) {
      const made = await generateKeyPair({ extractable: true })
      const imported = await importPrivateKey(await exportPrivateKey(made.privateKey))
      const sealed = await sealTo(made.publicKey, utf8('key'), utf8(''))
      for (const privateKey of [made.privateKey, imported])
        expect(await openFrom({ ...made, privateKey }, sealed, utf8(''))).toEqual(utf8('key'))
    }
  })

  test('sealed records are bound to what they are', async () => {
    const key = newRoomSecret()
    const sealed = await sealBytes(key, utf8('record'), utf8('a'))
    expect(await openBytes(key, sealed, utf8('a'))).toEqual(utf8('record'))
    await expect(openBytes(key, sealed, utf8('b'))).rejects.toMatchObject({ code: 'authentication' })
  })
})

describe('recovery codes', () => {
  test('survive being read aloud, and tell when they were mistyped', () => {
    for (let i = 0; i < 200; i++) {
      const secret = newRecoverySecret()
      const code = formatRecoveryCode(secret)
      expect(code).toMatch(/^([0-9A-HJKMNP-TV-Z]{4}-){8}[0-9A-HJKMNP-TV-Z]{4}$/)
      expect(parseRecoveryCode(code)).toEqual(secret)
      const typed = code
        .toLowerCase()
        .replaceAll('-', i % 2 ? ' ' : '')
        .replaceAll('0', 'o')
        .replaceAll('1', 'l')
      expect(parseRecoveryCode(typed)).toEqual(secret)
      const at = i % 35
      const digits = code.replaceAll('-', '')
      const wrong = digits.slice(0, at) + (digits[at] === '7' ? '8' : '7') + digits.slice(at + 1)
      expect(() => parseRecoveryCode(wrong)).toThrow(expect.objectContaining({ code: 'wrong_code' }))
    }
    for (const text of ['', 'x', 'U'.repeat(36), '0'.repeat(35)])
      expect(() => parseRecoveryCode(text)).toThrow(expect.objectContaining({ code: 'wrong_code' }))
  })
})

describe('links and QR codes', () => {
  const place = { epoch: 0, url: 'wss://usher.example.com/sync', room: 'my-döc' }

  test('carry each kind there and back, in a code and in an address', async () => {
    const payloads: LinkPayload[] = [
      { ...place, kind: 'secret', secret: newRoomSecret(), check: new Uint8Array(4), expiresAt: undefined },
      { ...place, kind: 'passphrase', parameters: newKeyParameters(), expiresAt: now + 3_600_000 },
      {
        ...place,
        kind: 'device',
        publicKey: (await generateKeyPair()).publicKey,
        pairingId: crypto.getRandomValues(new Uint8Array(16)),
        expiresAt: now + 600_000,
      },
      { ...place, kind: 'recovery', secret: newRecoverySecret(), expiresAt: undefined, epoch: 7 },
    ]
    for (const payload of payloads) {
      expect(parseLink(linkText(payload), now)).toEqual(payload)
      const url = linkUrl('https://app.example.com/open?a=1', payload)
      expect(new URL(url).search).toBe('?a=1')
      expect(parseLink(url, now)).toEqual(payload)
    }
  })

  test('refuse what was cut, prolonged, altered or made by another version', async () => {
    const secret = newRoomSecret()
    const check = await checkOf(await roomKey(secret), place.room)
    const text = linkText({ ...place, kind: 'secret', secret, check })
    await linkKeys(text, now)
    const bytes = Buffer.from(text.slice(8), 'base64url')
    const again = (changed: Uint8Array) => `usher:1:${Buffer.from(changed).toString('base64url')}`
    for (let length = 0; length < bytes.length; length++)
      expect(() => parseLink(again(bytes.subarray(0, length)), now)).toThrow()
    expect(() => parseLink(again(Buffer.concat([bytes, Buffer.from([0])])), now)).toThrow()
    for (const [at, value] of [
      [0, 2],
      [1, 9],
      [2, 1],
    ] as const) {
      const changed = Uint8Array.from(bytes)
      changed[at] = value
      expect(() => parseLink(again(changed), now)).toThrow(expect.objectContaining({ code: 'malformed' }))
    }
    const altered = Uint8Array.from(bytes)
    altered[20] = (altered[20] as number) ^ 1
    await expect(linkKeys(again(altered), now)).rejects.toMatchObject({ code: 'wrong_secret' })
    for (const text of ['', 'https://app.example.com/', 'https://app.example.com/#k=', 'usher:1:***', 'usher:2:AAAA'])
      expect(() => parseLink(text, now)).toThrow(expect.objectContaining({ code: 'malformed' }))
  })

  test('end when they say', async () => {
    const text = linkText({ ...place, kind: 'recovery', secret: newRecoverySecret(), expiresAt: now + 60_000 })
    expect(parseLink(text, now).kind).toBe('recovery')
    expect(() => parseLink(text, now + 60_000)).toThrow(expect.objectContaining({ code: 'expired' }))
  })

  test('two devices share a room through the code that one of them shows', async () => {
    const secret = newRoomSecret()
    const key = await roomKey(secret)
    const payload: LinkPayload = { ...place, kind: 'secret', secret, check: await checkOf(key, place.room) }
    const svg = qrSvg(linkText(payload))
    expect(svg).toStartWith('<svg')
    const { keys } = await linkKeys(linkText(payload), now)
    const sent = await createSender({ ...(await keys.current()), room: place.room }).seal(1, utf8('hello'))
    const opened = await createReceiver({ keys: { get: async () => key }, room: place.room }).open(sent)
    expect(opened.plaintext).toEqual(utf8('hello'))
  })
})

describe('passphrases', () => {
  test('the first who comes chooses the parameters, everybody else takes them', async () => {
    const options = { room: 'my-doc', cost: 'light' } as const
    const first = passphraseKeys('correct horse', options)
    const second = passphraseKeys('correct horse', options)
    const [proposal, other] = await Promise.all([first.parameters(undefined), second.parameters(undefined)])
    expect(proposal).not.toEqual(other)
    // The room kept the first one's; the second one is told.
    expect(await second.parameters(proposal)).toBeUndefined()
    expect(await first.parameters(proposal)).toBeUndefined()
    expect(await second.current()).toEqual(await first.current())
    expect(await second.get(1)).toBeUndefined()
  })

  test('a wrong one is told at once, and so is a server that weakens the parameters', async () => {
    const options = { room: 'my-doc', cost: 'light' } as const
    const stored = (await passphraseKeys('correct horse', options).parameters(undefined)) as Uint8Array
    const wrong = passphraseKeys('battery staple', options)
    await expect(wrong.parameters(stored)).rejects.toMatchObject({ code: 'wrong_secret' })
    await expect(wrong.current()).rejects.toMatchObject({ code: 'wrong_secret' })
    await expect(passphraseKeys('correct horse', { room: 'other' }).parameters(stored)).rejects.toMatchObject({
      code: 'wrong_secret',
    })
    const weak = stored.slice()
    weak.set([0, 0, 0, 8], 2)
    await expect(passphraseKeys('correct horse', options).parameters(weak)).rejects.toMatchObject({
      code: 'weak_parameters',
    })
  })
})
