import type { DocumentKeyRing, Pairing, Reader, Vault, VaultDocumentState } from '../../domains/vault/index.ts'

/** A person's vault as their own devices see it. Sealed user keys are not in it. */
export const presentVault = (instanceId: string, userId: string, vault: Vault | undefined) => ({
  object: 'vault',
  /** What every wrap is bound to, also before there is one. */
  instance_id: instanceId,
  user_id: userId,
  created: vault !== undefined,
  ...(vault && {
    public_key: vault.publicKey,
    sign_public_key: vault.signPublicKey,
    key_signature: vault.keySignature,
    private_keys: vault.privateKeys,
    version: vault.version,
    wraps: vault.wraps.map(({ kind, name, createdAt }) => ({ kind, name, created_at: createdAt.getTime() })),
    updated_at: vault.updatedAt.getTime(),
  }),
})

const presentReader = ({ userId, publicKey, signPublicKey, keySignature }: Reader) => ({
  user_id: userId,
  public_key: publicKey,
  sign_public_key: signPublicKey,
  key_signature: keySignature,
})

export const presentDocumentKeys = (ring: DocumentKeyRing) => ({
  object: 'document_keys',
  doc_id: ring.docId,
  access: ring.access,
  created: ring.document !== undefined,
  epoch: ring.document?.epoch ?? 0,
  pending_since: ring.document?.pendingSince?.getTime() ?? null,
  rotation_due: ring.due ?? null,
  keys: ring.keys.map(({ epoch, sealed, signature, createdBy, keyHash }) => ({
    epoch,
    sealed,
    signature,
    created_by: createdBy,
    key_hash: keyHash,
  })),
  readers: ring.readers.map((reader) => ({ ...presentReader(reader), has_key: reader.hasKey })),
  givers: ring.givers.map(presentReader),
})

/** Without what is sealed: that is taken once, by a request of its own. */
export const presentPairing = ({ id, offer, reveal, sealedAt, expiresAt }: Pairing) => ({
  object: 'vault_pairing',
  id,
  offer,
  reveal,
  approved: sealedAt !== null,
  expires_at: expiresAt.getTime(),
})

export const presentVaultDocument = ({ docId, epoch, pendingSince, readers, withheldFrom }: VaultDocumentState) => ({
  object: 'vault_document',
  doc_id: docId,
  epoch,
  pending_since: pendingSince?.getTime() ?? null,
  readers: readers.map(({ userId, hasKey }) => ({ user_id: userId, has_key: hasKey })),
  withheld_from: withheldFrom,
})
