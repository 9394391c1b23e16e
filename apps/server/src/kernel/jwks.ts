import { importJWK, type JWK } from 'jose'
import type { Egress } from './egress.ts'

/** Signatures that a public key verifies. Nothing with a shared secret, and not `none`. */
export const asymmetricAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const
export type AsymmetricAlgorithm = (typeof asymmetricAlgorithms)[number]

const freshMs = 10 * 60_000
const retryMs = 30_000
/** How long keys serve that could not be fetched again: an issuer that is down signs no new tokens either. */
const staleMs = 60 * 60_000
const maxKeys = 100
const maxBytes = 256 * 1024

/** The keys could not be had: this says nothing about the token. */
export class KeysUnavailable extends Error {}

export type KeySource = {
  /** Where the keys are. Absent: where the issuer's discovery document says. */
  jwksUrl?: string | undefined
  issuer: string
}

/**
 * The public keys of somebody else's issuer. Fetched when they are needed, again after ten minutes, and for a key that
 * is not known at most every 30 seconds, however many tokens ask for it.
 */
export class RemoteKeys {
  private keys: readonly JWK[] | undefined
  private readonly imported = new Map<string, Promise<CryptoKey | Uint8Array>>()
  private fetchedAt = 0
  private triedAt = Number.NEGATIVE_INFINITY
  private fetching: Promise<void> | undefined

  private readonly source: KeySource
  private readonly egress: Egress
  private readonly now: () => number

  /** @param now milliseconds of a monotonic clock */
  constructor(source: KeySource, egress: Egress, now: () => number = () => performance.now()) {
    this.source = source
    this.egress = egress
    this.now = now
  }

  /**
   * The key that a token names, for that algorithm.
   *
   * @param kid without one a set of one key for the algorithm will do
   * @returns undefined when the issuer has no such key
   * @throws {KeysUnavailable}
   */
  async find(kid: string | undefined, alg: AsymmetricAlgorithm): Promise<CryptoKey | Uint8Array | undefined> {
    if (!this.keys || this.now() - this.fetchedAt > freshMs) await this.refresh()
    if (!this.keys || this.now() - this.fetchedAt > staleMs) throw new KeysUnavailable('the keys cannot be fetched')
    let key = this.pick(kid, alg)
    if (!key) {
      await this.refresh()
      key = this.pick(kid, alg)
    }
    return key && this.import(key, alg)
  }

  private pick(kid: string | undefined, alg: AsymmetricAlgorithm): JWK | undefined {
    const fitting = (this.keys ?? []).filter((key) => fits(key, alg) && (kid === undefined || key.kid === kid))
    return fitting.length === 1 ? fitting[0] : undefined
  }

  private import(key: JWK, alg: AsymmetricAlgorithm) {
    const name = `${alg} ${key.kid ?? ''}`
    let imported = this.imported.get(name)
    if (!imported) {
      imported = importJWK(key, alg)
      imported.catch(() => this.imported.delete(name))
      this.imported.set(name, imported)
    }
    return imported
  }

  /** One at a time, and not again for a while, whatever came of it. */
  private refresh(): Promise<void> {
    if (this.fetching) return this.fetching
    if (this.now() - this.triedAt < retryMs) return Promise.resolve()
    this.triedAt = this.now()
    this.fetching = this.fetch()
      .then((keys) => {
        this.keys = keys
        this.fetchedAt = this.now()
        this.imported.clear()
      })
      .catch(() => {})
      .finally(() => {
        this.fetching = undefined
      })
    return this.fetching
  }

  private async fetch(): Promise<JWK[]> {
    const { keys } = await this.read(this.source.jwksUrl ?? (await this.discover()))
    if (!Array.isArray(keys)) throw new Error('there are no keys')
    return keys.slice(0, maxKeys).filter((key) => typeof key === 'object' && key !== null)
  }

  private async discover(): Promise<string> {
    const { issuer } = this.source
    const document = await this.read(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)
    // OpenID Connect Discovery section 4.3: a document that names another issuer speaks for that one.
    if (document.issuer !== issuer || typeof document.jwks_uri !== 'string') throw new Error('this is another issuer')
    return document.jwks_uri
  }

  private async read(url: string): Promise<Record<string, unknown>> {
    const { status, text } = await this.egress(url, { timeoutMs: 5000, maxBytes })
    if (status !== 200) throw new Error(`the answer was ${status}`)
    const value = JSON.parse(text)
    if (typeof value !== 'object' || value === null) throw new Error('this is no object')
    return value
  }
}

/** A key is for one kind of algorithm: what it says of itself binds, and what is too small or too costly is none. */
function fits({ kty, crv, alg, use, key_ops: operations, n = '', e = '' }: JWK, wanted: AsymmetricAlgorithm): boolean {
  if (alg !== undefined && alg !== wanted && !(alg === 'Ed25519' && wanted === 'EdDSA')) return false
  if (use !== undefined && use !== 'sig') return false
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) return false
  if (wanted === 'EdDSA') return kty === 'OKP' && crv === 'Ed25519'
  if (wanted.startsWith('ES'))
    return kty === 'EC' && crv === { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }[wanted as 'ES256']
  // 2048 to 8192 bits, and an exponent of at most 32.
  return kty === 'RSA' && n.length >= 342 && n.length <= 1366 && e.length > 0 && e.length <= 6
}
