import { type Context, Hono } from 'hono'
import { z } from 'zod'
import {
  attemptSignUpVerification,
  createSignUp,
  getSignUp,
  prepareSignUpVerification,
  type SignUpFields,
  type SignUpOutcome,
  updateSignUp,
} from '../../domains/signup/index.ts'
import { presentSignUp } from '../presenters/sign-up.ts'
import { ensureBrowser, type FrontendEnv, limitByAddress, noteIssued, reply, requireBrowser } from './context.ts'
import { parseForm } from './forms.ts'

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
  redirect_url: text.optional(),
  password: text.optional(),
  first_name: name.optional(),
  last_name: name.optional(),
  unsafe_metadata: Metadata.optional(),
  legal_accepted: text.or(z.boolean()).optional(),
  ticket: text.optional(),
})
const PrepareForm = z.object({ strategy: text })
const AttemptForm = z.object({ strategy: text, code: text.optional() })

/** Signing up, step by step. */
export function signUpRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()
  routes.use('/client/sign_ups/*', limitByAddress) // the path without a rest too

  routes.post('/client/sign_ups', async (c) => {
    const fields = toFields(await parseForm(c, FieldsForm))
    return answer(c, await createSignUp(c.var.ctx, await ensureBrowser(c), fields))
  })
  routes.get('/client/sign_ups/:id', async (c) => {
    const { clientId } = requireBrowser(c)
    return answer(c, { signUp: await getSignUp(c.var.ctx, { clientId, id: c.req.param('id') }) })
  })
  routes.get('/client/sign_ups/:id/enterprise_connections', async (c) => reply(c, []))
  routes.patch('/client/sign_ups/:id', async (c) => {
    const fields = toFields(await parseForm(c, FieldsForm))
    return answer(c, await updateSignUp(c.var.ctx, requireBrowser(c), c.req.param('id'), fields))
  })
  routes.post('/client/sign_ups/:id/prepare_verification', async (c) => {
    const { strategy } = await parseForm(c, PrepareForm)
    const input = { id: c.req.param('id'), strategy }
    return answer(c, await prepareSignUpVerification(c.var.ctx, requireBrowser(c), input))
  })
  routes.post('/client/sign_ups/:id/attempt_verification', async (c) => {
    const { strategy, code } = await parseForm(c, AttemptForm)
    const input = { id: c.req.param('id'), strategy, code }
    return answer(c, await attemptSignUpVerification(c.var.ctx, requireBrowser(c), input))
  })
  return routes
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
