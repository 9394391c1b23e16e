import { createCipheriv, createHash, pbkdf2Sync, scryptSync } from 'node:crypto'
import { verifySync } from '@node-rs/argon2'
import { UsherError } from '../../kernel/errors.ts'
import { equalSecrets } from '../../kernel/secrets.ts'
import { ceiling } from './hash-cost.ts'

/**
 * Password hashes that come from elsewhere, under the names that the server API gives them. Each says how its digests
 * look, and how to tell whether a password fits one. Costs are bounded: a digest is data from outside, and verifying it
 * must not be a way to keep this server busy. Verifying takes a thread for as long as it lasts: `hash-queue.ts` has some.
 */
type Hasher = {
  /** The parts of a digest, or nothing when it is none. */
  parse: (digest: string) => string[] | undefined
  verify: (password: string, parts: string[]) => boolean
  /** KiB that verifying takes, where it is much. */
  memory?: (parts: string[]) => number
}

const maxIterations = 2_000_000
const maxScryptKiB = 256 * 1024

const pattern = (expression: RegExp) => (digest: string) => digest.match(expression)?.slice(1)
const within = (value: string | undefined, max: number, min = 1) => Number(value) >= min && Number(value) <= max

const sameBytes = (a: Buffer, b: Buffer) => a.length > 0 && equalSecrets(a.toString('hex'), b.toString('hex'))
const digestOf = (algorithm: string, ...parts: (string | Buffer)[]) => {
  const hash = createHash(algorithm)
  for (const part of parts) hash.update(part)
  return hash.digest()
}
const isHex = (text: string) => text.length % 2 === 0 && /^[0-9a-f]+$/i.test(text)

function argon2(variant: string): Hasher {
  const read = pattern(
    new RegExp(
      `^\\$${variant}\\$v=(?:16|19)\\$m=(\\d+),t=(\\d+),p=(\\d+)\\$([A-Za-z0-9+/]{11,})\\$([A-Za-z0-9+/]{16,})$`,
    ),
  )
  return {
    parse: (digest) => {
      const parts = read(digest)
      const [memory, time, lanes, salt = '', hash = ''] = parts ?? []
      // RFC 9106 section 3.1: eight blocks a lane at least.
      const affordable =
        within(lanes, 16) && within(memory, ceiling.memoryKiB, 8 * Number(lanes)) && within(time, ceiling.passes)
      return parts && affordable && salt.length % 4 !== 1 && hash.length % 4 !== 1 ? [digest] : undefined
    },
    verify: (password, [digest = '']) => verifySync(digest, password),
    memory: ([digest = '']) => Number(read(digest)?.[0]),
  }
}

const bcryptPattern = '\\$2[abxy]?\\$(\\d\\d)\\$([./A-Za-z0-9]{53})'

/**
 * What bcrypt reads is 72 bytes; whatever follows makes no difference. A longer password would therefore be accepted
 * with any ending, so it is refused: its owner has to reset it. A zero byte ends what some implementations read.
 */
function fitsBcrypt(password: string, [cost = '', rest = '']: string[]): boolean {
  if (Buffer.byteLength(password) > 72 || password.includes('\0')) return false
  return Bun.password.verifySync(password, `$2b$${cost}$${rest}`, 'bcrypt')
}
const parseBcrypt = (expression: RegExp) => (digest: string) => {
  const parts = digest.match(expression)?.slice(1)
  return parts && within(parts[0], 16, 4) ? parts : undefined
}

const plain = (algorithm: string, hexLength: number): Hasher => ({
  parse: pattern(new RegExp(`^([0-9a-fA-F]{${hexLength}})$`)),
  verify: (password, [hash = '']) => sameBytes(digestOf(algorithm, password), Buffer.from(hash, 'hex')),
})

/** Where the salt stands is not written in the digest, so that both orders are tried. */
const salted = (algorithm: string, hexLength: number): Hasher => ({
  parse: pattern(new RegExp(`^([^$]{1,256})\\$([0-9a-fA-F]{${hexLength}})$`)),
  verify: (password, [salt = '', hash = '']) => {
    const wanted = Buffer.from(hash, 'hex')
    const after = sameBytes(digestOf(algorithm, salt, password), wanted)
    const before = sameBytes(digestOf(algorithm, password, salt), wanted)
    return after || before
  },
})

type Coding = 'hex' | 'base64' | 'utf8' | 'hex or utf8'
const decode = (text: string, coding: Coding) => {
  if (coding === 'hex or utf8') return Buffer.from(text, isHex(text) ? 'hex' : 'utf8')
  return Buffer.from(text, coding)
}

const pbkdf2With = (name: string, algorithm: string, salt: Coding, hash: 'hex' | 'base64'): Hasher => ({
  parse: (digest) => {
    const parts = digest
      .match(new RegExp(`^${name}\\$(\\d{1,9})\\$([^$]{1,512})\\$([^$]{8,512})(?:\\$(\\d{1,3}))?$`))
      ?.slice(1)
    if (!parts || !within(parts[0], maxIterations) || (parts[3] !== undefined && !within(parts[3], 256, 8)))
      return undefined
    const [, saltText = '', hashText = ''] = parts
    const spelled = hash === 'hex' ? isHex(hashText) : /^[A-Za-z0-9+/]+={0,2}$/.test(hashText)
    const saltSpelled = salt === 'hex' ? isHex(saltText) : salt !== 'base64' || /^[A-Za-z0-9+/]+={0,2}$/.test(saltText)
    return spelled && saltSpelled ? parts : undefined
  },
  verify: (password, [iterations = '', saltText = '', hashText = '']) => {
    const wanted = Buffer.from(hashText, hash)
    return sameBytes(pbkdf2Sync(password, decode(saltText, salt), Number(iterations), wanted.length, algorithm), wanted)
  },
})

const phpassAlphabet = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** The portable hashes of PHP applications: MD5 over and over, in an alphabet of their own. */
function phpassOf(password: string, rounds: string, salt: string): string {
  let hash = digestOf('md5', salt, password)
  const count = 2 ** phpassAlphabet.indexOf(rounds)
  for (let i = 0; i < count; i += 1) hash = digestOf('md5', hash, password)
  let out = ''
  for (let i = 0; i < 16; ) {
    let value = hash[i++] ?? 0
    out += phpassAlphabet[value & 63]
    if (i < 16) value |= (hash[i] ?? 0) << 8
    out += phpassAlphabet[(value >> 6) & 63]
    if (i++ >= 16) break
    if (i < 16) value |= (hash[i] ?? 0) << 16
    out += phpassAlphabet[(value >> 12) & 63]
    if (i++ >= 16) break
    out += phpassAlphabet[(value >> 18) & 63]
  }
  return out
}

const phpass = (prepare: (password: string) => string): Hasher => ({
  parse: (digest) => {
    const parts = digest.match(/^\$[PH]\$([./0-9A-Za-z])([./0-9A-Za-z]{8})([./0-9A-Za-z]{22})$/)?.slice(1)
    const rounds = parts ? phpassAlphabet.indexOf(parts[0] ?? '') : -1
    return rounds >= 7 && rounds <= 16 ? parts : undefined
  },
  verify: (password, [rounds = '', salt = '', hash = '']) =>
    equalSecrets(phpassOf(prepare(password), rounds, salt), hash),
})

const scryptKiB = (cost: number, blockSize: number) => (128 * cost * blockSize) / 1024
const scryptFits = (cost: number, blockSize: number, lanes: number) =>
  Number.isInteger(Math.log2(cost)) && cost > 1 && scryptKiB(cost, blockSize) <= maxScryptKiB && lanes <= 16

/** Firebase encrypts a key of the project with what scrypt makes of the password. */
const firebase: Hasher = {
  parse: (digest) => {
    const b64 = '([A-Za-z0-9+/_-]+={0,2})'
    const parts = digest.match(new RegExp(`^${b64}\\$${b64}\\$${b64}\\$${b64}\\$(\\d{1,2})\\$(\\d{1,2})$`))?.slice(1)
    const [, , , , rounds, memoryCost] = parts ?? []
    return parts && within(rounds, 16) && scryptFits(2 ** Number(memoryCost), Number(rounds), 1) ? parts : undefined
  },
  memory: ([, , , , rounds, memoryCost]) => scryptKiB(2 ** Number(memoryCost), Number(rounds)),
  verify: (password, parts) => {
    const [hash, salt, signerKey, separator] = parts.slice(0, 4).map((part) => Buffer.from(part, 'base64'))
    const [rounds, memoryCost] = parts.slice(4).map(Number)
    if (!hash || !salt || !signerKey || !separator) return false
    const key = scryptSync(password, Buffer.concat([salt, separator]), 32, {
      N: 2 ** (memoryCost ?? 0),
      r: rounds ?? 0,
      p: 1,
      maxmem: maxScryptKiB * 1024 * 2,
    })
    const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16))
    return sameBytes(Buffer.concat([cipher.update(signerKey), cipher.final()]), hash)
  },
}

const werkzeug: Hasher = {
  parse: (digest) => {
    const parts = digest
      .match(/^\$?(?:scrypt:)?(\d{1,8}):(\d{1,3}):(\d{1,3})\$([^$]{1,256})\$([0-9a-fA-F]{64,256})$/)
      ?.slice(1)
    const [cost, blockSize, lanes] = (parts ?? []).map(Number)
    return parts && scryptFits(cost ?? 0, blockSize ?? 0, lanes ?? 0) ? parts : undefined
  },
  memory: ([cost, blockSize]) => scryptKiB(Number(cost), Number(blockSize)),
  verify: (password, [cost, blockSize, lanes, salt = '', hash = '']) => {
    const wanted = Buffer.from(hash, 'hex')
    const options = { N: Number(cost), r: Number(blockSize), p: Number(lanes), maxmem: maxScryptKiB * 1024 * 2 }
    return sameBytes(scryptSync(password, Buffer.from(salt), wanted.length, options), wanted)
  },
}

const symfony: Hasher = {
  parse: (digest) => {
    const parts = digest.match(/^(?:sha512_symfony\$)?(\d{1,6})\$([^${}]{1,256})\$([A-Za-z0-9+/]{86}==)$/)?.slice(1)
    return parts && within(parts[0], 100_000) ? parts : undefined
  },
  verify: (password, [iterations = '', salt = '', hash = '']) => {
    const text = `${password}{${salt}}`
    let digest = digestOf('sha512', text)
    for (let i = 1; i < Number(iterations); i += 1) digest = digestOf('sha512', digest, text)
    return sameBytes(digest, Buffer.from(hash, 'base64'))
  },
}

/** RFC 2307: the salt follows the digest. */
const ssha: Hasher = {
  parse: (digest) => {
    const body = digest.match(/^\{SSHA\}([A-Za-z0-9+/]+={0,2})$/i)?.[1]
    return body && Buffer.from(body, 'base64').length > 20 ? [body] : undefined
  },
  verify: (password, [body = '']) => {
    const bytes = Buffer.from(body, 'base64')
    return sameBytes(digestOf('sha1', password, bytes.subarray(20)), bytes.subarray(0, 20))
  },
}

const hashers: Record<string, Hasher> = {
  argon2i: argon2('argon2i'),
  argon2id: argon2('argon2id'),
  bcrypt: { parse: parseBcrypt(new RegExp(`^${bcryptPattern}$`)), verify: fitsBcrypt },
  // Django hashes first, so that the whole of a long password counts.
  bcrypt_sha256_django: {
    parse: parseBcrypt(new RegExp(`^bcrypt_sha256\\$${bcryptPattern}$`)),
    verify: (password, parts) => fitsBcrypt(digestOf('sha256', password).toString('hex'), parts),
  },
  bcrypt_peppered: {
    parse: parseBcrypt(new RegExp(`^${bcryptPattern}\\$(.{1,256})$`)),
    verify: (password, [cost = '', rest = '', pepper = '']) => fitsBcrypt(password + pepper, [cost, rest]),
  },
  md5: plain('md5', 32),
  md5_salted: salted('md5', 32),
  md5_phpass: phpass((password) => digestOf('md5', password).toString('hex')),
  phpass: phpass((password) => password),
  pbkdf2_sha1: pbkdf2With('pbkdf2_sha1', 'sha1', 'hex or utf8', 'hex'),
  pbkdf2_sha256: pbkdf2With('pbkdf2_sha256', 'sha256', 'base64', 'base64'),
  pbkdf2_sha256_django: pbkdf2With('pbkdf2_sha256', 'sha256', 'utf8', 'base64'),
  pbkdf2_sha512: pbkdf2With('pbkdf2_sha512', 'sha512', 'utf8', 'hex'),
  pbkdf2_sha512_hex: pbkdf2With('pbkdf2_sha512_hex', 'sha512', 'hex', 'hex'),
  scrypt_firebase: firebase,
  scrypt_werkzeug: werkzeug,
  sha256: plain('sha256', 64),
  sha256_salted: salted('sha256', 64),
  sha512_symfony: symfony,
  ldap_ssha: ssha,
}

export const hasherNames: readonly string[] = Object.keys(hashers)

/**
 * Checks that a digest is one of its hasher's, and not too costly to verify.
 *
 * @throws {UsherError} `form_param_value_invalid` for an unknown hasher, `password_digest_invalid`
 */
export function checkDigest(hasher: string, digest: string): void {
  if (hasher === 'awscognito')
    throw new UsherError(
      'form_param_value_invalid',
      'Cognito gives its hashes to nobody: its passwords can only be checked there.',
      { param: 'password_hasher' },
    )
  const known = Object.hasOwn(hashers, hasher) ? hashers[hasher] : undefined
  if (!known)
    throw new UsherError(
      'form_param_value_invalid',
      `There is no hasher of this name. Known are: ${hasherNames.join(', ')}.`,
      {
        param: 'password_hasher',
      },
    )
  if (digest.length > 1024 || !known.parse(digest))
    throw new UsherError(
      'password_digest_invalid',
      `This is no digest of ${hasher}, or one that costs too much to verify.`,
      {
        param: 'password_digest',
      },
    )
}

/** KiB that verifying a digest takes. Most take next to nothing. */
export function memoryOfDigest(hasher: string, digest: string): number {
  const known = Object.hasOwn(hashers, hasher) ? hashers[hasher] : undefined
  const parts = known?.memory && known.parse(digest)
  return (parts && known?.memory?.(parts)) || 0
}

/** Whether a password fits a stored digest. What cannot be read fits nothing. Takes up to seconds, for the costly ones. */
export function fitsDigest(hasher: string, digest: string, password: string): boolean {
  const known = Object.hasOwn(hashers, hasher) ? hashers[hasher] : undefined
  const parts = known?.parse(digest)
  if (!known || !parts) return false
  try {
    return known.verify(password, parts)
  } catch {
    return false
  }
}
