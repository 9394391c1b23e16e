import type { Instance } from '../../domains/instances/index.ts'

/** The public keys of an instance as a JWK Set (RFC 7517 §5), retiring ones included. */
export function publicKeySet(instance: Instance) {
  return {
    keys: instance.signingKeys.map((k) => ({
      use: 'sig',
      kty: k.publicJwk.kty,
      kid: k.kid,
      alg: k.algorithm,
      n: k.publicJwk.n,
      e: k.publicJwk.e,
    })),
  }
}
