import { lookup as resolve } from 'node:dns'
import http from 'node:http'
import https from 'node:https'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { UsherError } from './errors.ts'

export type EgressRequest = {
  method?: 'GET' | 'POST'
  headers?: Record<string, string>
  body?: string
  /** For the whole exchange, redirects included. */
  timeoutMs?: number
  maxBytes?: number
}

export type EgressResponse = { status: number; headers: Headers; text: string }

/**
 * The one way in which the server fetches a URL that somebody gave it. Addresses are checked after they were resolved,
 * and the connection goes to the address that was checked, so that a name which resolves differently the second time
 * gains nothing. Redirects are followed for GET alone, and checked again; to another origin they take no credentials.
 *
 * @throws {UsherError} `egress_refused` for a URL that leads where it must not, `oauth_provider_failed`-like trouble as
 *   a plain Error that says no address
 */
export type Egress = (url: string, request?: EgressRequest) => Promise<EgressResponse>

type Resolver = (hostname: string) => Promise<Address[]>

/** Addresses that are this machine, its network or nobody's (RFC 6890, RFC 8215 and the clouds' metadata). */
const internal = new BlockList()
for (const [net, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const)
  internal.addSubnet(net, prefix, 'ipv4')
for (const [net, prefix] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const)
  internal.addSubnet(net, prefix, 'ipv6')
/** All that the internet routes of IPv6 today; mapped, translated, local and multicast addresses are outside of it. */
const globalUnicast = new BlockList()
globalUnicast.addSubnet('2000::', 3, 'ipv6')

/** Whether an address is one that the public internet routes. IPv4 inside IPv6 is none: it hides where it leads. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address)
  if (family === 0) return false
  if (family === 4) return !internal.check(address, 'ipv4')
  return globalUnicast.check(address, 'ipv6') && !internal.check(address, 'ipv6')
}

/** Ports on which no web server answers and other protocols could be talked to in its place. */
const allowedPorts = new Set([80, 443, 8080, 8443])

export type EgressOptions = {
  /** Hosts, `host:port` pairs or CIDR ranges that the operator allows beside the public internet. */
  allow?: readonly string[]
  /** For tests. */
  resolver?: Resolver
}

export type Address = { address: string; family: number }

/**
 * Says where a URL leads, and refuses what must not be reached.
 *
 * @param deadline milliseconds since 1970 until which a name server is waited for
 * @returns addresses that were checked: connect to one of them and to nothing else
 * @throws {UsherError} `egress_refused`; a plain Error when the host cannot be found
 */
export type EgressGuard = (url: URL, deadline: number) => Promise<Address[]>

/** Makes the guard of a server: it decides about every URL that somebody else named. */
export function createEgressGuard({ allow = [], resolver = systemResolver }: EgressOptions = {}): EgressGuard {
  const hosts = new Set(allow.filter((entry) => !entry.includes('/')).map((entry) => entry.toLowerCase()))
  const ranges = new BlockList()
  for (const entry of allow.filter((e) => e.includes('/'))) {
    const [net = '', prefix] = entry.split('/')
    ranges.addSubnet(net, Number(prefix), isIP(net) === 6 ? 'ipv6' : 'ipv4')
  }
  const isAllowed = (url: URL) => hosts.has(url.hostname) || hosts.has(url.host)

  return async (url, deadline) => {
    const port = Number(url.port || (url.protocol === 'http:' ? 80 : 443))
    const named = isAllowed(url)
    if (!/^https?:$/.test(url.protocol) || url.username || url.password) throw refused()
    if (!named && (url.protocol !== 'https:' || !allowedPorts.has(port))) throw refused()
    const hostname = url.hostname.replace(/^\[|\]$/g, '')
    const addresses = isIP(hostname)
      ? [{ address: hostname, family: isIP(hostname) }]
      : await within(deadline, resolver(hostname)).catch(() => {
          throw new Error('the host of the URL could not be found')
        })
    const inRange = (a: string) => isIP(a) !== 0 && ranges.check(a, isIP(a) === 6 ? 'ipv6' : 'ipv4')
    if (addresses.length === 0) throw new Error('the host of the URL could not be found')
    // One bad address among good ones is enough: the next connection may take it.
    if (!named && !addresses.every(({ address }) => isPublicAddress(address) || inRange(address))) throw refused()
    return addresses
  }
}

/** Makes the guarded fetch of a server. */
export function createEgress(options: EgressOptions & { guard?: EgressGuard } = {}): Egress {
  const check = options.guard ?? createEgressGuard(options)

  return async (target, request = {}) => {
    const deadline = Date.now() + (request.timeoutMs ?? 8000)
    let url = parseUrl(target)
    let asked = request
    for (let hops = 0; hops < 4; hops += 1) {
      const addresses = await check(url, deadline)
      const answer = await send(url, addresses, asked, deadline - Date.now())
      const location = answer.headers.get('location')
      if (![301, 302, 303, 307, 308].includes(answer.status) || !location || (request.method ?? 'GET') !== 'GET')
        return answer
      const next = parseUrl(location, url)
      if (next.origin !== url.origin) asked = withoutCredentials(asked)
      url = next
    }
    throw new Error('too many redirects')
  }
}

/** What proves somebody to one server is no business of the one that it sends on to. */
function withoutCredentials({ headers = {}, ...request }: EgressRequest): EgressRequest {
  const kept = Object.entries(headers).filter(([name]) => !/^(authorization|cookie)$/i.test(name))
  return { ...request, headers: Object.fromEntries(kept) }
}

const refused = () => new UsherError('egress_refused', 'This URL leads to a place that the server must not reach.')

/** @throws {UsherError} `egress_refused` for what is no URL */
export function parseUrl(value: string, base?: URL): URL {
  if (value.length > 4096 || !URL.canParse(value, base)) throw refused()
  return new URL(value, base)
}

/** A name server that says nothing is waited for no longer than a web server is. */
async function within<T>(deadline: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const over = new Promise<never>((_, fail) => {
    timer = setTimeout(() => fail(new Error('took too long')), Math.max(1, deadline - Date.now()))
  })
  return Promise.race([work, over]).finally(() => clearTimeout(timer))
}

const systemResolver: Resolver = (hostname) =>
  new Promise((done, fail) =>
    resolve(hostname, { all: true }, (error, addresses) => (error ? fail(error) : done(addresses))),
  )

function send(url: URL, addresses: Address[], request: EgressRequest, timeoutMs: number): Promise<EgressResponse> {
  const { method = 'GET', headers = {}, body, maxBytes = 1024 * 1024 } = request
  // The name is looked up once, above; here it stands for the addresses that were checked.
  const lookup: LookupFunction = (_, options, callback) => {
    const [first] = addresses
    if (options.all) (callback as (e: null, all: typeof addresses) => void)(null, addresses)
    else (callback as (e: null, a: string, f: number) => void)(null, first?.address ?? '', first?.family ?? 4)
  }
  return new Promise((done, fail) => {
    const client = url.protocol === 'http:' ? http : https
    const sent = client.request(url, {
      method,
      headers: {
        'user-agent': 'Usher',
        'accept-encoding': 'identity',
        ...headers,
        ...(body !== undefined && { 'content-length': String(Buffer.byteLength(body)) }),
      },
      lookup,
      // A connection of its own: one that was kept alive would not be checked.
      agent: false,
    })
    const timer = setTimeout(() => sent.destroy(new Error('the host of the URL took too long')), Math.max(1, timeoutMs))
    const failed = (error: Error) => {
      clearTimeout(timer)
      fail(error)
    }
    sent.on('error', failed)
    sent.on('response', (response) => {
      const chunks: Buffer[] = []
      let size = 0
      response.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size > maxBytes) sent.destroy(new Error('the answer is too large'))
        else chunks.push(chunk)
      })
      response.on('error', failed)
      response.on('end', () => {
        clearTimeout(timer)
        const values = Object.entries(response.headers).flatMap(([name, value]) =>
          value === undefined ? [] : [value].flat().map((v) => [name, v] as [string, string]),
        )
        done({ status: response.statusCode ?? 0, headers: new Headers(values), text: Buffer.concat(chunks).toString() })
      })
    })
    sent.end(body)
  })
}
