import { Hono } from 'hono'
import { z } from 'zod'
import { type Tx, transaction } from '../../database/index.ts'
import { checkPasswordRules, removePassword, setPassword, verifyPassword } from '../../domains/credentials/index.ts'
import { deleteUserImage, setUserImage } from '../../domains/images/index.ts'
import { type Happening, warnUser } from '../../domains/messaging/index.ts'
import { findMembershipsOfUsers } from '../../domains/organizations/index.ts'
import { checkMayHave } from '../../domains/restrictions/index.ts'
import {
  forgetDevices,
  listSessions,
  notePasswordReset,
  revokeSession,
  revokeUserSessions,
} from '../../domains/sessions/index.ts'
import { checkCurrentPassword } from '../../domains/signin/index.ts'
import {
  addEmailAddress,
  checkUsername,
  deleteEmailAddress,
  deleteUser,
  type EmailAddress,
  getEmailAddress,
  getUser,
  mergeUserMetadata,
  setPrimaryEmailAddress,
  setPrimaryPhoneNumber,
  updateUser,
  verifyEmailAddress,
} from '../../domains/users/index.ts'
import { checkCode, findCode, parseEmailAddress, sendCode, sendEmailLink } from '../../domains/verifications/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { jsonResponse } from '../http.ts'
import { presentImage } from '../presenters/image.ts'
import { presentSession } from '../presenters/session.ts'
import { presentEmailAddress, presentUser } from '../presenters/user.ts'
import { presentCode } from '../presenters/verification.ts'
import { readUpload } from '../upload.ts'
import { type FrontendEnv, happeningOf, limitByAddress, reply, requireBrowser, requireSession } from './context.ts'
import { parseForm } from './forms.ts'
import { refuseImpersonator } from './impersonation.ts'
import { finishForApp } from './oauth-callback.ts'
import { checkRedirect } from './redirects.ts'

/** Browsers send an empty field for null. */
const text = (max: number) =>
  z
    .string()
    .max(max)
    .transform((value) => value.trim() || null)
    .optional()

// What a person may change about themselves; anything else in the body is not looked at.
const ProfileInput = z.object({
  first_name: text(256),
  last_name: text(256),
  username: text(64),
  primary_email_address_id: z.string().max(100).optional(),
  primary_phone_number_id: z.string().max(100).optional(),
  unsafe_metadata: z.string().max(16_384).optional(),
})
const MetadataInput = z.object({
  unsafe_metadata: z.string().max(16_384).optional(),
  public_metadata: z.unknown().optional(),
  private_metadata: z.unknown().optional(),
})
const PasswordInput = z.object({
  current_password: z.string().max(1000).optional(),
  new_password: z.string().max(1000),
  sign_out_of_other_sessions: z.stringbool().optional(),
})
const RemovePasswordInput = z.object({ current_password: z.string().max(1000) })
const EmailInput = z.object({ email_address: z.unknown() })
const PrepareInput = z.object({ strategy: z.string(), redirect_url: z.string().max(4096).optional() })
const AttemptInput = z.object({ code: z.string().max(20) })

/** `/v1/me`: what people do with their own account. */
export function meRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()
  routes.use('/me', async (c, next) => {
    requireSession(c)
    await next()
  })
  routes.use('/me/*', async (c, next) => {
    requireSession(c)
    await next()
  })

  routes.get('/me', async (c) => {
    const { userId } = requireSession(c)
    await finishForApp(c, 'external_account')
    return reply(c, await self(c.var.ctx, userId))
  })
  routes.patch('/me', async (c) => {
    const { userId } = requireSession(c)
    const input = await parseForm(c, ProfileInput)
    if ('username' in input || input.primary_email_address_id || input.primary_phone_number_id) refuseImpersonator(c)
    await transaction(c.var.ctx, async (tx) => {
      const { primary_email_address_id: primary, primary_phone_number_id: primaryNumber } = input
      if (primary) await changePrimaryAddress(tx, { userId, emailAddressId: primary, happening: happeningOf(c) })
      if (primaryNumber) await setPrimaryPhoneNumber(tx, { userId, phoneNumberId: primaryNumber })
      await updateUser(tx, {
        id: userId,
        ...('first_name' in input && { firstName: input.first_name }),
        ...('last_name' in input && { lastName: input.last_name }),
        ...('username' in input && { username: input.username && checkUsername(tx.instance, input.username) }),
      })
      if (input.unsafe_metadata)
        await mergeUserMetadata(tx, { id: userId, unsafeMetadata: parseObject(input.unsafe_metadata) })
    })
    return reply(c, await self(c.var.ctx, userId))
  })
  routes.patch('/me/metadata', async (c) => {
    const { userId } = requireSession(c)
    const { unsafe_metadata, ...privileged } = await parseForm(c, MetadataInput)
    if (Object.keys(privileged).length > 0)
      throw new UsherError('forbidden', 'Only unsafe_metadata can be changed from a browser.')
    if (unsafe_metadata === undefined)
      throw new UsherError('form_param_missing', 'unsafe_metadata is missing.', { param: 'unsafe_metadata' })
    await mergeUserMetadata(c.var.ctx, { id: userId, unsafeMetadata: parseObject(unsafe_metadata) })
    return reply(c, await self(c.var.ctx, userId))
  })
  routes.delete('/me', async (c) => {
    const { userId } = requireSession(c)
    const user = await getUser(c.var.ctx, userId)
    if (!user.deleteSelfEnabled || !c.var.instance.settings.users.deleteSelf)
      throw new UsherError('forbidden', 'This account can be deleted by the application only.')
    await revokeUserSessions(c.var.ctx, { userId })
    await deleteUser(c.var.ctx, userId)
    return reply(c, { object: 'user', id: userId, deleted: true })
  })

  routes.post('/me/change_password', limitByAddress, async (c) => {
    const { userId, id: sessionId, clientId, resetPasswordRequired } = requireSession(c)
    const input = await parseForm(c, PasswordInput)
    const user = await getUser(c.var.ctx, userId)
    const identifiers = user.emailAddresses.map((e) => e.emailAddress)
    const password = checkPasswordRules(c.var.instance, input.new_password, 'new_password', { identifiers })
    // Whoever was asked to choose a new one need not show the one that is known to others.
    const asked = resetPasswordRequired && !input.current_password
    if (user.passwordEnabled && !asked)
      await checkCurrentPassword(c.var.ctx, { userId, password: input.current_password })
    if (user.passwordEnabled && (await verifyPassword(c.var.ctx, { userId, password })))
      throw new UsherError('form_new_password_matches_current', 'The new password is the current one.', {
        param: 'new_password',
      })
    await setPassword(c.var.ctx, { userId, password })
    await transaction(c.var.ctx, async (tx) => {
      await notePasswordReset(tx, userId)
      await forgetDevices(tx, { userId, exceptClientId: clientId })
      await warnUser(tx, user, { template: 'password_changed', data: happeningOf(c) })
    })
    if (input.sign_out_of_other_sessions) await revokeUserSessions(c.var.ctx, { userId, exceptSessionId: sessionId })
    return reply(c, await self(c.var.ctx, userId))
  })
  routes.post('/me/remove_password', limitByAddress, async (c) => {
    const { userId } = requireSession(c)
    const { current_password } = await parseForm(c, RemovePasswordInput)
    await checkCurrentPassword(c.var.ctx, { userId, password: current_password })
    await transaction(c.var.ctx, async (tx) => {
      await removePassword(tx, { userId })
      await warnUser(tx, await getUser(tx, userId), { template: 'password_removed', data: happeningOf(c) })
    })
    return reply(c, await self(c.var.ctx, userId))
  })
  routes.post('/me/profile_image', limitByAddress, async (c) =>
    reply(c, presentImage(await setUserImage(c.var.ctx, requireSession(c).userId, await readUpload(c)))),
  )
  routes.delete('/me/profile_image', async (c) => {
    const { userId } = requireSession(c)
    const { imageId } = await getUser(c.var.ctx, userId)
    await deleteUserImage(c.var.ctx, userId)
    return reply(c, { object: 'image', id: imageId, deleted: true })
  })

  routes.get('/me/email_addresses', async (c) => {
    const { emailAddresses } = await getUser(c.var.ctx, requireSession(c).userId)
    return reply(
      c,
      emailAddresses.map((address) => presentEmailAddress(address)),
    )
  })
  routes.post('/me/email_addresses', limitByAddress, async (c) => {
    const { email_address } = await parseForm(c, EmailInput)
    const emailAddress = parseEmailAddress(email_address)
    const { userId } = requireSession(c)
    const added = await transaction(c.var.ctx, async (tx) => {
      await checkMayHave(tx, { kind: 'email_address', value: emailAddress, userId })
      return addEmailAddress(tx, { userId, emailAddress, verifiedBy: null })
    })
    return reply(c, presentEmailAddress(added))
  })
  routes.get('/me/email_addresses/:id', async (c) => {
    return reply(c, presentEmailAddress(await ownAddress(c.var.ctx, requireSession(c).userId, c.req.param('id'))))
  })
  routes.delete('/me/email_addresses/:id', async (c) => {
    const { userId } = requireSession(c)
    const { id, emailAddress, verifiedAt } = await ownAddress(c.var.ctx, userId, c.req.param('id'))
    await transaction(c.var.ctx, async (tx) => {
      await deleteEmailAddress(tx, id)
      if (!verifiedAt) return
      const data = { emailAddress, ...happeningOf(c) }
      await warnUser(tx, await getUser(tx, userId), { template: 'email_address_removed', data, also: [emailAddress] })
    })
    return reply(c, { object: 'email_address', id, deleted: true })
  })
  routes.post('/me/email_addresses/:id/prepare_verification', limitByAddress, async (c) => {
    const { strategy, redirect_url } = await parseForm(c, PrepareInput)
    const { codes, links } = c.var.instance.settings.emailAddress
    if (!(strategy === 'email_code' && codes) && !(strategy === 'email_link' && links))
      throw new UsherError('form_param_value_invalid', 'Addresses are not verified in this way.', { param: 'strategy' })
    const { userId, user } = requireSession(c)
    const { locale } = user
    const address = await ownAddress(c.var.ctx, userId, c.req.param('id'))
    if (address.verifiedAt)
      throw new UsherError('verification_already_verified', 'This email address is verified already.')
    if (strategy === 'email_link') {
      const redirectUrl = await checkRedirect(c, redirect_url ?? '')
      const { clientId, userAgent, ipAddress } = requireBrowser(c)
      const { emailAddress, id: subjectId } = address
      const asked = { clientId, userAgent, ipAddress, redirectUrl, publicUrl: c.var.publicUrl, locale }
      await transaction(c.var.ctx, (tx) =>
        sendEmailLink(tx, { purpose: 'email_address', subjectId, emailAddress, ...asked }),
      )
      return reply(c, presentEmailAddress(address))
    }
    const code = await transaction(c.var.ctx, (tx) =>
      sendCode(tx, { purpose: 'email_address', subjectId: address.id, emailAddress: address.emailAddress, locale }),
    )
    return reply(c, { ...presentEmailAddress(address), verification: presentCode(code, strategy, c.var.ctx.now()) })
  })
  routes.post('/me/email_addresses/:id/attempt_verification', limitByAddress, async (c) => {
    const { code } = await parseForm(c, AttemptInput)
    const address = await ownAddress(c.var.ctx, requireSession(c).userId, c.req.param('id'))
    const sent = await transaction(c.var.ctx, (tx) => findCode(tx, { purpose: 'email_address', subjectId: address.id }))
    if (!sent) throw new UsherError('verification_failed', 'Ask for a code first.')
    await checkCode(c.var.ctx, { purpose: 'email_address', subjectId: address.id, code })
    return reply(
      c,
      presentEmailAddress(await verifyEmailAddress(c.var.ctx, { id: address.id, verifiedBy: 'email_code' })),
    )
  })

  routes.get('/me/sessions', async (c) => reply(c, await ownSessions(c.var.ctx, requireSession(c).userId)))
  // The browser SDK reads this list bare.
  routes.get('/me/sessions/active', async (c) => jsonResponse(await ownSessions(c.var.ctx, requireSession(c).userId)))
  routes.post('/me/sessions/:id/revoke', async (c) => {
    const revoked = await revokeSession(c.var.ctx, c.req.param('id'), requireSession(c).userId)
    return reply(c, presentSession(c.var.ctx, revoked))
  })
  return routes
}

async function self(ctx: Ctx, userId: string) {
  const user = await getUser(ctx, userId)
  return presentUser(ctx, user, await transaction(ctx, (tx) => findMembershipsOfUsers(tx, [userId])))
}

/** The address before hears of it too: who takes an account over would change it first. */
async function changePrimaryAddress(
  tx: Tx,
  { userId, emailAddressId, happening }: { userId: string; emailAddressId: string; happening: Happening },
): Promise<void> {
  const before = await getUser(tx, userId)
  if (before.primaryEmailAddressId === emailAddressId) return
  await setPrimaryEmailAddress(tx, { userId, emailAddressId })
  const addressOf = (id: string | null) => before.emailAddresses.find((e) => e.id === id && e.verifiedAt)?.emailAddress
  const [old, newEmailAddress] = [addressOf(before.primaryEmailAddressId), addressOf(emailAddressId)]
  if (!newEmailAddress) return
  await warnUser(tx, await getUser(tx, userId), {
    template: 'primary_email_address_changed',
    data: { newEmailAddress, ...happening },
    ...(old && { also: [old] }),
  })
}

/** An address of the caller; somebody else's does not exist. */
async function ownAddress(ctx: Ctx, userId: string, id: string): Promise<EmailAddress> {
  const address = await getEmailAddress(ctx, id)
  if (address.userId !== userId) throw new UsherError('resource_not_found', 'There is no such email address.')
  return address
}

/** The devices on which a person is signed in, newest first. */
async function ownSessions(ctx: Ctx, userId: string) {
  const { data } = await listSessions(ctx, { userId, status: 'active', limit: 100, offset: 0 })
  return data.map((session) => presentSession(ctx, session, { activity: true }))
}

function parseObject(json: string): Record<string, unknown> {
  try {
    const value = JSON.parse(json)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  } catch {}
  throw new UsherError('form_param_format_invalid', 'Metadata is a JSON object.', { param: 'unsafe_metadata' })
}
