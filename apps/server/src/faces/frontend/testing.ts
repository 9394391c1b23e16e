import { listMessages } from '../../domains/messaging/index.ts'
import type { TestInstance } from '../../testing/server.ts'

// biome-ignore lint/suspicious/noExplicitAny: what came over the wire, for assertions
type Json = any

/** A browser that talks to a test instance as the browser SDK does: forms, `_method` and a cookie jar. */
export class TestBrowser {
  readonly cookies = new Map<string, string>()
  readonly instance: TestInstance
  /** Null: as a program that is no browser. */
  origin: string | null
  /** Token of the dev browser, for instances that identify browsers by one. */
  devBrowser: string | undefined

  constructor(instance: TestInstance, origin: string | null = 'http://localhost:3000') {
    this.instance = instance
    this.origin = origin
  }

  get clientCookie(): string | undefined {
    return [...this.cookies].find(([name]) => name.includes('__client_') && !name.includes('uat'))?.[1]
  }

  async send(
    method: string,
    path: string,
    form?: Record<string, string | string[]>,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; body: Json; headers: Headers }> {
    const url = new URL(path, 'http://server')
    if (this.devBrowser) url.searchParams.set('__clerk_db_jwt', this.devBrowser)
    if (!['GET', 'POST'].includes(method)) url.searchParams.set('_method', method)
    const body = new URLSearchParams()
    for (const [key, value] of Object.entries(form ?? {})) for (const v of [value].flat()) body.append(key, v)
    const response = await this.instance.fetch(`/v1${url.pathname}${url.search}`, {
      method: method === 'GET' ? 'GET' : 'POST',
      ...(method !== 'GET' && { body: body.toString() }),
      headers: {
        ...(method !== 'GET' && { 'content-type': 'application/x-www-form-urlencoded' }),
        ...(this.origin !== null && { origin: this.origin }),
        ...(this.cookies.size > 0 && { cookie: [...this.cookies].map(([k, v]) => `${k}=${v}`).join('; ') }),
        ...headers,
      },
    })
    for (const cookie of response.headers.getSetCookie()) {
      const [pair = ''] = cookie.split(';')
      const name = pair.slice(0, pair.indexOf('='))
      if (/Max-Age=0/.test(cookie)) this.cookies.delete(name)
      else this.cookies.set(name, pair.slice(name.length + 1))
    }
    this.devBrowser &&= response.headers.get('clerk-db-jwt') ?? this.devBrowser
    const text = await response.text()
    return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text, headers: response.headers }
  }

  get(path: string, headers?: Record<string, string>) {
    return this.send('GET', path, undefined, headers)
  }

  post(path: string, form?: Record<string, string | string[]>, headers?: Record<string, string>) {
    return this.send('POST', path, form, headers)
  }

  /** Signs a new person up with an emailed code and leaves them signed in. */
  async signUp(
    emailAddress: string,
    password = 'correct horse battery',
  ): Promise<{ userId: string; sessionId: string }> {
    const begun = await this.post('/client/sign_ups', { email_address: emailAddress, password })
    const id = begun.body.response?.id
    await this.post(`/client/sign_ups/${id}/prepare_verification`, { strategy: 'email_code' })
    const code = await mailedCode(this.instance, emailAddress)
    const done = await this.post(`/client/sign_ups/${id}/attempt_verification`, { strategy: 'email_code', code })
    if (done.body.response?.status !== 'complete') throw new Error(`sign-up failed: ${JSON.stringify(done.body)}`)
    return { userId: done.body.response.created_user_id, sessionId: done.body.response.created_session_id }
  }
}

/** The code in the newest email to an address. */
export async function mailedCode(instance: TestInstance, to: string): Promise<string> {
  const [message] = await mailsTo(instance, to)
  return message?.text.match(/\b\d{6}\b/)?.[0] ?? ''
}

/** Emails to an address, newest first. */
export function mailsTo(instance: TestInstance, to?: string) {
  return listMessages(instance.ctx(), { to, limit: 200 })
}

/** The claims of a token, unverified. */
export function claimsOf(token: string): Json {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
}
