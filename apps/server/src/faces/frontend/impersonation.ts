import type { Context, MiddlewareHandler } from 'hono'
import { UsherError } from '../../kernel/errors.ts'
import type { FrontendEnv } from './env.ts'

/**
 * What somebody who acts for a person may not do: change how the person proves who they are, what they are reached by,
 * who else is signed in as them, or end what cannot be brought back. Reading stays open.
 */
const ownersOnly: [methods: string[], path: RegExp][] = [
  [['DELETE'], /\/v1\/me$/],
  [['POST'], /\/v1\/me\/(change_password|remove_password)$/],
  [
    ['POST', 'PUT', 'PATCH', 'DELETE'],
    /\/v1\/me\/(email_addresses|phone_numbers|web3_wallets|external_accounts|passkeys|totp|backup_codes|api_keys)(\/|$)/,
  ],
  [['POST'], /\/v1\/me\/sessions\/[^/]+\/revoke$/],
  [['POST'], /\/v1\/client\/sessions\/[^/]+\/verify(\/|$)/],
  [['DELETE'], /\/v1\/organizations\/[^/]+$/],
  [['POST', 'PUT', 'PATCH', 'DELETE'], /\/v1\/(api_keys|me\/enterprise_accounts|organizations\/[^/]+\/api_keys)(\/|$)/],
]

/** Refuses what only the person may do. @throws {UsherError} `action_not_allowed_while_impersonating` */
export const guardImpersonation: MiddlewareHandler<FrontendEnv> = async (c, next) => {
  if (!c.get('frontend').session?.actor) return next()
  const { method, path } = c.req
  if (ownersOnly.some(([methods, pattern]) => methods.includes(method) && pattern.test(path))) refuseImpersonator(c)
  await next()
}

/** @throws {UsherError} `action_not_allowed_while_impersonating` when somebody acts for the person */
export function refuseImpersonator(c: Context<FrontendEnv>): void {
  if (c.get('frontend').session?.actor)
    throw new UsherError('action_not_allowed_while_impersonating', 'Only the person themselves can do this.')
}
