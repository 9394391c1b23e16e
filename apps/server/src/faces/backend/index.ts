import { Hono } from 'hono'
import { UsherError } from '../../kernel/errors.ts'
import { createCtx } from '../../runtime.ts'
import { type Env, resolveInstance, secretKeyOf } from '../http.ts'
import { accessRoutes } from './access.ts'
import { apiKeyRoutes } from './api-keys.ts'
import { auditLogRoutes } from './audit-logs.ts'
import { channelRoutes } from './channels.ts'
import { documentRoutes } from './documents.ts'
import { emailAddressRoutes } from './email-addresses.ts'
import { eventRoutes } from './events.ts'
import { featureRoutes } from './features.ts'
import { groupRoutes } from './groups.ts'
import { instanceRoutes } from './instance.ts'
import { invitationRoutes } from './invitations.ts'
import { jwtTemplateRoutes } from './jwt-templates.ts'
import { m2mTokenRoutes } from './m2m-tokens.ts'
import { machineRoutes } from './machines.ts'
import { memberGrantRoutes } from './member-grants.ts'
import { organizationDomainRoutes } from './organization-domains.ts'
import { organizationRoutes } from './organizations.ts'
import { phoneNumberRoutes } from './phone-numbers.ts'
import { refusePages } from './refuse-pages.ts'
import { restrictionRoutes } from './restrictions.ts'
import { roleSetRoutes } from './role-sets.ts'
import { roleRoutes } from './roles.ts'
import { sessionRoutes } from './sessions.ts'
import { signUpRoutes } from './sign-ups.ts'
import { templateRoutes } from './templates.ts'
import { tokenRoutes } from './tokens.ts'
import { userFactorRoutes } from './user-factors.ts'
import { userListRoutes } from './user-lists.ts'
import { userRoutes } from './users.ts'
import { vaultRoutes } from './vault.ts'
import { waitlistRoutes } from './waitlist.ts'
import { webhookRoutes } from './webhooks.ts'

/** The server API under `/v1`, for an application's own server with its secret key. */
export function backendFace(): Hono<Env> {
  const face = new Hono<Env>()
  // Before the rest: machines come here with keys of their own.
  face.route('/v1', m2mTokenRoutes())
  face.use(resolveInstance)
  face.use(async (c, next) => {
    // The path decided on this face, and only a secret key leads here; checked again so that the face stands alone.
    if (!secretKeyOf(c.req.header('authorization')))
      throw new UsherError('clerk_key_invalid', 'A secret key is needed here.')
    refusePages(c)
    const request = { ip: c.env.ip, userAgent: c.req.header('user-agent') }
    c.set('ctx', createCtx(c.get('runtime'), c.get('instance'), { type: 'backend' }, c.get('log'), request))
    await next()
  })
  const resources = [
    userListRoutes,
    userRoutes,
    emailAddressRoutes,
    phoneNumberRoutes,
    userFactorRoutes,
    sessionRoutes,
    jwtTemplateRoutes,
    tokenRoutes,
    organizationRoutes,
    organizationDomainRoutes,
    auditLogRoutes,
    roleRoutes,
    roleSetRoutes,
    accessRoutes,
    groupRoutes,
    memberGrantRoutes,
    featureRoutes,
    invitationRoutes,
    instanceRoutes,
    restrictionRoutes,
    waitlistRoutes,
    signUpRoutes,
    templateRoutes,
    eventRoutes,
    webhookRoutes,
    machineRoutes,
    apiKeyRoutes,
    channelRoutes,
    vaultRoutes,
    documentRoutes,
  ]
  for (const routes of resources) face.route('/v1', routes())
  return face
}
