import { lookup, Resolver } from 'node:dns/promises'
import http from 'node:http'
import https from 'node:https'
import type { LookupFunction } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Config } from '../../config.ts'
import type { Instance } from '../../domains/instances/index.ts'
import { advice, type Finding, finding } from './finding.ts'

const timeoutMs = 8000

/** What the network says: the name leads somewhere, TLS is trusted, and it is this instance that answers. */
export async function networkFindings(
  config: Config,
  instance: Instance,
  development: Instance | undefined,
): Promise<Finding[]> {
  const { hostname } = new URL(`https://${instance.host}`)
  const addresses = await addressesOf(hostname, config.dnsServers)
  const dns = finding(
    'DNS',
    addresses.length > 0,
    `${hostname} is ${addresses.join(', ')}`,
    `${hostname} has no address. Add an A or AAAA record that leads to the proxy in front of Usher`,
  )
  const mail = await mailFindings(config)
  if (addresses.length === 0) return [dns, ...mail]
  return [dns, ...(await tlsFindings(instance, development, addresses)), ...mail]
}

async function addressesOf(name: string, servers: readonly string[]): Promise<string[]> {
  if (servers.length === 0)
    return lookup(name, { all: true }).then(
      (found) => found.map(({ address }) => address),
      () => [],
    )
  const resolver = resolverOf(servers)
  const found = await Promise.all(
    [resolver.resolve4(name), resolver.resolve6(name)].map((asked) => asked.catch(() => [])),
  )
  return found.flat()
}

function resolverOf(servers: readonly string[]): Resolver {
  const resolver = new Resolver({ timeout: 3000, tries: 2 })
  if (servers.length > 0) resolver.setServers(servers)
  return resolver
}

async function tlsFindings(
  instance: Instance,
  development: Instance | undefined,
  addresses: string[],
): Promise<Finding[]> {
  const base = `https://${instance.host}`
  let answer: Answer
  try {
    answer = await get(`${base}/.well-known/jwks.json`, addresses)
  } catch (error) {
    return [finding('HTTPS', false, '', `${base} does not answer: ${(error as Error).message}. See docs/production.md`)]
  }
  const kids = keyIds(answer.text)
  const own = instance.signingKeys.some((key) => kids.includes(key.kid))
  const found = [
    finding('HTTPS', true, `${base} has a certificate that is trusted`, ''),
    finding(
      'proxy',
      own,
      `${base} is answered by this instance`,
      `${base} is answered by somebody else (status ${answer.status}): the proxy must lead to this server and pass the host on`,
    ),
  ]
  const days = Math.floor(((answer.certificateEnds ?? Number.POSITIVE_INFINITY) - Date.now()) / 86_400_000)
  if (days < 14) found.push(advice('HTTPS', `the certificate ends in ${days} days`))
  if (!answer.headers['strict-transport-security'])
    found.push(advice('HTTPS', 'the proxy sends no Strict-Transport-Security'))
  if (development) found.push(await sideDoorFinding(instance, development, addresses))
  return [...found, ...(await redirectFindings(instance, addresses))]
}

/** The development instance answers to `localhost`, and everybody may read its messages. */
async function sideDoorFinding(instance: Instance, development: Instance, addresses: string[]): Promise<Finding> {
  const url = `https://${instance.host}/.well-known/jwks.json`
  const answer = await get(url, addresses, 'localhost').catch(() => undefined)
  const kids = answer ? keyIds(answer.text) : []
  return finding(
    'proxy',
    !development.signingKeys.some((key) => kids.includes(key.kid)),
    'other hosts are not passed on',
    `whoever asks with "Host: localhost" is led to the development instance "${development.name}" and its open inbox: let the proxy refuse hosts that it does not know. See docs/production.md`,
  )
}

/** Where plain HTTP is open at all, it must lead to HTTPS. */
async function redirectFindings(instance: Instance, addresses: string[]): Promise<Finding[]> {
  const { hostname, port } = new URL(`https://${instance.host}`)
  if (port) return []
  const plain = await get(`http://${hostname}/`, addresses).catch(() => undefined)
  if (!plain) return []
  return [
    finding(
      'HTTP',
      plain.headers.location?.startsWith('https://') ?? false,
      'leads to HTTPS',
      `http://${hostname} answers without TLS: let the proxy redirect to https://`,
    ),
  ]
}

/** Receivers throw away mail of domains that do not say who may send it. */
async function mailFindings({ mailFrom, smtpUrl, dnsServers }: Config): Promise<Finding[]> {
  const domain = mailFrom.match(/@([^\s>]+)>?$/)?.[1]
  if (!smtpUrl || !domain?.includes('.')) return []
  const records = await resolverOf(dnsServers)
    .resolveTxt(domain)
    .catch(() => [])
  if (records.some((parts) => parts.join('').toLowerCase().startsWith('v=spf1'))) return []
  return [advice('DNS', `${domain} has no SPF record (TXT, v=spf1 …): emails may not arrive`)]
}

function keyIds(text: string): string[] {
  try {
    return (JSON.parse(text) as { keys: { kid: string }[] }).keys.map((key) => key.kid)
  } catch {
    return []
  }
}

type Answer = { status: number; headers: http.IncomingHttpHeaders; text: string; certificateEnds?: number }

/** Asks one address after the other until one answers, as browsers do. @throws the last one's error */
async function get(url: string, addresses: readonly string[], host?: string): Promise<Answer> {
  let failure: unknown
  for (const address of addresses) {
    try {
      return await ask(url, address, host)
    } catch (error) {
      failure = error
    }
  }
  throw failure
}

/**
 * Asks an address that DNS gave for the name, with the name in SNI and `Host`. No redirect is followed.
 *
 * @param host what to say in `Host` in place of the name
 */
function ask(url: string, address: string, host: string | undefined): Promise<Answer> {
  const family = address.includes(':') ? 6 : 4
  const pinned: LookupFunction = (_, options, callback) => {
    if (options.all)
      (callback as (e: null, all: { address: string; family: number }[]) => void)(null, [{ address, family }])
    else (callback as (e: null, a: string, f: number) => void)(null, address, family)
  }
  return new Promise((done, fail) => {
    const client = url.startsWith('https:') ? https : http
    const sent = client.get(
      url,
      {
        lookup: pinned,
        agent: false,
        servername: new URL(url).hostname,
        headers: { 'user-agent': 'Usher doctor', ...(host && { host }) },
      },
      (response) => {
        const certificate = (response.socket as TLSSocket).getPeerCertificate?.()
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => {
          text = (text + chunk).slice(0, 65_536)
        })
        response.on('end', () => {
          clearTimeout(timer)
          const certificateEnds = certificate?.valid_to ? Date.parse(certificate.valid_to) : undefined
          done({ status: response.statusCode ?? 0, headers: response.headers, text, certificateEnds })
        })
      },
    )
    const timer = setTimeout(() => sent.destroy(new Error('no answer in time')), timeoutMs)
    sent.on('error', (error) => {
      clearTimeout(timer)
      fail(error)
    })
  })
}
