import type { Context } from 'hono'
import { z } from 'zod'
import { checkHuman } from '../../domains/bot-check/index.ts'
import { callerAddress, type FrontendEnv, isTest } from './context.ts'

/** What the browser SDK says about a challenge, in the forms that may need one. */
export const challengeFields = {
  captcha_token: z.string().optional(),
  // `invisible` also comes from pages that have no place for the visible one. What else is said counts as unsaid.
  captcha_widget_type: z.enum(['smart', 'invisible']).optional().catch(undefined),
}
const ChallengeForm = z.object(challengeFields)

/** Refuses a caller who may be a program; one who shows a testing token is one, and passes. @throws as `checkHuman` */
export async function requireHuman(c: Context<FrontendEnv>, form: z.infer<typeof ChallengeForm>): Promise<void> {
  if (isTest(c)) return
  await checkHuman(c.get('ctx'), c.get('runtime').challenge, {
    token: form.captcha_token || undefined,
    widget: form.captcha_widget_type,
    ipAddress: callerAddress(c),
  })
}
