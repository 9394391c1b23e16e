/**
 * Whether a page of this application asks. Browsers always say where a socket or a POST comes from, and pages cannot
 * change it; `null` is said by sandboxed frames and files, which are nobody's.
 *
 * @param origins exact origins; undefined: the host that the request was sent to
 */
export function isOwnOrigin(headers: Headers, origins: readonly string[] | undefined): boolean {
  const origin = headers.get('origin')
  if (!origin || origin === 'null') return false
  if (origins) return origins.includes(origin)
  const host = headers.get('host')
  return host !== null && URL.canParse(origin) && new URL(origin).host === host
}
