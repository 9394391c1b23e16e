import type { Tx } from '../../database/index.ts'
import { newId } from '../../kernel/ids.ts'
import { seal } from '../../kernel/secrets.ts'
import { plainProvider } from './claims.ts'
import type { PreparedUser } from './prepare-user.ts'

type Options = { keepIds: boolean }

export function totpRow(tx: Tx, user: PreparedUser, secret: string) {
  const now = tx.now()
  const sealedSecret = seal(tx.database.keyring, `totp:${user.id}`, secret)
  return { id: newId('totp'), sealedSecret, verifiedAt: now, lastStep: 0, createdAt: now, updatedAt: now }
}

type BackupCode = PreparedUser['backupCodes'][number]
type CodeDigest = Exclude<BackupCode, string>

/**
 * Digests of backup codes that can still fit a code. Ours are bound to the id of their person and to a key of this
 * server's secret: elsewhere they fit none, and are left out.
 */
export function usableCodes(tx: Tx, { keepIds }: Options): (user: PreparedUser) => CodeDigest[] {
  const keys = new Set(tx.database.keyring.keys.map((key) => key.id))
  const isOfUse = (code: BackupCode): code is CodeDigest => {
    if (typeof code === 'string') return false
    const [keyId = ''] = code.hash.split('$', 1)
    return keyId === 'B' || (keepIds && keys.has(keyId))
  }
  return ({ backupCodes }) => (backupCodes.length > 0 ? backupCodes.filter(isOfUse) : [])
}

export function backupCodeRow(tx: Tx, code: CodeDigest) {
  const createdAt = code.created_at ?? tx.now()
  return { id: newId('backupCode'), codeHash: code.hash, usedAt: code.used_at ?? null, createdAt }
}

export function externalAccountRow(tx: Tx, account: PreparedUser['externalAccounts'][number], { keepIds }: Options) {
  const createdAt = account.created_at ?? tx.now()
  return {
    id: keepIds && account.id ? account.id : newId('externalAccount'),
    provider: plainProvider(account.provider),
    providerUserId: account.provider_user_id,
    emailAddress: account.email_address,
    username: account.username ?? null,
    firstName: account.first_name ?? null,
    lastName: account.last_name ?? null,
    imageUrl: account.image_url ?? null,
    phoneNumber: account.phone_number ?? null,
    approvedScopes: account.approved_scopes,
    publicMetadata: account.public_metadata ?? {},
    label: account.label ?? null,
    verifiedAt: account.verified_at ?? createdAt,
    createdAt,
    updatedAt: account.updated_at ?? createdAt,
  }
}

export function passkeyRow(tx: Tx, key: PreparedUser['passkeys'][number], { keepIds }: Options) {
  const createdAt = key.created_at ?? tx.now()
  return {
    id: keepIds && key.id ? key.id : newId('passkey'),
    name: key.name,
    credentialId: key.credential_id,
    publicKey: key.public_key,
    signCount: key.sign_count,
    transports: key.transports,
    backedUp: key.backed_up,
    verifiedAt: key.verified_at ?? createdAt,
    lastUsedAt: key.last_used_at ?? null,
    createdAt,
    updatedAt: key.updated_at ?? createdAt,
  }
}
