import { Hono } from 'hono'
import { z } from 'zod'
import { transaction } from '../../database/index.ts'
import { beginRoundTrip } from '../../domains/connections/index.ts'
import { warnUser } from '../../domains/messaging/index.ts'
import {
  beginExternalAccount,
  type ExternalAccount,
  forgetExternalTokens,
  getExternalAccount,
  getUser,
  unlinkExternalAccount,
} from '../../domains/users/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { presentExternalAccount } from '../presenters/user.ts'
import { type FrontendEnv, happeningOf, limitByAddress, reply, requireSession } from './context.ts'
import { parseForm } from './forms.ts'
import { redirectsOf } from './redirects.ts'

const text = z.string().max(4096)
const LinkForm = z.object({
  strategy: text,
  redirect_url: text.optional(),
  action_complete_redirect_url: text.optional(),
  additional_scope: z.union([text, z.array(text).max(50)]).optional(),
  oidc_prompt: text.optional(),
  oidc_login_hint: text.optional(),
})
const ReauthorizeForm = LinkForm.omit({ strategy: true })

/** `/v1/me/external_accounts`: a person's accounts at social providers. */
export function meExternalAccountRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()

  routes.post('/me/external_accounts', limitByAddress, async (c) => {
    const { userId, clientId } = requireSession(c)
    const { strategy, ...form } = await parseForm(c, LinkForm)
    const redirects = await redirectsOf(c, form)
    const provider = strategy.replace(/^oauth_/, '')
    const account = await transaction(c.var.ctx, (tx) => beginExternalAccount(tx, { userId, provider }))
    const url = await beginRoundTrip(c.var.ctx, {
      ...redirects,
      strategy,
      attempt: { kind: 'external_account', id: account.id, clientId, userId, ...redirects },
      additionalScopes: scopesOf(form.additional_scope),
      prompt: form.oidc_prompt,
      loginHint: form.oidc_login_hint,
    })
    return reply(c, presentPending(account, url))
  })
  routes.patch('/me/external_accounts/:id/reauthorize', limitByAddress, async (c) => {
    const { userId, clientId } = requireSession(c)
    const form = await parseForm(c, ReauthorizeForm)
    const redirects = await redirectsOf(c, form)
    const account = await getExternalAccount(c.var.ctx, { userId, id: c.req.param('id') })
    const url = await beginRoundTrip(c.var.ctx, {
      ...redirects,
      strategy: `oauth_${account.provider}`,
      attempt: { kind: 'external_account', id: account.id, clientId, userId, ...redirects },
      additionalScopes: [...account.approvedScopes.split(' '), ...scopesOf(form.additional_scope)],
      prompt: form.oidc_prompt,
      loginHint: form.oidc_login_hint,
    })
    return reply(c, presentPending(account, url))
  })
  routes.delete('/me/external_accounts/:id', async (c) => {
    const { userId } = requireSession(c)
    const id = c.req.param('id')
    await transaction(c.var.ctx, async (tx) => {
      const user = await getUser(tx, userId)
      await unlinkExternalAccount(tx, { userId, id })
      const gone = user.externalAccounts.find((a) => a.id === id && a.verifiedAt !== null)
      if (!gone) return
      const provider = tx.instance.connections.find((x) => x.provider.key === gone.provider)?.name ?? gone.provider
      const account = gone.emailAddress || gone.username || (gone.providerUserId ?? '')
      await warnUser(tx, user, { template: 'external_account_removed', data: { provider, account, ...happeningOf(c) } })
    })
    return reply(c, { object: 'external_account', id, deleted: true })
  })
  routes.delete('/me/external_accounts/:id/tokens', async (c) => {
    const { userId } = requireSession(c)
    const account = await forgetExternalTokens(c.var.ctx, { userId, id: c.req.param('id') })
    return reply(c, presentExternalAccount(account))
  })
  return routes
}

const scopesOf = (given: string | string[] | undefined) =>
  [given ?? []].flat().flatMap((s) => s.split(' ').filter(Boolean))

/** With the provider's page, to which the components send the browser. */
function presentPending(account: ExternalAccount, url: string) {
  if (!URL.canParse(url)) throw new UsherError('oauth_provider_failed', 'The provider’s page could not be found.')
  const presented = presentExternalAccount(account)
  return {
    ...presented,
    verification: {
      ...presented.verification,
      status: 'unverified',
      error: null,
      external_verification_redirect_url: url,
    },
  }
}
