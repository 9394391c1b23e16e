import { Hono } from 'hono'
import { z } from 'zod'
import { transaction } from '../../database/index.ts'
import { getRole, getRoleByKey } from '../../domains/access/index.ts'
import {
  addDomain,
  createRedirectUrl,
  type Domain,
  deleteDomain,
  deleteRedirectUrl,
  EnrollmentMode,
  getRedirectUrl,
  type Instance,
  listDomains,
  listRedirectUrls,
  type RedirectUrl,
  updateDomain,
} from '../../domains/instances/index.ts'
import { type Env, jsonResponse } from '../http.ts'
import { parseBody } from './input.ts'

// What the vendor's API can set beyond these has no meaning here, and is not looked at.
const InstanceInput = z.object({
  support_email: z.email().nullish(),
  hibp: z.boolean().nullish(),
  allowed_origins: z.array(z.string().max(500)).max(500).nullish(),
})
const RestrictionsInput = z.object({
  allowlist: z.boolean().nullish(),
  blocklist: z.boolean().nullish(),
  block_email_subaddresses: z.boolean().nullish(),
  block_disposable_email_domains: z.boolean().nullish(),
  ignore_dots_for_gmail_addresses: z.boolean().nullish(),
})
const OrganizationSettingsInput = z.object({
  enabled: z.boolean().nullish(),
  max_allowed_memberships: z.number().int().min(0).max(1_000_000).nullish(),
  admin_delete_enabled: z.boolean().nullish(),
  creator_role_id: z.string().nullish(),
  domains_default_role_id: z.string().nullish(),
  domains_enabled: z.boolean().nullish(),
  domains_enrollment_modes: z.array(EnrollmentMode).nullish(),
  slug_disabled: z.boolean().nullish(),
})
const DomainInput = z.object({
  name: z.string().max(300),
  is_satellite: z.literal(true, { error: 'an instance has one primary domain: only satellites can be added' }),
  proxy_url: z.url({ protocol: /^https?$/ }).nullish(),
})
const DomainChange = z.object({
  name: z.string().max(300).optional(),
  proxy_url: z.url({ protocol: /^https?$/ }).nullish(),
})

/** `/v1/instance`, `/v1/domains` and `/v1/redirect_urls` for the application's server. */
export function instanceRoutes(): Hono<Env> {
  const routes = new Hono<Env>()

  routes.get('/instance', (c) => jsonResponse(presentInstance(c.var.instance)))
  routes.patch('/instance', async (c) => {
    const { support_email, hibp, allowed_origins } = await parseBody(c, InstanceInput)
    await c.var.runtime.instances.changeSettings(c.var.instance.id, {
      ...(support_email && { supportEmail: support_email }),
      ...(hibp !== undefined && hibp !== null && { password: { refuseBreached: hibp } }),
      ...(allowed_origins && { allowedOrigins: allowed_origins }),
    })
    return new Response(null, { status: 204 })
  })
  routes.patch('/instance/restrictions', async (c) => {
    const input = await parseBody(c, RestrictionsInput)
    const restrictions = given({
      allowlist: input.allowlist,
      blocklist: input.blocklist,
      blockEmailSubaddresses: input.block_email_subaddresses,
      blockDisposableEmailDomains: input.block_disposable_email_domains,
      ignoreDotsForGmail: input.ignore_dots_for_gmail_addresses,
    })
    const settings = await c.var.runtime.instances.changeSettings(c.var.instance.id, { restrictions })
    return jsonResponse({
      object: 'instance_restrictions',
      allowlist: settings.restrictions.allowlist,
      blocklist: settings.restrictions.blocklist,
      block_email_subaddresses: settings.restrictions.blockEmailSubaddresses,
      block_disposable_email_domains: settings.restrictions.blockDisposableEmailDomains,
      ignore_dots_for_gmail_addresses: settings.restrictions.ignoreDotsForGmail,
    })
  })
  routes.get('/instance/organization_settings', (c) =>
    jsonResponse(presentOrganizationSettings(c.var.instance.settings.organizations)),
  )
  routes.patch('/instance/organization_settings', async (c) => {
    const input = await parseBody(c, OrganizationSettingsInput)
    // A role that one organization made for itself is found by its id, and no other organization can have it.
    const keyOf = (id: string | null | undefined) =>
      id ? transaction(c.var.ctx, async (tx) => (await getRoleByKey(tx, (await getRole(tx, id)).key)).key) : undefined
    const organizations = given({
      enabled: input.enabled,
      maxAllowedMemberships: input.max_allowed_memberships,
      adminDelete: input.admin_delete_enabled,
      creatorRole: await keyOf(input.creator_role_id),
      defaultRole: await keyOf(input.domains_default_role_id),
      domains: input.domains_enabled,
      enrollmentModes: input.domains_enrollment_modes,
      slugs: input.slug_disabled == null ? undefined : !input.slug_disabled,
    })
    const settings = await c.var.runtime.instances.changeSettings(c.var.instance.id, { organizations })
    return jsonResponse(presentOrganizationSettings(settings.organizations))
  })

  routes.get('/domains', async (c) => {
    const all = await listDomains(c.var.ctx)
    return jsonResponse({ data: all.map((d) => presentDomain(d, c.var.publicUrl)), total_count: all.length })
  })
  routes.post('/domains', async (c) => {
    const { name, proxy_url: proxyUrl = null } = await parseBody(c, DomainInput)
    return jsonResponse(presentDomain(await addDomain(c.var.ctx, { name, proxyUrl }), c.var.publicUrl))
  })
  routes.patch('/domains/:id', async (c) => {
    const { name, proxy_url: proxyUrl } = await parseBody(c, DomainChange)
    const changed = await updateDomain(c.var.ctx, {
      id: c.req.param('id'),
      ...(name !== undefined && { name }),
      ...(proxyUrl !== undefined && { proxyUrl }),
    })
    return jsonResponse(presentDomain(changed, c.var.publicUrl))
  })
  routes.delete('/domains/:id', async (c) => {
    const id = c.req.param('id')
    await deleteDomain(c.var.ctx, id)
    return jsonResponse({ object: 'domain', id, deleted: true })
  })

  routes.get('/redirect_urls', async (c) => {
    const data = (await listRedirectUrls(c.var.ctx)).map(presentRedirectUrl)
    return jsonResponse(c.req.query('paginated') === 'true' ? { data, total_count: data.length } : data)
  })
  routes.post('/redirect_urls', async (c) => {
    const { url } = await parseBody(c, z.object({ url: z.string() }))
    return jsonResponse(presentRedirectUrl(await createRedirectUrl(c.var.ctx, url)))
  })
  routes.get('/redirect_urls/:id', async (c) =>
    jsonResponse(presentRedirectUrl(await getRedirectUrl(c.var.ctx, c.req.param('id')))),
  )
  routes.delete('/redirect_urls/:id', async (c) => {
    const id = c.req.param('id')
    await deleteRedirectUrl(c.var.ctx, id)
    return jsonResponse({ object: 'redirect_url', id, deleted: true })
  })
  return routes
}

/** What was said: null and nothing leave a setting as it is. */
function given(values: Record<string, unknown>) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined && value !== null))
}

function presentInstance({ id, environment, settings }: Instance) {
  return {
    object: 'instance',
    id,
    environment_type: environment,
    allowed_origins: settings.allowedOrigins,
    support_email: settings.supportEmail ?? null,
  }
}

function presentOrganizationSettings(organizations: Instance['settings']['organizations']) {
  return {
    object: 'organization_settings',
    enabled: organizations.enabled,
    max_allowed_memberships: organizations.maxAllowedMemberships,
    max_allowed_roles: 100,
    max_allowed_permissions: 1000,
    creator_role: organizations.creatorRole,
    admin_delete_enabled: organizations.adminDelete,
    domains_enabled: organizations.domains,
    slug_disabled: !organizations.slugs,
    domains_enrollment_modes: organizations.domains ? organizations.enrollmentModes : [],
    domains_default_role: organizations.defaultRole,
  }
}

function presentDomain(domain: Domain, publicUrl: string) {
  const frontendApiUrl = domain.isSatellite ? `https://clerk.${domain.name}` : publicUrl
  return {
    object: 'domain',
    id: domain.id,
    name: domain.name,
    is_satellite: domain.isSatellite,
    frontend_api_url: domain.proxyUrl ?? frontendApiUrl,
    accounts_portal_url: null,
    proxy_url: domain.proxyUrl,
    development_origin: '',
    cname_targets: domain.isSatellite
      ? [{ host: `clerk.${domain.name}`, value: new URL(publicUrl).hostname, required: true }]
      : [],
  }
}

function presentRedirectUrl(redirectUrl: RedirectUrl) {
  return {
    object: 'redirect_url',
    id: redirectUrl.id,
    url: redirectUrl.url,
    created_at: redirectUrl.createdAt.getTime(),
    updated_at: redirectUrl.updatedAt.getTime(),
  }
}
