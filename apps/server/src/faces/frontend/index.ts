import { Hono } from 'hono'
import { jsonResponse, resolveInstance } from '../http.ts'
import { apiKeyRoutes } from './api-keys.ts'
import { auditLogRoutes } from './audit-logs.ts'
import { clientRoutes } from './client.ts'
import { type FrontendEnv, identifyCaller, onFrontendError } from './context.ts'
import { environmentRoutes } from './environment.ts'
import { handshakeRoutes } from './handshake.ts'
import { imageRoutes } from './images.ts'
import { guardImpersonation } from './impersonation.ts'
import { meRoutes } from './me.ts'
import { meExternalAccountRoutes } from './me-external-accounts.ts'
import { meFactorRoutes } from './me-factors.ts'
import { meOrganizationRoutes } from './me-organizations.ts'
import { mePhoneNumberRoutes } from './me-phone-numbers.ts'
import { notificationRoutes } from './notifications.ts'
import { oauthCallbackRoutes } from './oauth-callback.ts'
import { organizationDomainRoutes } from './organization-domains.ts'
import { organizationRoutes } from './organizations.ts'
import { guardOrigin } from './origins.ts'
import { guardFreshness, reverificationRoutes } from './reverification.ts'
import { signInRoutes } from './sign-ins.ts'
import { signUpRoutes } from './sign-ups.ts'
import { guardTasks } from './tasks.ts'
import { ticketRoutes } from './tickets.ts'
import { vaultRoutes } from './vault.ts'
import { emailLinkRoutes } from './verify.ts'
import { waitlistRoutes } from './waitlist.ts'

/** Where the guards of a session's standing have something to say; each pattern is for the address itself as well. */
const guardedPaths = [
  '/v1/me/*',
  '/v1/organizations/*',
  '/v1/sync/*',
  '/v1/vault/*',
  '/v1/api_keys/*',
  '/v1/client/sessions/:id/verify/*',
]

/** The browser API under `/v1`, for the unmodified browser SDKs. */
export function frontendFace(): Hono<FrontendEnv> {
  const face = new Hono<FrontendEnv>()
  face.onError(onFrontendError)
  face.use(resolveInstance)
  // Pictures are asked for by any page, without cookies.
  face.route('/v1', imageRoutes())
  face.use(guardOrigin)
  face.use(identifyCaller)
  // Named by what they guard, so that minting a token, which is most of what is asked for, does not pass them.
  for (const path of guardedPaths) face.use(path, guardImpersonation, guardFreshness, guardTasks)
  face.get('/v1/health', () => jsonResponse({ status: 'healthy' }))
  face.route('/v1', environmentRoutes())
  face.route('/v1', clientRoutes())
  face.route('/v1', reverificationRoutes())
  face.route('/v1', signInRoutes())
  face.route('/v1', signUpRoutes())
  face.route('/v1', handshakeRoutes())
  face.route('/v1', ticketRoutes())
  face.route('/v1', emailLinkRoutes())
  face.route('/v1', waitlistRoutes())
  face.route('/v1', oauthCallbackRoutes())
  face.route('/v1', meRoutes())
  face.route('/v1', meExternalAccountRoutes())
  face.route('/v1', meFactorRoutes())
  face.route('/v1', mePhoneNumberRoutes())
  face.route('/v1', meOrganizationRoutes())
  face.route('/v1', organizationRoutes())
  face.route('/v1', auditLogRoutes())
  face.route('/v1', notificationRoutes())
  face.route('/v1', vaultRoutes())
  face.route('/v1', apiKeyRoutes())
  face.route('/v1', organizationDomainRoutes())
  return face
}
