import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { SyncIssuer, SyncIssuerRule } from '../domains/instances/settings.ts'
import { ConfigError } from '../kernel/config-error.ts'

const maxTokens = 100

/** Who may connect to a stand-alone server. */
export type SyncCredentials =
  | { kind: 'open' }
  /** `read` gives the tokens of this moment: the file may hold others later. */
  | { kind: 'static'; read: () => string[] }
  | { kind: 'issuer'; issuer: SyncIssuer; everyDocument: boolean }

export type SyncCredentialFlags = {
  token?: string | undefined
  'token-file'?: string | undefined
  jwks?: string | undefined
  issuer?: string | undefined
  audience?: string | undefined
  rules?: string | undefined
}

/**
 * Reads how a stand-alone server knows its clients.
 *
 * @param environmentToken `USHER_SYNC_TOKEN`
 * @throws {ConfigError} that never repeats a token
 */
export function syncCredentials(flags: SyncCredentialFlags, environmentToken: string | undefined): SyncCredentials {
  const token = flags.token ?? environmentToken
  const file = flags['token-file']
  const named = [flags.jwks, flags.issuer, flags.audience].filter((value) => value !== undefined).length
  if (named > 0) {
    if (token !== undefined || file !== undefined)
      throw new ConfigError(
        'Tokens are either shared (--token, --token-file) or an issuer’s (--issuer): give one of them.',
      )
    return issuerOf(flags)
  }
  if (flags.rules !== undefined) throw new ConfigError('--rules says what tokens of an issuer open: give --issuer too.')
  // An empty token is a variable that somebody forgot to set, and would leave the door open.
  if (token === '')
    throw new ConfigError('The token is empty. Give --token a value, or leave it out to let everybody in.')
  if (token === undefined && file === undefined) return { kind: 'open' }
  const read = () => [...(token === undefined ? [] : [token]), ...(file === undefined ? [] : tokensIn(file))]
  read()
  return { kind: 'static', read }
}

/** One token a line; empty lines and those that begin with `#` do not count. */
function tokensIn(file: string): string[] {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    throw new ConfigError(`The file of tokens ${file} cannot be read.`)
  }
  const tokens = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
  if (tokens.length === 0) throw new ConfigError(`There is no token in ${file}.`)
  if (tokens.length > maxTokens) throw new ConfigError(`There are more than ${maxTokens} tokens in ${file}.`)
  return tokens
}

function issuerOf(flags: SyncCredentialFlags): SyncCredentials {
  const { jwks, issuer, audience, rules: file } = flags
  if (issuer === undefined || audience === undefined)
    throw new ConfigError('--issuer and --audience belong together: without them any token of that service would do.')
  const parsed = SyncIssuer.safeParse({
    name: 'issuer',
    issuer,
    audience,
    ...(jwks !== undefined && { jwksUrl: jwks }),
    claims: { document: 'room' },
    // Without rules a token opens what it names, and where it names nothing everything.
    rules: file === undefined ? [{ pattern: '*' }] : rulesIn(file),
  })
  if (!parsed.success) throw new ConfigError(`--issuer, --audience, --jwks:\n${z.prettifyError(parsed.error)}`)
  // There is nobody here but this issuer's people: their ids need no name before them.
  return { kind: 'issuer', issuer: { ...parsed.data, name: '' }, everyDocument: file === undefined }
}

function rulesIn(file: string): SyncIssuerRule[] {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    throw new ConfigError(`The file of rules ${file} cannot be read as JSON.`)
  }
  const parsed = z.array(SyncIssuerRule).safeParse(value)
  if (!parsed.success) throw new ConfigError(`The rules in ${file}:\n${z.prettifyError(parsed.error)}`)
  return parsed.data
}
