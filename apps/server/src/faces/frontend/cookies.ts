import type { Instance } from '../../domains/instances/index.ts'

const yearSeconds = 365 * 24 * 3600

/**
 * Name of the cookie that proves which client a browser is. The suffix keeps instances on one host apart; over https
 * the `__Host-` prefix keeps other hosts and plain http from setting it.
 */
export function clientCookieName(instance: Instance, secure: boolean): string {
  return `${secure ? '__Host-' : ''}__client_${instance.cookieSuffix}`
}

/**
 * The one value that a cookie has in a request. A cookie that arrives twice with different values counts as absent:
 * one of them was planted, and nothing says which.
 */
export function readCookie(header: string | undefined, name: string): string | undefined {
  // Most requests carry it once or not at all.
  if (!header?.includes(name)) return undefined
  const values = new Set<string>()
  for (const pair of header.split(';')) {
    const at = pair.indexOf('=')
    if (at > 0 && pair.slice(0, at).trim() === name) values.add(pair.slice(at + 1).trim())
  }
  const [value] = values
  return values.size === 1 && value ? value : undefined
}

export function setCookie(
  name: string,
  value: string,
  options: { secure: boolean; httpOnly?: boolean; domain?: string | undefined; maxAge?: number },
): string {
  return [
    `${name}=${value}`,
    'Path=/',
    options.domain && `Domain=${options.domain}`,
    `Max-Age=${options.maxAge ?? yearSeconds}`,
    options.httpOnly && 'HttpOnly',
    options.secure && 'Secure',
    'SameSite=Lax',
  ]
    .filter(Boolean)
    .join('; ')
}

export function clearCookie(name: string, options: { secure: boolean; domain?: string | undefined }): string {
  return `${setCookie(name, '', { ...options, maxAge: 0 })}; Expires=Thu, 01 Jan 1970 00:00:00 GMT`
}

/** Second-level labels under which countries register names. */
const registries = new Set(['ac', 'co', 'com', 'edu', 'gov', 'net', 'org'])

/**
 * The domain that the browser SDK shares `__client_uat` over: the registrable one. Undefined (the host alone) for
 * `localhost` and addresses. Without the Public Suffix List this is an approximation that covers the common registries.
 */
export function sharedDomain(hostname: string): string | undefined {
  const labels = hostname.split('.')
  if (labels.length < 2 || hostname.startsWith('[') || /^\d+(\.\d+){3}$/.test(hostname)) return undefined
  const [second = '', top = ''] = labels.slice(-2)
  return labels.slice(top.length === 2 && registries.has(second) && labels.length > 2 ? -3 : -2).join('.')
}
