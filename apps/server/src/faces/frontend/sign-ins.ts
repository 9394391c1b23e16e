import { type Context, Hono } from 'hono'
import { z } from 'zod'
import { connectionFor } from '../../domains/connections/index.ts'
import { getClient } from '../../domains/sessions/index.ts'
import {
  attemptFirstFactor,
  attemptSecondFactor,
  beginSocialSignIn,
  createSignIn,
  getSignIn,
  prepareFirstFactor,
  prepareSecondFactor,
  resetPassword,
  type SignInOutcome,
  transferToSignIn,
} from '../../domains/signin/index.ts'
import { presentSignIn } from '../presenters/sign-in.ts'
import { challengeFields, requireHuman } from './bot-check.ts'
import {
  blurTime,
  ensureBrowser,
  type FrontendEnv,
  limitByAddress,
  noteBrowser,
  noteIssued,
  prospectiveBrowser,
  reply,
  requireBrowser,
} from './context.ts'
import { parseForm } from './forms.ts'
import { finishForApp } from './oauth-callback.ts'
import { checkRedirect, redirectsOf } from './redirects.ts'
import { relyingPartyOf } from './relying-party.ts'

const text = z.string().max(4096)

// The identifier is left as it came: its domain refuses everything but one plain identifier.
const CreateForm = z.object({
  identifier: z.unknown().optional(),
  password: text.optional(),
  strategy: text.optional(),
  ticket: text.optional(),
  redirect_url: text.optional(),
  action_complete_redirect_url: text.optional(),
  sign_up_if_missing: z.stringbool().optional(),
  transfer: z.stringbool().optional(),
  oidc_prompt: text.optional(),
  oidc_login_hint: text.optional(),
  ...challengeFields,
})
const PrepareForm = z.object({
  strategy: text,
  email_address_id: text.optional(),
  phone_number_id: text.optional(),
  redirect_url: text.optional(),
})
const AttemptForm = z.object({
  strategy: text,
  password: text.optional(),
  code: text.optional(),
  ticket: text.optional(),
  public_key_credential: z.string().max(16_384).optional(),
})
const SecondAttemptForm = z.object({ strategy: text, code: text.optional() })
const ResetForm = z.object({ password: text, sign_out_of_other_sessions: text.or(z.boolean()).optional() })

/** Signing in, step by step. */
export function signInRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()
  routes.use('/client/sign_ins/*', blurTime, limitByAddress) // the path without a rest too

  routes.post('/client/sign_ins', async (c) => {
    const form = await parseForm(c, CreateForm)
    const { redirect_url: redirectUrl, sign_up_if_missing: signUpIfMissing, ...input } = form
    if (form.transfer) return answer(c, await transferToSignIn(c.var.ctx, requireBrowser(c), await currentSignUpId(c)))
    if (form.strategy?.startsWith('oauth_')) {
      // Said first: whoever asks for a provider that is not offered has no use for a redirect either.
      connectionFor(c.var.instance, form.strategy)
      const request = {
        ...(await redirectsOf(c, form)),
        strategy: form.strategy,
        prompt: form.oidc_prompt,
        loginHint: form.oidc_login_hint,
      }
      return answer(c, await beginSocialSignIn(c.var.ctx, await ensureBrowser(c), request))
    }
    const rpId = relyingPartyOf(c)?.rpId
    if (redirectUrl) await checkRedirect(c, redirectUrl)
    // Such a sign-in goes on for people without an account, and sends codes to whom it names.
    if (signUpIfMissing) await requireHuman(c, form)
    const { publicUrl } = c.var
    // With a password it is complete at once or nothing, and writes all that there is to write then.
    const atOnce = form.identifier && form.password && !form.ticket && form.strategy !== 'ticket'
    const browser = atOnce ? prospectiveBrowser(c) : await ensureBrowser(c)
    try {
      const begun = await createSignIn(c.var.ctx, browser, { ...input, redirectUrl, publicUrl, signUpIfMissing, rpId })
      noteBrowser(c, browser)
      return await answer(c, begun)
    } catch (error) {
      // A refusal begins nothing, but the browser is known from then on, and its attempts are counted.
      if (browser.isNew) await ensureBrowser(c)
      throw error
    }
  })
  routes.get('/client/sign_ins/:id', async (c) => {
    const { clientId } = requireBrowser(c)
    await finishForApp(c, 'sign_in', c.req.param('id'))
    return answer(c, { signIn: await getSignIn(c.var.ctx, { clientId, id: c.req.param('id') }) })
  })
  routes.post('/client/sign_ins/:id/prepare_first_factor', async (c) => {
    const form = await parseForm(c, PrepareForm)
    const prepared = await prepareFirstFactor(c.var.ctx, requireBrowser(c), {
      id: c.req.param('id'),
      strategy: form.strategy,
      emailAddressId: form.email_address_id,
      phoneNumberId: form.phone_number_id,
      redirectUrl: form.redirect_url && (await checkRedirect(c, form.redirect_url)),
      publicUrl: c.var.publicUrl,
      rpId: relyingPartyOf(c)?.rpId,
    })
    return answer(c, prepared)
  })
  routes.post('/client/sign_ins/:id/attempt_first_factor', async (c) => {
    const { public_key_credential: publicKeyCredential, ...form } = await parseForm(c, AttemptForm)
    const relyingParty = relyingPartyOf(c)
    const input = { id: c.req.param('id'), ...form, publicKeyCredential, relyingParty }
    return answer(c, await attemptFirstFactor(c.var.ctx, requireBrowser(c), input))
  })
  routes.post('/client/sign_ins/:id/prepare_second_factor', async (c) => {
    const form = await parseForm(c, PrepareForm)
    const prepared = await prepareSecondFactor(c.var.ctx, requireBrowser(c), {
      id: c.req.param('id'),
      strategy: form.strategy,
      emailAddressId: form.email_address_id,
      phoneNumberId: form.phone_number_id,
    })
    return answer(c, prepared)
  })
  routes.post('/client/sign_ins/:id/attempt_second_factor', async (c) => {
    const form = await parseForm(c, SecondAttemptForm)
    return answer(c, await attemptSecondFactor(c.var.ctx, requireBrowser(c), { id: c.req.param('id'), ...form }))
  })
  routes.post('/client/sign_ins/:id/reset_password', async (c) => {
    const form = await parseForm(c, ResetForm)
    const signOutOfOtherSessions = String(form.sign_out_of_other_sessions) === 'true'
    const input = { id: c.req.param('id'), password: form.password, signOutOfOtherSessions }
    return answer(c, await resetPassword(c.var.ctx, requireBrowser(c), input))
  })
  return routes
}

async function currentSignUpId(c: Context<FrontendEnv>): Promise<string | null> {
  return (await getClient(c.var.ctx, requireBrowser(c).clientId)).signUpId
}

function answer(c: Context<FrontendEnv>, { signIn, issued }: SignInOutcome): Promise<Response> {
  noteIssued(c, issued)
  return reply(c, presentSignIn(c.var.ctx, signIn))
}
