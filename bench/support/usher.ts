import { createPublicKey } from 'node:crypto'
import { join } from 'node:path'
import { SQL } from 'bun'
import { firstLine, type RunningProcess, root, startServer } from './processes.ts'

export const main = join(root, 'apps/server/src/main.ts')

type Ready = { url: string; secret_key: string; publishable_key: string; ms: number }
export type Usher = RunningProcess & { ready: Ready; port: number }

/** `usher start` with an embedded PostgreSQL in the directory. */
export async function startUsher(data: string, env: Record<string, string> = {}): Promise<Usher> {
  const server = startServer([process.execPath, main, 'start', '--port', '0', '--data', data, '--json'], { env })
  const ready = JSON.parse(await firstLine(server)) as Ready
  return Object.assign(server, { ready, port: Number(new URL(ready.url).port) })
}

/** Where that server's PostgreSQL listens; a peer gets a database of its own in the same cluster. */
export const postgresOf = (data: string) => ({ host: join(data, 'run'), user: 'usher' })

/** The superuser of that PostgreSQL, whom row-level security does not bind. */
export function connectOwner(data: string): SQL {
  const { host, user } = postgresOf(data)
  return new SQL({
    adapter: 'postgres',
    path: join(host, '.s.PGSQL.5432'),
    username: user,
    database: 'postgres',
    max: 1,
  })
}

export async function createDatabase(data: string, name: string): Promise<void> {
  const sql = connectOwner(data)
  await sql.unsafe(`create database ${name}`)
  await sql.close()
}

/** Calls the server API with the secret key. */
export async function backend<Answer>({ port, ready }: Usher, path: string, body: unknown): Promise<Answer> {
  const response = await fetch(`http://127.0.0.1:${port}/v1${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ready.secret_key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${await response.text()}`)
  return (await response.json()) as Answer
}

/** Somebody new; the address is one that gets no mail. */
export function createUser(usher: Usher, name: string): Promise<{ id: string }> {
  return backend(usher, '/users', {
    email_address: [`${name}+clerk_test@example.com`],
    first_name: name,
    skip_password_requirement: true,
  })
}

export type SignedIn = { cookie: string; sessionId: string }

/** A browser in which somebody new is signed in. */
export async function signIn(usher: Usher, name: string): Promise<SignedIn> {
  const { id } = await createUser(usher, name)
  return signInAs(usher, id)
}

/** A browser in which somebody is signed in: the server API makes a ticket, the browser uses it. */
export async function signInAs(usher: Usher, userId: string): Promise<SignedIn> {
  const { token } = await backend<{ token: string }>(usher, '/sign_in_tokens', { user_id: userId })
  const response = await fetch(`http://127.0.0.1:${usher.port}/v1/client/sign_ins`, {
    method: 'POST',
    body: new URLSearchParams({ strategy: 'ticket', ticket: token }),
  })
  const cookie = response.headers.getSetCookie().find((value) => value.startsWith('__client'))
  const { response: attempt } = (await response.json()) as { response?: { created_session_id?: string } }
  if (!cookie || !attempt?.created_session_id) throw new Error(`the ticket was refused: ${response.status}`)
  return { cookie: cookie.split(';', 1)[0] as string, sessionId: attempt.created_session_id }
}

/** A whole HTTP request as the load generator sends it. */
export function request(
  method: string,
  path: string,
  port: number,
  headers: Record<string, string>,
  body?: string,
): string {
  const all = {
    host: `localhost:${port}`,
    ...headers,
    ...(body !== undefined && {
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': String(Buffer.byteLength(body)),
    }),
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  return [`${method} ${path} HTTP/1.1`, ...lines, '', body ?? ''].join('\r\n')
}

/** Session tokens, each minted anew. */
export async function mintTokens({ port }: Usher, { cookie, sessionId }: SignedIn, count: number): Promise<string[]> {
  const mint = async () => {
    const url = `http://127.0.0.1:${port}/v1/client/sessions/${sessionId}/tokens`
    const response = await fetch(url, { method: 'POST', headers: { cookie } })
    return ((await response.json()) as { jwt: string }).jwt
  }
  return Promise.all(Array.from({ length: count }, mint))
}

/** The key that session tokens are verified with, as an application would be given it. */
export async function publicKeyOf({ port, ready }: Usher) {
  const response = await fetch(`http://127.0.0.1:${port}/.well-known/jwks.json`)
  const { keys } = (await response.json()) as { keys: (JsonWebKey & { kid: string })[] }
  const [jwk] = keys
  if (!jwk) throw new Error('the server shows no key')
  const pem = createPublicKey({ key: jwk as never, format: 'jwk' }).export({ type: 'spki', format: 'pem' })
  const host = Buffer.from(ready.publishable_key.split('_')[2] ?? '', 'base64')
    .toString()
    .replace(/\$$/, '')
  return { publicKeyPem: String(pem), kid: jwk.kid, issuer: `https://${host}` }
}
