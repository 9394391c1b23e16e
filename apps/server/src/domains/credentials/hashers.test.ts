import { expect, test } from 'bun:test'
import { availableParallelism } from 'node:os'
import { hash } from '@node-rs/argon2'
import { eq } from 'drizzle-orm'
import { transaction } from '../../database/index.ts'
import { testInstance } from '../../testing/server.ts'
import { createUser } from '../users/index.ts'
import { hashCost, useHashCost } from './hash-cost.ts'
import { checkDigest, fitsDigest, hasherNames } from './hashers.ts'
import {
  findPassword,
  fitsPassword,
  type StoredPassword,
  setImportedPassword,
  setPassword,
  verifyPassword,
} from './index.ts'
import { passwords } from './tables.ts'

/**
 * Digests that other programs made: published vectors where there are some, else Python's hashlib and passlib's
 * algorithms written out. The password is the first entry.
 */
const vectors: Record<string, [password: string, digest: string][]> = {
  argon2i: [['password', '$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA']],
  argon2id: [['password', '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc']],
  bcrypt: [['U*U', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW']],
  ldap_ssha: [['correct horse battery staplé', '{SSHA}tKSIeTi3lBrsyaLeEVWK7fvDiaBsZGFwc2FsdA==']],
  md5: [
    ['correct horse battery staplé', '5a8ade9387aba4c3f0a3f636b98f68cf'],
    ['password', '5f4dcc3b5aa765d61d8327deb882cf99'],
  ],
  md5_phpass: [['correct horse battery staplé', '$P$BabcdefghfCaA5rfvLLMIqOKmkCdpE.']],
  md5_salted: [
    ['correct horse battery staplé', 'NaCl42$fc2e9fd58d26e675d17057309c99a519'],
    ['correct horse battery staplé', 'NaCl42$51907d0d4e06db2493b08af09958522f'],
  ],
  pbkdf2_sha1: [
    [
      'correct horse battery staplé',
      'pbkdf2_sha1$1000$000102030405060708090a0b0c0d0e0f$92760e34a27c6932204f4f46cb42b2bbef331201f16b3ba73977b2d9f943deed',
    ],
    ['correct horse battery staplé', 'pbkdf2_sha1$1000$rawsalt!$2660285608f2849e2351ec144b90a4d1e2ada8ac$20'],
  ],
  pbkdf2_sha256: [
    [
      'correct horse battery staplé',
      'pbkdf2_sha256$1000$AAECAwQFBgcICQoLDA0ODw==$Upg2anKCFEIY3FClpIhK4yOb58dmMNeU5KjH1B9rLq4=',
    ],
  ],
  pbkdf2_sha256_django: [
    ['correct horse battery staplé', 'pbkdf2_sha256$1000$djangosalt$aaMUcP70Jcfvp9swn+tCMmI725LvKoJFURJi+pNSeYo='],
  ],
  pbkdf2_sha512: [
    [
      'correct horse battery staplé',
      'pbkdf2_sha512$1000$plainsalt$c934ba502c425636e0e99b52e6a2b779ca69a272ce1af326feae4595b228827a17e3961410761ff220d08a97f4ba410482084841b6df2cf1acd39a53a0424fe9',
    ],
  ],
  pbkdf2_sha512_hex: [
    [
      'correct horse battery staplé',
      'pbkdf2_sha512_hex$1000$000102030405060708090a0b0c0d0e0f$ce263808df0caa24ec681f1f9d96a7d3ae0fac051705dc943855cb3952f4442662d06c52bd663178bdac786a84438f7b3df4f30d4a365442b2da0dab2626df79',
    ],
  ],
  phpass: [
    ['correct horse battery staplé', '$P$BabcdefghvAq3r/BODHsxS/Xl/zj500'],
    ['test12345', '$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0'],
  ],
  scrypt_firebase: [
    [
      'user1password',
      'lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==$42xEC+ixf3L2lw==$jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==$Bw==$8$14',
    ],
  ],
  scrypt_werkzeug: [
    [
      'correct horse battery staplé',
      'scrypt:16384:8:1$wzsalt$b6aff60b60128332246bd17553b9f63517723cd6bd5d6208631100ebf4e7d3c78ec2d86a330e678bfbba06807f5291afbc7f0ba746d54beec5c2bb9a59e23a45',
    ],
  ],
  sha256: [['correct horse battery staplé', 'f69999e837a7e95c3f3e81b8c2b85fa082fbaa1c90779b6d1f1d9ebacaaf4a5c']],
  sha256_salted: [
    ['correct horse battery staplé', 'NaCl42$a9ca5af70d8509d97e080ec186fcc291b0e6328fc7d3bad93c174fc06d84d854'],
    ['correct horse battery staplé', 'NaCl42$85a26bd13bbce5216336b30e47be40aed43579867e51b9bbab55e50f320e2c97'],
  ],
  sha512_symfony: [
    [
      'correct horse battery staplé',
      'sha512_symfony$5000$symsalt$Fo140E9iGwQNiJFRWQ/C9rag5Qo1xZDSpvy+GVJKVd9o4wspViC95rDrRwzULs7J1UwiLNdTsU+OYBIeKyzElQ==',
    ],
  ],
}

test('every hasher verifies what another program hashed, and nothing else', async () => {
  const made: typeof vectors = {
    ...vectors,
    bcrypt_sha256_django: [
      [
        'a long one',
        `bcrypt_sha256$${await Bun.password.hash(new Bun.CryptoHasher('sha256').update('a long one').digest('hex'), { algorithm: 'bcrypt', cost: 4 })}`,
      ],
    ],
    bcrypt_peppered: [
      ['peppered', `${await Bun.password.hash('pepperedwith pepper', { algorithm: 'bcrypt', cost: 4 })}$with pepper`],
    ],
  }
  expect(Object.keys(made).sort()).toEqual([...hasherNames].sort())
  for (const [hasher, cases] of Object.entries(made))
    for (const [password, digest] of cases) {
      checkDigest(hasher, digest)
      expect(`${hasher} ${fitsDigest(hasher, digest, password)}`).toBe(`${hasher} true`)
      expect(`${hasher} ${fitsDigest(hasher, digest, `${password}x`)}`).toBe(`${hasher} false`)
      expect(fitsDigest(hasher, digest, '')).toBe(false)
    }
})

test('A7 a password longer than bcrypt reads fits none of its hashes', async () => {
  const long = 'x'.repeat(80)
  const digest = await Bun.password.hash(long.slice(0, 72), { algorithm: 'bcrypt', cost: 4 })
  expect(fitsDigest('bcrypt', digest, long.slice(0, 72))).toBe(true)
  expect(fitsDigest('bcrypt', digest, long)).toBe(false)
  expect(fitsDigest('bcrypt', digest, `${long.slice(0, 72)}y`)).toBe(false)
  // What follows a zero byte is not read everywhere.
  expect(fitsDigest('bcrypt', await Bun.password.hash('short', { algorithm: 'bcrypt', cost: 4 }), 'short\0short')).toBe(
    false,
  )
  // The pepper may push the password beyond what is read.
  expect(fitsDigest('bcrypt_peppered', `${digest}$pepper`, 'x'.repeat(72))).toBe(false)
})

test('A7 our own hash reads the whole of a password', async () => {
  const { ctx } = await testInstance()
  const { id: userId } = await createUser(ctx(), {})
  const password = 'é'.repeat(40) + 'x'.repeat(32)
  await setPassword(ctx(), { userId, password })
  expect(await verifyPassword(ctx(), { userId, password })).toBe(true)
  expect(await verifyPassword(ctx(), { userId, password: password.slice(0, 71) })).toBe(false)
  expect(await verifyPassword(ctx(), { userId, password: `${password.slice(0, 71)}y` })).toBe(false)
})

test('digests that are none, or that would cost too much, are refused before they are stored', async () => {
  const bad: [string, string][] = [
    ['bcrypt', '$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'],
    ['bcrypt', '$2b$05$short'],
    ['argon2id', '$argon2id$v=19$m=99999999,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc'],
    ['argon2i', '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc'],
    ['argon2id', '$argon2id$v=19$m=8,t=2,p=4$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc'],
    ['argon2id', '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQxx$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc'],
    ['pbkdf2_sha256', 'pbkdf2_sha256$2147483647$AAAA$AAAAAAAAAAA='],
    ['pbkdf2_sha1', 'pbkdf2_sha1$1000$salt$not hex at all'],
    ['scrypt_werkzeug', `scrypt:1073741824:8:1$salt$${'ab'.repeat(64)}`],
    ['scrypt_firebase', 'AAAA$AAAA$AAAA$Bw==$8$31'],
    ['phpass', '$P$zabcdefghabcdefghijklmnopqrstuv'],
    ['md5', 'not a hash'],
    ['sha256_salted', 'no-dollar'],
    ['ldap_ssha', '{SSHA}AAAA'],
  ]
  for (const [hasher, digest] of bad)
    expect(() => checkDigest(hasher, digest)).toThrow(expect.objectContaining({ code: 'password_digest_invalid' }))
  for (const hasher of ['awscognito', 'rot13', '__proto__', 'constructor', ''])
    expect(() => checkDigest(hasher, 'x')).toThrow(expect.objectContaining({ code: 'form_param_value_invalid' }))
})

test('an imported hash becomes our own at the first right sign-in, and a password chosen meanwhile stays', async () => {
  const { ctx } = await testInstance()
  const { id: userId } = await createUser(ctx(), {})
  const stored = async () => {
    const [row] = await transaction(ctx(), (tx) => tx.db.select().from(passwords).where(eq(passwords.userId, userId)))
    return row
  }
  const digest = '5f4dcc3b5aa765d61d8327deb882cf99'
  await setImportedPassword(ctx(), { userId, hasher: 'md5', digest })
  expect(await verifyPassword(ctx(), { userId, password: 'wrong' })).toBe(false)
  expect(await stored()).toMatchObject({ hasher: 'md5', hash: digest })
  const all = await Promise.all(
    Array.from({ length: 5 }, () => verifyPassword(ctx(), { userId, password: 'password' })),
  )
  expect(all).toEqual(Array(5).fill(true))
  expect((await stored())?.hasher).toBe('argon2id')
  expect(await verifyPassword(ctx(), { userId, password: 'password' })).toBe(true)

  // Argon2id with less work than ours is done again; as much or more is kept.
  const weak = await hash('password', { algorithm: 2, memoryCost: 4096, timeCost: 1 })
  await setImportedPassword(ctx(), { userId, hasher: 'argon2id', digest: weak })
  await verifyPassword(ctx(), { userId, password: 'password' })
  expect((await stored())?.hash).not.toBe(weak)
  const strong = (await stored())?.hash
  await verifyPassword(ctx(), { userId, password: 'password' })
  expect((await stored())?.hash).toBe(strong)

  await setImportedPassword(ctx(), { userId, hasher: 'md5', digest })
  const signingIn = verifyPassword(ctx(), { userId, password: 'password' })
  await setPassword(ctx(), { userId, password: 'a new passphrase of hers' })
  await signingIn
  expect(await verifyPassword(ctx(), { userId, password: 'a new passphrase of hers' })).toBe(true)
})

test('where hashes cost more than they did, an older one is upgraded, and answers take as long as a stranger’s', async () => {
  const { ctx } = await testInstance()
  const { id: userId } = await createUser(ctx(), {})
  const stored = async () => (await transaction(ctx(), (tx) => findPassword(tx, userId))) as StoredPassword
  const own = 'a passphrase of hers'
  await setPassword(ctx(), { userId, password: own })
  const before = hashCost()
  const older = await stored()
  expect(older.hash).toStartWith(`$argon2id$v=19$m=${before.memoryKiB},t=${before.passes},p=1$`)
  useHashCost({ memoryKiB: 65_536, passes: 3 })
  try {
    const md5 = { ...older, hasher: 'md5', hash: '5f4dcc3b5aa765d61d8327deb882cf99' }
    const cases = {
      stranger: [undefined, 'wrong'],
      wrong: [older, 'wrong'],
      right: [older, own],
      md5: [md5, 'x'],
    } as const
    const times = { stranger: [], wrong: [], right: [], md5: [] } as Record<keyof typeof cases, number[]>
    for (let round = 0; round < 8; round += 1) {
      for (const [name, [known, typed]] of Object.entries(cases)) {
        const startedAt = performance.now()
        expect(await fitsPassword(known, typed)).toBe(name === 'right')
        times[name as keyof typeof cases].push(performance.now() - startedAt)
      }
    }
    const stranger = Math.min(...times.stranger)
    for (const each of [times.wrong, times.right, times.md5]) {
      expect(Math.min(...each)).toBeGreaterThan(stranger * 0.75)
      expect(Math.min(...each)).toBeLessThan(stranger * 1.25)
    }
    expect(await verifyPassword(ctx(), { userId, password: 'wrong' })).toBe(false)
    expect(await stored()).toEqual(older)
    expect(await verifyPassword(ctx(), { userId, password: own })).toBe(true)
    const upgraded = await stored()
    expect(upgraded.hash).toStartWith('$argon2id$v=19$m=65536,t=3,p=1$')
    // As much work or more is kept, however it is made up.
    for (const cost of [before, { memoryKiB: 98_304, passes: 2 }, { memoryKiB: 19_456, passes: 10 }]) {
      useHashCost(cost)
      expect(await verifyPassword(ctx(), { userId, password: own })).toBe(true)
      expect(await stored()).toEqual(upgraded)
    }
  } finally {
    useHashCost(before)
  }
})

test('hashes of other systems are verified beside everything else, and ours do not wait for all of them', async () => {
  const { ctx } = await testInstance()
  const imported = await createUser(ctx(), {})
  const own = await createUser(ctx(), {})
  await setPassword(ctx(), { userId: own.id, password: 'a passphrase of hers' })
  const digest = `100000$salt$${'A'.repeat(86)}==`
  await setImportedPassword(ctx(), { userId: imported.id, hasher: 'sha512_symfony', digest })
  const order: string[] = []
  let last = performance.now()
  let longestGapMs = 0
  const watch = setInterval(() => {
    longestGapMs = Math.max(longestGapMs, performance.now() - last)
    last = performance.now()
  }, 1)
  const startedAt = last
  const slow = Array.from({ length: 8 }, async () => {
    expect(await verifyPassword(ctx(), { userId: imported.id, password: 'wrong' })).toBe(false)
    order.push('imported')
  })
  await Bun.sleep(20)
  const quick = verifyPassword(ctx(), { userId: own.id, password: 'a passphrase of hers' }).then((fits) => {
    order.push(`own ${fits}`)
  })
  await Promise.all([...slow, quick])
  clearInterval(watch)
  expect(longestGapMs).toBeLessThan((performance.now() - startedAt) / 4)
  if (availableParallelism() > 1) expect(order.indexOf('own true')).toBeLessThan(4)
})
