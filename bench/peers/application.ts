/** An application's own endpoint that says who is signed in: it verifies the session token in the cookie, and asks nobody. */
import { verifySessionToken } from '../../apps/server/src/domains/sessions/index.ts'

const { publicKeyPem, kid, issuer } = JSON.parse(process.env.VERIFICATION_KEY ?? '')
const der = Buffer.from(publicKeyPem.replace(/-----[^-]+-----|\s/g, ''), 'base64')
const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
const publicKey = await crypto.subtle.importKey('spki', der, algorithm, false, ['verify'])
const instance = { host: new URL(issuer).host, signingKeys: [{ kid, publicKey }] }
const ctx = { instance, now: () => new Date() } as unknown as Parameters<typeof verifySessionToken>[0]

const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  fetch: async (request) => {
    const token = request.headers.get('cookie')?.match(/(?:^|; )__session=([^;]+)/)?.[1]
    try {
      const { sub, sid, exp } = await verifySessionToken(ctx, token)
      return Response.json({ userId: sub, sessionId: sid, expiresAt: exp })
    } catch {
      return Response.json(null, { status: 401 })
    }
  },
})
console.log(JSON.stringify({ port: server.port }))
