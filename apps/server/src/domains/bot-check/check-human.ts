import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { Challenge } from './challenge.ts'

export type HumanEvidence = {
  /** What the widget in the browser gave. */
  token: string | undefined
  widget: 'smart' | 'invisible' | undefined
  ipAddress: string
}

/** Longer than any answer of a widget. */
const maxTokenLength = 4096

/**
 * Refuses a caller who does not show that they are a person, where the instance asks for it. Without a configured
 * provider nobody can show it, and nobody passes: an operator who switched the check on did not mean it to be silent.
 *
 * @param challenge absent: the server has no provider of challenges
 * @throws {UsherError} `captcha_missing_token`, `captcha_invalid`, or `unavailable` while the provider is
 */
export async function checkHuman(
  ctx: Ctx,
  challenge: Challenge | undefined,
  { token, widget, ipAddress }: HumanEvidence,
): Promise<void> {
  const { botCheck } = ctx.instance.settings
  if (!botCheck.enabled) return
  if (!challenge) ctx.log.error('the bot check is on, and no provider of challenges is configured')
  if (!challenge || !token)
    throw new UsherError('captcha_missing_token', 'Please show that you are a person: the challenge is not answered.')
  const answer = { token, widget: widget ?? botCheck.widget, ipAddress }
  if (token.length > maxTokenLength || !(await verify(ctx, challenge, answer)))
    throw new UsherError('captcha_invalid', 'The answer to the challenge was not accepted. Please try again.')
}

async function verify(ctx: Ctx, challenge: Challenge, answer: Parameters<Challenge['verify']>[0]): Promise<boolean> {
  try {
    return await challenge.verify(answer)
  } catch (error) {
    ctx.log.error({ err: error }, 'the provider of challenges could not be asked')
    throw new UsherError('unavailable', 'The challenge cannot be checked at the moment. Please try again.')
  }
}
