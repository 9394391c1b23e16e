import type { ClientRecord } from '../../domains/sessions/index.ts'
import type { SignInRecord } from '../../domains/signin/index.ts'
import type { SignUpRecord } from '../../domains/signup/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { presentSession, type SessionJson } from './session.ts'
import { presentSignIn } from './sign-in.ts'
import { presentSignUp } from './sign-up.ts'

export type ClientJson = {
  object: 'client'
  id: string
  sessions: SessionJson[]
  sign_in: ReturnType<typeof presentSignIn> | null
  sign_up: ReturnType<typeof presentSignUp> | null
  last_active_session_id: string | null
  last_authentication_strategy: string | null
  cookie_expires_at: number | null
  captcha_bypass: boolean
  created_at: number
  updated_at: number
}

type Parts = {
  client: ClientRecord
  signIn?: SignInRecord | undefined
  signUp?: SignUpRecord | undefined
  /** A fresh token for each session, by its id. */
  tokens?: ReadonlyMap<string, string | undefined>
  cookieExpiresAt?: Date | null
  /** The caller need not answer a challenge. */
  captchaBypass?: boolean
}

/** A client with its signed-in sessions and what it has under way. */
export function presentClient(
  ctx: Ctx,
  { client, signIn, signUp, tokens, cookieExpiresAt, captchaBypass }: Parts,
): ClientJson {
  const now = ctx.now()
  const underWay = <T extends { status: string; abandonAt: Date }>(flow: T | undefined) =>
    flow && flow.status !== 'complete' && flow.status !== 'abandoned' && flow.abandonAt > now ? flow : undefined
  const openSignIn = underWay(signIn)
  const openSignUp = underWay(signUp)
  const lastActive = client.sessions.find((s) => s.id === client.lastActiveSessionId) ?? client.sessions.at(-1)
  return {
    object: 'client',
    id: client.id,
    sessions: client.sessions.map((s) => presentSession(ctx, s, { token: tokens?.get(s.id), user: true })),
    sign_in: openSignIn ? presentSignIn(ctx, openSignIn) : null,
    sign_up: openSignUp ? presentSignUp(ctx, openSignUp) : null,
    last_active_session_id: lastActive?.id ?? null,
    last_authentication_strategy: client.lastAuthenticationStrategy,
    cookie_expires_at: cookieExpiresAt?.getTime() ?? null,
    captcha_bypass: captchaBypass ?? false,
    created_at: client.createdAt.getTime(),
    updated_at: client.updatedAt.getTime(),
  }
}
