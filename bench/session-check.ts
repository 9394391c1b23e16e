import { join } from 'node:path'
import type { HttpLoadInput, HttpLoadResult } from './generators/http-load.ts'
import { firstLine, generate, startServer, temporaryDirectory } from './support/processes.ts'
import { inTurns } from './support/rounds.ts'
import { type Benchmark, compare } from './support/rows.ts'
import { createDatabase, mintTokens, postgresOf, publicKeyOf, request, signIn, startUsher } from './support/usher.ts'

const connections = 32

async function startBetterAuth(data: string, env: Record<string, string>) {
  const { host, user } = postgresOf(data)
  const server = startServer([process.execPath, join(import.meta.dir, 'peers/better-auth.mjs')], {
    env: { PGHOST: host, PGUSER: user, PGDATABASE: 'better_auth', ...env },
  })
  const { port, cookie } = JSON.parse(await firstLine(server)) as { port: number; cookie: string }
  return { server, port, cookie }
}

async function startApplication(key: unknown) {
  const server = startServer([process.execPath, join(import.meta.dir, 'peers/application.ts')], {
    env: { VERIFICATION_KEY: JSON.stringify(key) },
  })
  const { port } = JSON.parse(await firstLine(server)) as { port: number }
  return { server, port }
}

export const sessionCheck: Benchmark = {
  name: 'session-check',
  method:
    `Who is signed in, asked over HTTP on ${connections} connections. better-auth answers \`GET /api/auth/get-session\` behind ` +
    '`Bun.serve`, with `pg` and a pool of 10 on the same PostgreSQL, its cookie cache off as it is by default (it then asks the ' +
    'database each time), and once more with the cache on. Ours is measured in the ways in which an application gets to know: ' +
    '`POST /v1/sessions/{id}/verify` of the server, which knows of a revocation at once; an endpoint of the application that ' +
    'verifies the session token of the cookie (valid for 60 seconds), as the SDKs do it; and, because browsers ask for it when ' +
    'they start, `GET /v1/client`, which is far more than a session check. PostgreSQL shares the core with the servers.',
  run: async () => {
    using data = temporaryDirectory()
    await using usher = await startUsher(data.path)
    await createDatabase(data.path, 'better_auth')
    const session = await signIn(usher, 'ada')
    const plain = await startBetterAuth(data.path, {})
    await using _plain = plain.server
    const cached = await startBetterAuth(data.path, { USE_COOKIE_CACHE: '1' })
    await using _cached = cached.server
    const application = await startApplication(await publicKeyOf(usher))
    await using _application = application.server

    const ask = async (port: number, path: string, cookie: string) => {
      const requests = [request('GET', path, port, { cookie })]
      const input: HttpLoadInput = { port, connections, warmUpSeconds: 0.3, seconds: 1, requests }
      return (await generate<HttpLoadResult>('generators/http-load.ts', input)).requestsPerSecond
    }
    const contenders = {
      server: async () => {
        const [token] = await mintTokens(usher, session, 1)
        const path = `/v1/sessions/${session.sessionId}/verify`
        const headers = { authorization: `Bearer ${usher.ready.secret_key}` }
        const requests = [request('POST', path, usher.port, headers, JSON.stringify({ token }))]
        const input: HttpLoadInput = { port: usher.port, connections, warmUpSeconds: 0.3, seconds: 1, requests }
        return (await generate<HttpLoadResult>('generators/http-load.ts', input)).requestsPerSecond
      },
      client: () => ask(usher.port, '/v1/client', session.cookie),
      application: async () => {
        const [token] = await mintTokens(usher, session, 1)
        return ask(application.port, '/me', `__session=${token}`)
      },
      betterAuth: () => ask(plain.port, '/api/auth/get-session', plain.cookie),
      betterAuthCached: () => ask(cached.port, '/api/auth/get-session', cached.cookie),
    }
    for (const warmUp of Object.values(contenders)) await warmUp()
    const rates = await inTurns(5, contenders)
    return {
      rows: [
        compare(
          'session check by token in the application, beside better-auth 1.6',
          rates.application,
          rates.betterAuth,
          10,
        ),
        compare(
          'session check by the server, revocation included, beside better-auth 1.6',
          rates.server,
          rates.betterAuth,
          10,
        ),
        compare(
          'the browser’s whole state by `GET /v1/client`, beside better-auth 1.6',
          rates.client,
          rates.betterAuth,
          undefined,
        ),
        compare(
          'session check by token, beside better-auth with its cookie cache',
          rates.application,
          rates.betterAuthCached,
          undefined,
        ),
      ],
      notes: [],
    }
  },
}
