import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'

/** An issuer of its own on loopback: discovery, keys, and tokens as the test wants them. */
export async function startIssuer() {
  const pair = (alg = 'RS256') => generateKeyPair(alg, { extractable: true })
  const state = { fetches: 0, isDown: false }
  const keys = new Map<string, { alg: string; pair: Awaited<ReturnType<typeof pair>>; isPublished: boolean }>()
  const addKey = async (kid: string, alg = 'RS256', isPublished = true) => {
    keys.set(kid, { alg, pair: await pair(alg), isPublished })
  }
  await addKey('first')
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      state.fetches++
      if (state.isDown) return new Response('down', { status: 503 })
      const { pathname, origin } = new URL(request.url)
      if (pathname === '/.well-known/openid-configuration')
        return Response.json({ issuer: origin, jwks_uri: `${origin}/jwks` })
      if (pathname !== '/jwks') return new Response('', { status: 404 })
      const published = [...keys].filter(([, { isPublished }]) => isPublished)
      return Response.json({
        keys: await Promise.all(
          published.map(async ([kid, { alg, pair }]) => ({
            ...(await exportJWK(pair.publicKey)),
            kid,
            alg,
            use: 'sig',
          })),
        ),
      })
    },
  })
  const url = `http://127.0.0.1:${server.port}`
  const now = () => Math.floor(Date.now() / 1000)
  const audience = 'https://docs.example'
  return {
    url,
    host: `127.0.0.1:${server.port}`,
    audience,
    state,
    keys,
    addKey,
    now,
    /** A token that is good but for what is changed. */
    sign: (
      change: Record<string, unknown> = {},
      { kid = 'first', header = {} }: { kid?: string; header?: Record<string, unknown> } = {},
    ) => {
      const key = keys.get(kid)
      if (!key) throw new Error('no such key')
      const payload = {
        iss: url,
        aud: audience,
        sub: 'auth0|ada',
        iat: now(),
        exp: now() + 120,
        ...change,
      } as JWTPayload
      return new SignJWT(payload)
        .setProtectedHeader({ alg: key.alg, kid, typ: 'JWT', ...header })
        .sign(key.pair.privateKey)
    },
    [Symbol.dispose]: () => {
      void server.stop(true)
    },
  }
}
export type Issuer = Awaited<ReturnType<typeof startIssuer>>
