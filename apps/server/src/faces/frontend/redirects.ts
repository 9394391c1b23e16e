import type { Context } from 'hono'
import { isListedRedirectUrl } from '../../domains/instances/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { FrontendEnv } from './env.ts'
import { isTrustedOrigin, parseOrigin } from './origins.ts'

/**
 * A page of the application that a browser is sent to later: of a trusted origin, or listed by the application word for
 * word (as apps outside the browser need). In development any page of the web may be one, and any address of an app.
 *
 * @throws {UsherError} `form_param_value_invalid`
 */
export async function checkRedirect(c: Context<FrontendEnv>, value: string, param = 'redirect_url'): Promise<string> {
  const { instance, publicUrl, ctx } = c.var
  const page = parseOrigin(value)
  const known =
    value.length <= 4096 &&
    ((page && (instance.environment === 'development' || isTrustedOrigin(instance, publicUrl, value))) ||
      (instance.environment === 'development' && c.var.frontend.carrier === 'native' && isAppAddress(value)) ||
      (await isListedRedirectUrl(ctx, value)))
  if (!known) throw new UsherError('form_param_value_invalid', 'This address is not one of the application.', { param })
  return value
}

/** An address under a scheme of an app's own (RFC 8252 section 7.1), and none that a browser itself makes something of. */
function isAppAddress(value: string): boolean {
  if (!URL.canParse(value)) return false
  const { protocol } = new URL(value)
  return !/^(https?|javascript|vbscript|data|file|filesystem|blob|about|view-source|wss?|ftp):$/.test(protocol)
}

/** Where a round trip to a provider leads back to, from what the page asked for. */
export async function redirectsOf(
  c: Context<FrontendEnv>,
  form: { redirect_url?: string | undefined; action_complete_redirect_url?: string | undefined },
) {
  if (!form.redirect_url)
    throw new UsherError('form_param_missing', 'redirect_url is missing.', { param: 'redirect_url' })
  const complete = form.action_complete_redirect_url
  return {
    redirectUrl: await checkRedirect(c, form.redirect_url),
    actionCompleteRedirectUrl: complete ? await checkRedirect(c, complete, 'action_complete_redirect_url') : null,
    callbackUrl: `${c.var.publicUrl}/v1/oauth_callback`,
    publicUrl: c.var.publicUrl,
    isNative: c.var.frontend.carrier === 'native',
  }
}
