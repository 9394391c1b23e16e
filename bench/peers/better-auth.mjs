/**
 * better-auth with email and password on the given PostgreSQL, behind Bun.serve. Prints one line when it is ready: the
 * port and the cookies of a person who has just signed up.
 *
 * Its defaults stay as they are, but for two things that would stand in its way: the rate limit (100 requests in 10 s)
 * and the telemetry, both off. USE_COOKIE_CACHE=1 turns on its cookie cache.
 */
import { betterAuth } from 'better-auth'
import { getMigrations } from 'better-auth/db/migration'
import pg from 'pg'

const options = {
  baseURL: 'http://127.0.0.1',
  trustedOrigins: ['http://127.0.0.1'],
  secret: 'a secret of this benchmark, 32 bytes or more',
  database: new pg.Pool({
    host: process.env.PGHOST,
    user: process.env.PGUSER,
    database: process.env.PGDATABASE,
    max: 10,
  }),
  emailAndPassword: { enabled: true },
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  ...(process.env.USE_COOKIE_CACHE === '1' && { session: { cookieCache: { enabled: true, maxAge: 300 } } }),
}
const { runMigrations } = await getMigrations(options)
await runMigrations()
const auth = betterAuth(options)
const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: auth.handler })

const made = await fetch(`http://127.0.0.1:${server.port}/api/auth/sign-up/email`, {
  method: 'POST',
  headers: { 'content-type': 'application/json', origin: 'http://127.0.0.1' },
  body: JSON.stringify({ email: `ada-${Date.now()}@example.com`, password: 'correct horse battery', name: 'Ada' }),
})
if (!made.ok) throw new Error(`sign-up failed: ${made.status} ${await made.text()}`)
const cookies = made.headers.getSetCookie().map((cookie) => cookie.split(';', 1)[0])
console.log(JSON.stringify({ port: server.port, cookie: cookies.join('; ') }))
