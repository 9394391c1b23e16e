import { Hono } from 'hono'
import { z } from 'zod'
import { type Tx, transaction } from '../../database/index.ts'
import { openExternalTokens } from '../../domains/connections/index.ts'
import {
  checkPasswordRules,
  hashPassword,
  importBackupCodes,
  importTotp,
  removePassword,
  setImportedPassword,
  setPasswordCompromised,
  setPasswordHash,
  verifyPassword,
} from '../../domains/credentials/index.ts'
import { deleteUserImage, setUserImage } from '../../domains/images/index.ts'
import { listMemberships, listOrganizationInvitations } from '../../domains/organizations/index.ts'
import { revokeUserSessions } from '../../domains/sessions/index.ts'
import { noteFailure } from '../../domains/signin/index.ts'
import {
  clearFailedAttempts,
  createUser,
  deleteUser,
  getUser,
  lockUser,
  mergeUserMetadata,
  parsePhoneNumber,
  refuseLocked,
  replaceEmailAddresses,
  setPrimaryEmailAddress,
  setPrimaryPhoneNumber,
  unlinkExternalAccount,
  unlockUser,
  updateUser,
} from '../../domains/users/index.ts'
import { parseEmailAddress } from '../../domains/verifications/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { type Env, jsonResponse } from '../http.ts'
import { presentOauthAccessToken } from '../presenters/oauth-access-token.ts'
import { presentInvitation, presentMembership } from '../presenters/organization.ts'
import { presentEmailAddress, presentUserToBackend } from '../presenters/user.ts'
import { readUpload } from '../upload.ts'
import { Metadata, Name, parseBody } from './input.ts'

const ProfileFields = {
  external_id: z.string().max(256).nullish(),
  first_name: Name.nullish(),
  last_name: Name.nullish(),
  username: z
    .string()
    .regex(/^[a-zA-Z0-9_-]{4,64}$/)
    .nullish(),
  public_metadata: Metadata.optional(),
  private_metadata: Metadata.optional(),
  unsafe_metadata: Metadata.optional(),
  create_organization_enabled: z.boolean().optional(),
  create_organizations_limit: z.number().int().min(0).max(1_000_000).nullish(),
  delete_self_enabled: z.boolean().optional(),
  bypass_client_trust: z.boolean().optional(),
  locale: z
    .string()
    .regex(/^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$/)
    .nullish(),
  legal_accepted_at: z.iso.datetime({ offset: true }).nullish(),
  // Longer input is never compared with a hash.
  password: z.string().max(400).nullish(),
  skip_password_checks: z.boolean().nullish(),
  /** The hash that another system made of the password, and how. */
  password_digest: z.string().max(1024).nullish(),
  password_hasher: z.string().max(40).nullish(),
}
const FactorFields = {
  /** Base32. */
  totp_secret: z.string().max(200).nullish(),
  /** In plain text, or as bcrypt digests. */
  backup_codes: z.array(z.string().min(1).max(100)).max(50).nullish(),
}
const CreateInput = z.object({
  ...ProfileFields,
  // Each address is checked on its own, strictly.
  email_address: z.array(z.unknown()).max(10).optional(),
  skip_password_requirement: z.boolean().nullish(),
  banned: z.boolean().optional(),
  created_at: z.iso.datetime({ offset: true }).optional(),
  // Each number is checked on its own.
  phone_number: z.array(z.unknown()).max(10).optional(),
  /** By the index of its number; reserved ones are not proven. */
  phone_number_identification_status: z.array(z.enum(['verified', 'reserved'])).optional(),
  ...FactorFields,
})
const UpdateInput = z.object({
  ...ProfileFields,
  sign_out_of_other_sessions: z.boolean().nullish(),
  primary_email_address_id: z.string().optional(),
  primary_phone_number_id: z.string().optional(),
  ...FactorFields,
})
const MetadataInput = z.object({
  public_metadata: Metadata.optional(),
  private_metadata: Metadata.optional(),
  unsafe_metadata: Metadata.optional(),
})

const ManyInput = z.object({ user_ids: z.array(z.string()).min(1).max(100) })

/** `/v1/users` for the application's server. */
export function userRoutes(): Hono<Env> {
  const routes = new Hono<Env>()

  routes.post('/users', async (c) => {
    const input = await parseBody(c, CreateInput)
    const emailAddresses = (input.email_address ?? []).map((address) => ({
      emailAddress: parseEmailAddress(address),
      // The application vouches for the addresses that it creates.
      verifiedBy: 'admin' as const,
    }))
    const phoneNumbers = (input.phone_number ?? []).map((number, i) => {
      const reserved = input.phone_number_identification_status?.[i] === 'reserved'
      const phoneNumber = parsePhoneNumber(c.var.instance, number)
      return { phoneNumber, verifiedBy: reserved ? null : ('admin' as const), reserved }
    })
    if (emailAddresses.length + phoneNumbers.length === 0 && !input.username && !input.external_id)
      throw new UsherError('form_param_missing', 'A user needs an email address.', { param: 'email_address' })
    const hash = await hashOf(c.var.ctx, input, async () => [
      ...emailAddresses.map((e) => e.emailAddress),
      ...phoneNumbers.map((n) => n.phoneNumber),
      ...(input.username ? [input.username] : []),
    ])
    const user = await transaction(c.var.ctx, async (tx) => {
      const made = await createUser(tx, {
        emailAddresses,
        phoneNumbers,
        ...profileOf(input),
        ...(input.banned !== undefined && { banned: input.banned }),
        ...(input.created_at && { createdAt: new Date(input.created_at) }),
      })
      await storePassword(tx, made.id, { ...input, hash })
      await importFactors(tx, made.id, input)
      return getUser(tx, made.id)
    })
    return jsonResponse(presentUserToBackend(user))
  })

  routes.get('/users/:id', async (c) => jsonResponse(presentUserToBackend(await getUser(c.var.ctx, c.req.param('id')))))
  routes.patch('/users/:id', async (c) => {
    const id = c.req.param('id')
    const input = await parseBody(c, UpdateInput)
    const hash = await hashOf(c.var.ctx, input, async () => {
      const { emailAddresses, phoneNumbers, username } = await getUser(c.var.ctx, id)
      const names = [...emailAddresses.map((e) => e.emailAddress), ...phoneNumbers.map((n) => n.phoneNumber)]
      return [...names, ...[username, input.username].filter((name): name is string => Boolean(name))]
    })
    const user = await transaction(c.var.ctx, async (tx) => {
      await updateUser(tx, { id, ...profileOf(input) })
      const { primary_email_address_id: primary } = input
      if (primary) await setPrimaryEmailAddress(tx, { userId: id, emailAddressId: primary })
      const { primary_phone_number_id: phone } = input
      if (phone) await setPrimaryPhoneNumber(tx, { userId: id, phoneNumberId: phone })
      await importFactors(tx, id, input)
      await storePassword(tx, id, { ...input, hash })
      if (input.sign_out_of_other_sessions) await revokeUserSessions(tx, { userId: id })
      return getUser(tx, id)
    })
    return jsonResponse(presentUserToBackend(user))
  })
  routes.delete('/users/:id', async (c) => {
    const id = c.req.param('id')
    // Their sessions go with them; those in which they act for others are other people's.
    await revokeUserSessions(c.var.ctx, { userId: id })
    await deleteUser(c.var.ctx, id)
    return jsonResponse({ object: 'user', id, deleted: true })
  })

  routes.put('/users/:id/email_address', async (c) => {
    const { email_address } = await parseBody(c, z.object({ email_address: z.unknown() }))
    const emailAddress = parseEmailAddress(email_address)
    const replaced = await replaceEmailAddresses(c.var.ctx, { userId: c.req.param('id'), emailAddress })
    return jsonResponse(presentEmailAddress(replaced))
  })

  routes.patch('/users/:id/metadata', async (c) => {
    const change = metadataOf(await parseBody(c, MetadataInput))
    return jsonResponse(presentUserToBackend(await mergeUserMetadata(c.var.ctx, { id: c.req.param('id'), ...change })))
  })
  routes.put('/users/:id/metadata', async (c) => {
    const change = metadataOf(await parseBody(c, MetadataInput))
    return jsonResponse(presentUserToBackend(await updateUser(c.var.ctx, { id: c.req.param('id'), ...change })))
  })

  for (const [verb, banned] of [
    ['ban', true],
    ['unban', false],
  ] as const)
    routes.post(`/users/:id/${verb}`, async (c) => {
      const id = c.req.param('id')
      const user = await transaction(c.var.ctx, async (tx) => {
        const changed = await updateUser(tx, { id, banned })
        // A ban ends what is open; a lock only keeps new sign-ins out.
        if (banned) await revokeUserSessions(tx, { userId: id })
        return changed
      })
      return jsonResponse(presentUserToBackend(user))
    })
  routes.post('/users/:id/lock', async (c) =>
    jsonResponse(presentUserToBackend(await lockUser(c.var.ctx, c.req.param('id')))),
  )
  routes.post('/users/:id/unlock', async (c) =>
    jsonResponse(presentUserToBackend(await unlockUser(c.var.ctx, c.req.param('id')))),
  )

  for (const [verb, banned] of [
    ['ban', true],
    ['unban', false],
  ] as const)
    routes.post(`/users/${verb}`, async (c) => {
      const { user_ids: ids } = await parseBody(c, ManyInput)
      const changed = await transaction(c.var.ctx, async (tx) => {
        const users = []
        // In one order everywhere, so that two such requests wait for each other instead of deadlocking.
        for (const id of [...new Set(ids)].sort()) {
          users.push(await updateUser(tx, { id, banned }))
          if (banned) await revokeUserSessions(tx, { userId: id })
        }
        return users
      })
      return jsonResponse(changed.map(presentUserToBackend))
    })

  for (const [verb, compromised] of [
    ['set_compromised', true],
    ['unset_compromised', false],
  ] as const)
    routes.post(`/users/:id/password/${verb}`, async (c) => {
      const id = c.req.param('id')
      const input = await parseBody(c, z.object({ revoke_all_sessions: z.boolean().nullish() }))
      const user = await transaction(c.var.ctx, async (tx) => {
        await setPasswordCompromised(tx, { userId: id, compromised })
        if (input.revoke_all_sessions) await revokeUserSessions(tx, { userId: id })
        return getUser(tx, id)
      })
      return jsonResponse(presentUserToBackend(user))
    })

  routes.post('/users/:id/remove_password', async (c) => {
    const id = c.req.param('id')
    const input = await parseBody(c, z.object({ sign_out_of_all_sessions: z.boolean().nullish() }))
    const user = await transaction(c.var.ctx, async (tx) => {
      await getUser(tx, id)
      await removePassword(tx, { userId: id })
      if (input.sign_out_of_all_sessions) await revokeUserSessions(tx, { userId: id })
      return updateUser(tx, { id })
    })
    return jsonResponse(presentUserToBackend(user))
  })
  routes.post('/users/:id/profile_image', async (c) => {
    const changed = await setUserImage(c.var.ctx, c.req.param('id'), await readUpload(c))
    return jsonResponse(presentUserToBackend(changed))
  })
  routes.delete('/users/:id/profile_image', async (c) =>
    jsonResponse(presentUserToBackend(await deleteUserImage(c.var.ctx, c.req.param('id')))),
  )

  routes.get('/users/:id/oauth_access_tokens/:provider', async (c) => {
    const user = await getUser(c.var.ctx, c.req.param('id'))
    const provider = c.req.param('provider').replace(/^oauth_/, '')
    const linked = user.externalAccounts.filter((a) => a.provider === provider && a.verifiedAt !== null)
    const present = async (a: (typeof linked)[number]) =>
      presentOauthAccessToken(a, await openExternalTokens(c.var.ctx, a)) ?? []
    const data = (await Promise.all(linked.map(present))).flat()
    return jsonResponse(c.req.query('paginated') === 'true' ? { data, total_count: data.length } : data)
  })
  routes.delete('/users/:id/external_accounts/:account', async (c) => {
    const { id } = await unlinkExternalAccount(c.var.ctx, {
      userId: c.req.param('id'),
      id: c.req.param('account'),
      // The application's own server decides, also about the only way in.
      force: true,
    })
    return jsonResponse({ object: 'external_account', id, deleted: true })
  })

  routes.post('/users/:id/verify_password', async (c) => {
    const { password } = await parseBody(c, z.object({ password: z.string().max(1000) }))
    const { ctx } = c.var
    const { id } = await getUser(ctx, c.req.param('id'))
    // The application passes on what people type: their guesses count as those at sign-in do, and before they are
    // compared, so that parallel ones are no more.
    await noteFailure(ctx, id)
    refuseLocked(await getUser(ctx, id), ctx.now())
    if (!(await verifyPassword(ctx, { userId: id, password })))
      throw new UsherError('form_password_incorrect', 'The password is incorrect.', { param: 'password' })
    await transaction(ctx, (tx) => clearFailedAttempts(tx, id))
    return jsonResponse({ verified: true })
  })

  routes.get('/users/:id/organization_memberships', async (c) => {
    const user = await getUser(c.var.ctx, c.req.param('id'))
    const page = await listMemberships(c.var.ctx, { ...Pagination.parse(c.req.query()), userIds: [user.id] })
    return jsonResponse({
      data: page.data.map((m) => presentMembership(m, user, { private: true })),
      total_count: page.totalCount,
    })
  })
  routes.get('/users/:id/organization_invitations', async (c) => {
    const user = await getUser(c.var.ctx, c.req.param('id'))
    const emailAddresses = user.emailAddresses.filter((e) => e.verifiedAt).map((e) => e.emailAddress)
    const page = await listOrganizationInvitations(c.var.ctx, { ...Pagination.parse(c.req.query()), emailAddresses })
    return jsonResponse({
      data: page.data.map((i) => presentInvitation(i, { private: true })),
      total_count: page.totalCount,
    })
  })
  return routes
}

/** @param identifiersOf what names the person; asked for only when the password is checked against them */
async function hashOf(
  ctx: Ctx,
  input: { password?: string | null | undefined; skip_password_checks?: boolean | null | undefined },
  identifiersOf: () => Promise<string[]>,
): Promise<string | undefined> {
  const { password } = input
  if (!password) return undefined
  if (input.skip_password_checks) return hashPassword(password)
  return hashPassword(checkPasswordRules(ctx.instance, password, 'password', { identifiers: await identifiersOf() }))
}

/** @throws {UsherError} `form_param_missing`, `form_param_value_invalid` or `password_digest_invalid` */
async function storePassword(
  tx: Tx,
  userId: string,
  input: { hash: string | undefined; password_digest?: string | null; password_hasher?: string | null },
): Promise<void> {
  const { hash, password_digest: digest, password_hasher: hasher } = input
  if (hash) await setPasswordHash(tx, { userId, hash })
  else if (digest) {
    if (!hasher)
      throw new UsherError('form_param_missing', 'How the digest was made is missing.', { param: 'password_hasher' })
    await setImportedPassword(tx, { userId, hasher, digest })
  }
}

/** Puts factors in use that the person set up elsewhere. */
async function importFactors(tx: Tx, userId: string, input: z.infer<z.ZodObject<typeof FactorFields>>) {
  if (input.totp_secret) await importTotp(tx, { userId, secret: input.totp_secret })
  if (input.backup_codes) await importBackupCodes(tx, { userId, codes: input.backup_codes })
}

function profileOf(input: z.infer<typeof UpdateInput>) {
  return {
    ...(input.external_id !== undefined && { externalId: input.external_id }),
    ...(input.first_name !== undefined && { firstName: input.first_name }),
    ...(input.last_name !== undefined && { lastName: input.last_name }),
    ...(input.username !== undefined && { username: input.username }),
    ...metadataOf(input),
    ...(input.create_organization_enabled !== undefined && {
      createOrganizationEnabled: input.create_organization_enabled,
    }),
    ...(input.create_organizations_limit !== undefined && {
      createOrganizationsLimit: input.create_organizations_limit,
    }),
    ...(input.delete_self_enabled !== undefined && { deleteSelfEnabled: input.delete_self_enabled }),
    ...(input.bypass_client_trust !== undefined && { bypassClientTrust: input.bypass_client_trust }),
    ...(input.locale !== undefined && { locale: input.locale }),
    ...(input.legal_accepted_at !== undefined && {
      legalAcceptedAt: input.legal_accepted_at ? new Date(input.legal_accepted_at) : null,
    }),
  }
}

function metadataOf(input: z.infer<typeof MetadataInput>) {
  return {
    ...(input.public_metadata && { publicMetadata: input.public_metadata }),
    ...(input.private_metadata && { privateMetadata: input.private_metadata }),
    ...(input.unsafe_metadata && { unsafeMetadata: input.unsafe_metadata }),
  }
}
