import { type Context, Hono } from 'hono'
import { z } from 'zod'
import { transaction } from '../../database/index.ts'
import {
  type BackupCodes,
  confirmPasskey,
  confirmTotp,
  createBackupCodes,
  type RelyingParty,
  removePasskey,
  removeTotp,
  renamePasskey,
  startPasskey,
  startTotp,
  type Totp,
} from '../../domains/credentials/index.ts'
import { warnUser } from '../../domains/messaging/index.ts'
import { getUser, type UserRecord } from '../../domains/users/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { presentPasskey } from '../presenters/user.ts'
import { presentVerification } from '../presenters/verification.ts'
import { type FrontendEnv, happeningOf, limitByAddress, reply, requireSession } from './context.ts'
import { parseForm } from './forms.ts'
import { relyingPartyOf } from './relying-party.ts'

const CodeInput = z.object({ code: z.string().max(20) })
const CredentialInput = z.object({ public_key_credential: z.string().max(65_536) })
const NameInput = z.object({ name: z.string().trim().min(1).max(64) })

/** `/v1/me/totp`, `/v1/me/backup_codes` and `/v1/me/passkeys`: a person's own factors. */
export function meFactorRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()

  routes.post('/me/totp', limitByAddress, async (c) => {
    const { userId } = requireSession(c)
    if (!c.var.instance.settings.secondFactors.totp)
      throw new UsherError('forbidden', 'Authenticator apps are switched off.')
    const user = await getUser(c.var.ctx, userId)
    const made = await startTotp(c.var.ctx, { userId, accountName: accountNameOf(user) })
    return reply(c, { ...presentTotp(made), secret: made.secret, uri: made.uri, backup_codes: null })
  })
  routes.post('/me/totp/attempt_verification', limitByAddress, async (c) => {
    const { userId } = requireSession(c)
    const { code } = await parseForm(c, CodeInput)
    const confirmed = await confirmTotp(c.var.ctx, { userId, code })
    return reply(c, { ...presentTotp(confirmed), backup_codes: await firstBackupCodes(c, userId) })
  })
  routes.delete('/me/totp', async (c) => {
    const { id } = await removeTotp(c.var.ctx, { userId: requireSession(c).userId })
    return reply(c, { object: 'totp', id, deleted: true })
  })

  routes.post('/me/backup_codes', limitByAddress, async (c) => {
    const { userId } = requireSession(c)
    if (!c.var.instance.settings.secondFactors.backupCodes)
      throw new UsherError('forbidden', 'Backup codes are switched off.')
    if (!(await getUser(c.var.ctx, userId)).twoFactorEnabled)
      throw new UsherError('forbidden', 'Backup codes stand in for another second factor: set one up first.')
    const made = await createBackupCodes(c.var.ctx, { userId })
    await transaction(c.var.ctx, async (tx) =>
      warnUser(tx, await getUser(tx, userId), { template: 'backup_codes_regenerated', data: happeningOf(c) }),
    )
    return reply(c, presentBackupCodes(made))
  })

  routes.post('/me/passkeys', limitByAddress, async (c) => {
    const { userId } = requireSession(c)
    const { rpId } = requireRelyingParty(c)
    const user = await getUser(c.var.ctx, userId)
    const accountName = accountNameOf(user)
    const displayName = [user.firstName, user.lastName].filter(Boolean).join(' ') || accountName
    const begun = await startPasskey(c.var.ctx, { userId, accountName, displayName, rpId })
    return reply(c, {
      object: 'passkey',
      id: begun.id,
      name: begun.name,
      verification: {
        ...presentVerification({
          object: 'verification_passkey',
          status: 'unverified',
          strategy: 'passkey',
          attempts: null,
          expire_at: begun.expiresAt.getTime(),
        }),
        nonce: begun.optionsJson,
      },
      last_used_at: null,
      created_at: begun.createdAt.getTime(),
      updated_at: begun.createdAt.getTime(),
    })
  })
  routes.post('/me/passkeys/:id/attempt_verification', limitByAddress, async (c) => {
    const { public_key_credential: credential } = await parseForm(c, CredentialInput)
    const made = await confirmPasskey(c.var.ctx, {
      ...requireRelyingParty(c),
      userId: requireSession(c).userId,
      id: c.req.param('id'),
      credential,
      device: systemOf(c.req.header('user-agent')),
    })
    return reply(c, presentPasskey(made))
  })
  routes.patch('/me/passkeys/:id', async (c) => {
    const { name } = await parseForm(c, NameInput)
    const own = { userId: requireSession(c).userId, id: c.req.param('id') }
    return reply(c, presentPasskey(await renamePasskey(c.var.ctx, { ...own, name })))
  })
  routes.delete('/me/passkeys/:id', async (c) => {
    const own = { userId: requireSession(c).userId, id: c.req.param('id') }
    await removePasskey(c.var.ctx, own)
    return reply(c, { object: 'passkey', id: own.id, deleted: true })
  })
  return routes
}

/**
 * The backup codes that come with somebody's first second factor, shown this once; null when they are switched off or
 * some are left.
 */
export async function firstBackupCodes(c: Context<FrontendEnv>, userId: string): Promise<string[] | null> {
  if (!c.get('instance').settings.secondFactors.backupCodes) return null
  return (await createBackupCodes(c.get('ctx'), { userId, onlyIfNone: true }))?.codes ?? null
}

/** @throws {UsherError} `origin_invalid` when no page of the application asks */
function requireRelyingParty(c: Context<FrontendEnv>): RelyingParty {
  const relyingParty = relyingPartyOf(c)
  if (!relyingParty) throw new UsherError('origin_invalid', 'Passkeys are for pages of the application.')
  return relyingParty
}

/** What authenticators list an account under. */
function accountNameOf(user: UserRecord): string {
  const address = user.emailAddresses.find((e) => e.id === user.primaryEmailAddressId)
  const number = user.phoneNumbers.find((n) => n.id === user.primaryPhoneNumberId)
  return address?.emailAddress ?? user.username ?? number?.phoneNumber ?? user.id
}

/** The operating system that a user agent names. */
function systemOf(userAgent = ''): string | undefined {
  const systems = { iPhone: 'iPhone', iPad: 'iPad', Android: 'Android', CrOS: 'ChromeOS', Windows: 'Windows' }
  const all = { ...systems, Macintosh: 'macOS', Linux: 'Linux' }
  return Object.entries(all).find(([name]) => userAgent.includes(name))?.[1]
}

function presentTotp(totp: Totp) {
  return {
    object: 'totp' as const,
    id: totp.id,
    verified: totp.verified,
    created_at: totp.createdAt.getTime(),
    updated_at: totp.updatedAt.getTime(),
  }
}

function presentBackupCodes({ id, codes, createdAt }: BackupCodes) {
  return {
    object: 'backup_code' as const,
    id,
    codes,
    created_at: createdAt.getTime(),
    updated_at: createdAt.getTime(),
  }
}
