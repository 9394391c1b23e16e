import { type Context, Hono } from 'hono'
import { z } from 'zod'
import { connectionFor } from '../../domains/connections/index.ts'
import { getClient } from '../../domains/sessions/index.ts'
import { takeTransfer } from '../../domains/signin/index.ts'
import {
  attemptSignUpVerification,
  beginSocialSignUp,
  createSignUp,
  getSignUp,
  prepareSignUpVerification,
  type SignUpFields,
  type SignUpOutcome,
  updateSignUp,
} from '../../domains/signup/index.ts'
import { presentSignUp } from '../presenters/sign-up.ts'
import { challengeFields, requireHuman } from './bot-check.ts'
import { ensureBrowser, type FrontendEnv, limitByAddress, noteIssued, reply, requireBrowser } from './context.ts'
import { parseForm } from './forms.ts'
import { finishForApp } from './oauth-callback.ts'
import { checkRedirect, redirectsOf } from './redirects.ts'

const text = z.string().max(4096)
const name = z.string().trim().max(256)

/** Metadata arrives as JSON text in forms. */
const Metadata = z
  .string()
  .max(8192)
  .transform((value, context) => {
    try {
      return JSON.parse(value || '{}')
    } catch {
      context.addIssue({ code: 'custom', message: 'is not JSON' })
      return z.NEVER
    }
  })
  .or(z.unknown())
  .pipe(z.record(z.string(), z.unknown()))

// Identifiers are left as they came: their domain refuses everything but one plain one.
const FieldsForm = z.object({
  email_address: z.unknown().optional(),
  phone_number: z.unknown().optional(),
  username: z.unknown().optional(),
  locale: z.string().max(35).optional(),
  strategy: text.optional(),
  transfer: z.stringbool().optional(),
  redirect_url: text.optional(),
  action_complete_redirect_url: text.optional(),
  oidc_prompt: text.optional(),
  oidc_login_hint: text.optional(),
  password: text.optional(),
  first_name: name.optional(),
  last_name: name.optional(),
  unsafe_metadata: Metadata.optional(),
  legal_accepted: text.or(z.boolean()).optional(),
  ticket: text.optional(),
  ...challengeFields,
})
const PrepareForm = z.object({ strategy: text, redirect_url: text.optional() })
const AttemptForm = z.object({ strategy: text, code: text.optional() })

/** Signing up, step by step. */
export function signUpRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()
  routes.use('/client/sign_ups/*', limitByAddress) // the path without a rest too

  routes.post('/client/sign_ups', async (c) => {
    const form = await parseForm(c, FieldsForm)
    await requireHuman(c, form)
    const fields = toFields(form)
    if (form.transfer) return answer(c, await transferToSignUp(c, fields))
    const browser = await ensureBrowser(c)
    const social = await socialRequest(c, form)
    if (social) return answer(c, await beginSocialSignUp(c.var.ctx, browser, fields, social))
    return answer(c, await createSignUp(c.var.ctx, browser, fields))
  })
  routes.get('/client/sign_ups/:id', async (c) => {
    const { clientId } = requireBrowser(c)
    await finishForApp(c, 'sign_up', c.req.param('id'))
    return answer(c, { signUp: await getSignUp(c.var.ctx, { clientId, id: c.req.param('id') }) })
  })
  routes.get('/client/sign_ups/:id/enterprise_connections', async (c) => reply(c, []))
  routes.patch('/client/sign_ups/:id', async (c) => {
    const form = await parseForm(c, FieldsForm)
    const fields = toFields(form)
    const social = await socialRequest(c, form)
    if (social) {
      const browser = requireBrowser(c)
      return answer(c, await beginSocialSignUp(c.var.ctx, browser, fields, social, c.req.param('id')))
    }
    return answer(c, await updateSignUp(c.var.ctx, requireBrowser(c), c.req.param('id'), fields))
  })
  routes.post('/client/sign_ups/:id/prepare_verification', async (c) => {
    const { strategy, redirect_url } = await parseForm(c, PrepareForm)
    const redirectUrl = redirect_url && (await checkRedirect(c, redirect_url))
    const input = { id: c.req.param('id'), strategy, redirectUrl, publicUrl: c.var.publicUrl }
    return answer(c, await prepareSignUpVerification(c.var.ctx, requireBrowser(c), input))
  })
  routes.post('/client/sign_ups/:id/attempt_verification', async (c) => {
    const { strategy, code } = await parseForm(c, AttemptForm)
    const input = { id: c.req.param('id'), strategy, code }
    return answer(c, await attemptSignUpVerification(c.var.ctx, requireBrowser(c), input))
  })
  return routes
}

/** What a provider is asked, when one is. */
async function socialRequest(c: Context<FrontendEnv>, form: z.infer<typeof FieldsForm>) {
  if (!form.strategy?.startsWith('oauth_')) return undefined
  connectionFor(c.var.instance, form.strategy)
  const { strategy, oidc_prompt: prompt, oidc_login_hint: loginHint } = form
  return { ...(await redirectsOf(c, form)), strategy, prompt, loginHint }
}

/** Goes on with what this browser's sign-in has proven; handed over and taken in one transaction. */
function transferToSignUp(c: Context<FrontendEnv>, fields: SignUpFields): Promise<SignUpOutcome> {
  const browser = requireBrowser(c)
  return createSignUp(c.var.ctx, browser, fields, async (tx) => {
    const { signInId } = await getClient(tx, browser.clientId)
    return takeTransfer(tx, browser, signInId)
  })
}

function toFields(form: z.infer<typeof FieldsForm>): SignUpFields {
  return {
    emailAddress: form.email_address,
    phoneNumber: form.phone_number,
    username: form.username,
    locale: form.locale,
    redirectUrl: form.redirect_url,
    password: form.password,
    firstName: form.first_name,
    lastName: form.last_name,
    unsafeMetadata: form.unsafe_metadata,
    legalAccepted: String(form.legal_accepted) === 'true',
    ticket: form.ticket,
  }
}

function answer(c: Context<FrontendEnv>, { signUp, issued }: SignUpOutcome): Promise<Response> {
  noteIssued(c, issued)
  return reply(c, presentSignUp(c.var.ctx, signUp))
}
