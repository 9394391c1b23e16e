type Peers = { requestIP(request: Request): { address: string } | null }

/** The peer's address; a trusted proxy's word about it counts, anybody else's does not. */
export function clientIp(request: Request, server: Peers, trustedProxies: ReadonlySet<string>): string {
  const peer = server.requestIP(request)?.address.replace(/^::ffff:/, '') ?? 'unknown'
  if (!trustedProxies.has(peer)) return peer
  // The last entry is the one that the proxy next to us added.
  return request.headers.get('x-forwarded-for')?.split(',').at(-1)?.trim() || peer
}
