import { type Context, Hono } from 'hono'
import { transaction } from '../../database/index.ts'
import { type Attempt, endRoundTrip, keepForApp, type RoundTrip, takeForApp } from '../../domains/connections/index.ts'
import { checkMayHave } from '../../domains/restrictions/index.ts'
import {
  type Browser,
  findClientState,
  isDevBrowserHost,
  isSignedIn,
  type NewClientToken,
  rotateClientToken,
} from '../../domains/sessions/index.ts'
import { finishSocialSignIn, tellOfLink } from '../../domains/signin/index.ts'
import { finishSocialSignUp } from '../../domains/signup/index.ts'
import { failExternalAccount, getUser, linkExternalAccount } from '../../domains/users/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { html, page } from '../platform/page.ts'
import { readText } from '../read-text.ts'
import { callerAddress, type FrontendEnv, noteIssued, requireBrowser } from './context.ts'

/** What a provider answers with is a code and a few words. */
const maxFormBytes = 64 * 1024

/** Where providers send browsers back to. */
export function oauthCallbackRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()
  routes.get('/oauth_callback', async (c) => {
    try {
      return await finish(c, c.req.query())
    } catch (error) {
      // A person is looking at this; a program gets the error as everywhere.
      if (!(error instanceof UsherError) || !c.req.header('accept')?.includes('text/html')) throw error
      return deadEnd(error)
    }
  })
  // Some providers answer with a form, which a browser sends across sites without cookies: asked again, it brings them.
  routes.post('/oauth_callback', async (c) => {
    const form = new URLSearchParams(await readText(c, maxFormBytes))
    const query = new URLSearchParams()
    for (const name of ['state', 'code', 'error', 'iss', 'user']) {
      const value = form.get(name)
      if (value !== null) query.set(name, value)
    }
    return redirect(`${c.var.publicUrl}/v1/oauth_callback?${query}`)
  })
  return routes
}

async function finish(c: Context<FrontendEnv>, query: Record<string, string>): Promise<Response> {
  const { ctx, publicUrl, instance } = c.var
  // A dev browser is known by a parameter that a provider does not carry: there the state alone ties it together.
  const devBrowser = instance.environment === 'development' && isDevBrowserHost(instance.host)
  const trip = await endRoundTrip(ctx, {
    state: query.state,
    code: query.code,
    error: query.error,
    issuer: query.iss,
    user: query.user,
    clientId: c.var.frontend.clientId,
    bindToClient: !devBrowser,
    publicUrl,
  })
  const { attempt } = trip
  if (attempt.isNative) {
    const back = new URL(attempt.redirectUrl)
    back.searchParams.set('rotating_token_nonce', await keepForApp(ctx, trip))
    return redirect(back.toString())
  }
  const browser: Browser = {
    clientId: attempt.clientId,
    carrier: devBrowser ? 'dev_browser' : 'cookie',
    userAgent: c.req.header('user-agent') ?? null,
    ipAddress: callerAddress(c),
  }
  const { issued: rotated, complete } = await proceed(ctx, browser, trip)
  // Here it is the address that hands over: what the browser that began it has is worth nothing from now on, in case
  // that it had somebody else go to the provider.
  const renew = () => transaction(ctx, (tx) => rotateClientToken(tx, browser))
  const issued = rotated ?? (devBrowser ? await renew() : undefined)
  const target = new URL(
    complete && attempt.actionCompleteRedirectUrl ? attempt.actionCompleteRedirectUrl : attempt.redirectUrl,
  )
  if (devBrowser && issued) target.searchParams.set('__clerk_db_jwt', issued.token)
  else noteIssued(c, issued)
  return redirect(target.toString())
}

type Proceeded = { issued?: NewClientToken | undefined; complete: boolean }

async function proceed(ctx: Ctx, browser: Browser, trip: RoundTrip): Promise<Proceeded> {
  const { attempt } = trip
  switch (attempt.kind) {
    case 'sign_in': {
      const { signIn, issued } = await finishSocialSignIn(ctx, browser, attempt, trip)
      return { issued, complete: signIn.status === 'complete' }
    }
    case 'sign_up': {
      const { signUp, issued } = await finishSocialSignUp(ctx, browser, attempt, trip)
      return { issued, complete: signUp.status === 'complete' }
    }
    case 'external_account':
      await finishLink(ctx, attempt, trip)
      return { complete: true }
  }
}

/**
 * Finishes a round trip for an app outside the browser, which shows the nonce that the browser brought back to it. A
 * nonce that is not good changes nothing.
 *
 * @param id of the sign-in or sign-up
 */
export async function finishForApp(c: Context<FrontendEnv>, kind: Attempt['kind'], id?: string): Promise<void> {
  const nonce = c.req.query('rotating_token_nonce')
  if (!nonce) return
  const browser = requireBrowser(c)
  const trip = await takeForApp(c.var.ctx, { nonce, kind, id, clientId: browser.clientId })
  if (trip) noteIssued(c, (await proceed(c.var.ctx, browser, trip)).issued)
}

/** Links the account to the person who asked for it; what stands in the way is noted on the account itself. */
async function finishLink(ctx: Ctx, attempt: Attempt, trip: RoundTrip): Promise<void> {
  const { id, userId = '' } = attempt
  const fail = (error: { code: string; message: string }) =>
    transaction(ctx, (tx) => failExternalAccount(tx, { id, error }))
  if ('error' in trip) return fail(trip.error)
  const { profile } = trip
  // On a browser that several people use, the next one must not connect theirs to the one who left.
  const client = await findClientState(ctx, attempt.clientId)
  if (!client?.sessions.some((s) => s.userId === userId && isSignedIn(s, ctx.now())))
    return fail({ code: 'authentication_invalid', message: 'You signed out before the account was connected.' })
  try {
    await transaction(ctx, async (tx) => {
      const user = await getUser(tx, userId)
      // The request may have been taken back, or answered already.
      if (!user.externalAccounts.some((a) => a.id === id))
        throw new UsherError('oauth_callback_invalid', 'This account is not being connected any more.')
      if (profile.emailAddress && profile.emailVerified)
        await checkMayHave(tx, { kind: 'email_address', value: profile.emailAddress, userId })
      await linkExternalAccount(tx, { userId, profile })
      await tellOfLink(tx, user, profile)
    })
  } catch (error) {
    if (!(error instanceof UsherError) || error.code === 'oauth_callback_invalid') throw error
    await fail({ code: error.code, message: error.message })
  }
}

function deadEnd(error: UsherError): Response {
  const response = page({
    title: 'Sign-in not finished',
    body: html`<main class="stack"><h1>This sign-in could not be finished</h1>
<p class="lead">${error.message}</p><p>Go back to the application and begin again there.</p></main>`,
  })
  return new Response(response.body, { status: error.status, headers: response.headers })
}

function redirect(location: string): Response {
  return new Response(null, {
    status: 303,
    headers: { location, 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' },
  })
}
