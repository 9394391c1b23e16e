import { createHash } from 'node:crypto'

/**
 * The key that browsers hold: `pk_test_` or `pk_live_` and base64 of the host followed by `$`, without padding. The
 * SDKs read the host out of it and accept only hosts with a dot.
 */
export function publishableKeyFor(environment: 'development' | 'production', host: string): string {
  const prefix = environment === 'production' ? 'pk_live_' : 'pk_test_'
  return prefix + Buffer.from(`${host}$`).toString('base64').replaceAll('=', '')
}

/** What the SDKs append to cookie names, so that several applications can share `localhost`. */
export function cookieSuffixFor(publishableKey: string): string {
  return createHash('sha1').update(publishableKey).digest('base64url').slice(0, 8)
}
