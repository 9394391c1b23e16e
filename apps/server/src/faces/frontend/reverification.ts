import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { z } from 'zod'
import { againFactorsOf, attemptAgain, prepareAgain, startVerification } from '../../domains/signin/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { presentSessionVerification } from '../presenters/session-verification.ts'
import { type FrontendEnv, limitByAddress, reply, requireBrowser } from './context.ts'
import { parseForm } from './forms.ts'
import { relyingPartyOf } from './relying-party.ts'

const text = z.string().max(4096)
const StartForm = z.object({ level: z.enum(['first_factor', 'second_factor', 'multi_factor']).default('first_factor') })
const PrepareForm = z.object({
  strategy: text,
  email_address_id: text.optional(),
  phone_number_id: text.optional(),
})
const AttemptForm = z.object({
  strategy: text,
  password: text.optional(),
  code: text.optional(),
  public_key_credential: z.string().max(16_384).optional(),
})

/** `/v1/client/sessions/{id}/verify`: showing again who is at a session. */
export function reverificationRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()
  const path = '/client/sessions/:id/verify'
  routes.post(path, limitByAddress, async (c) => {
    const { level } = await parseForm(c, StartForm)
    return reply(c, presentSessionVerification(c.var.ctx, await startVerification(c.var.ctx, callerOf(c), level)))
  })
  for (const stage of ['first', 'second'] as const) {
    routes.post(`${path}/prepare_${stage}_factor`, limitByAddress, async (c) => {
      const form = await parseForm(c, PrepareForm)
      const verification = await prepareAgain(c.var.ctx, callerOf(c), stage, {
        strategy: form.strategy,
        emailAddressId: form.email_address_id,
        phoneNumberId: form.phone_number_id,
        rpId: relyingPartyOf(c)?.rpId,
      })
      return reply(c, presentSessionVerification(c.var.ctx, verification))
    })
    routes.post(`${path}/attempt_${stage}_factor`, limitByAddress, async (c) => {
      const { public_key_credential: publicKeyCredential, ...form } = await parseForm(c, AttemptForm)
      const relyingParty = relyingPartyOf(c)
      const input = { ...form, publicKeyCredential, relyingParty }
      return reply(c, presentSessionVerification(c.var.ctx, await attemptAgain(c.var.ctx, callerOf(c), stage, input)))
    })
  }
  return routes
}

const callerOf = (c: Context<FrontendEnv>) => ({
  sessionId: c.req.param('id') ?? '',
  clientId: requireBrowser(c).clientId,
})

/** What changes how somebody signs in, is reached or is signed in elsewhere, and what cannot be brought back. */
const sensitive: [methods: string[], path: RegExp][] = [
  [['DELETE'], /\/v1\/(me|vault)$/],
  [['POST'], /\/v1\/me\/(change_password|remove_password)$/],
  [['POST', 'DELETE'], /\/v1\/me\/(email_addresses|phone_numbers|passkeys|totp|backup_codes|external_accounts)$/],
  [['DELETE'], /\/v1\/me\/(email_addresses|phone_numbers|passkeys|external_accounts)\/[^/]+$/],
  [['PATCH'], /\/v1\/me\/phone_numbers\/[^/]+$/],
  [['POST'], /\/v1\/me\/sessions\/[^/]+\/revoke$/],
]

/** Asks for a factor again before sensitive steps. @throws {UsherError} `session_reverification_required` */
export const guardFreshness: MiddlewareHandler<FrontendEnv> = async (c, next) => {
  const { method, path } = c.req
  if (sensitive.some(([methods, pattern]) => methods.includes(method) && pattern.test(path))) requireRecentFactor(c)
  await next()
}

/** @throws {UsherError} `session_reverification_required` when the last proof is older than the instance allows */
export function requireRecentFactor(c: Context<FrontendEnv>): void {
  const { session } = c.get('frontend')
  const { enabled, afterMinutes } = c.get('instance').settings.reverification
  if (!enabled || !session) return
  const ctx = c.get('ctx')
  if (ctx.now().getTime() - session.firstFactorAt.getTime() < afterMinutes * 60_000) return
  // Whoever can be asked for nothing would be locked out of their own settings.
  if (againFactorsOf(ctx, session.user).length === 0) return
  throw new UsherError('session_reverification_required', 'Please verify again that it is you.', {
    meta: { level: 'first_factor', after_minutes: afterMinutes },
  })
}
