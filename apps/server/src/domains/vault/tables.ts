import { sql } from 'drizzle-orm'
import { check, foreignKey, index, integer, pgTable, primaryKey, text } from 'drizzle-orm/pg-core'
import { instanceId, instant } from '../../database/columns.ts'
import { organizations } from '../organizations/tables.ts'
import { users } from '../users/tables.ts'

/** A person's keys: the public halves, and the private ones sealed under a key that never comes here. */
export const vaults = pgTable('vaults', {
  userId: text('user_id')
    .primaryKey()
    .references(() => users.id, { onDelete: 'cascade' }),
  instanceId: instanceId(),
  /** HPKE P-256, 65 bytes, base64url; as are all keys and ciphertexts in these tables. */
  publicKey: text('public_key').notNull(),
  /** ECDSA P-256: changes of the vault are signed with it. */
  signPublicKey: text('sign_public_key').notNull(),
  /** Of the public key, by the other one. */
  keySignature: text('key_signature').notNull(),
  /** Both private keys, sealed under the user key. */
  privateKeys: text('private_keys').notNull(),
  /** Counts changes of the wraps, for compare-and-set. */
  version: integer('version').notNull().default(1),
  /** Wraps handed out in the running window of which nobody has shown yet that they could open them. */
  openReads: integer('open_reads').notNull().default(0),
  windowStartedAt: instant('window_started_at').notNull(),
  /** To be signed by whoever opened the wrap that came with it. */
  challenge: text('challenge'),
  createdAt: instant('created_at').notNull(),
  updatedAt: instant('updated_at').notNull(),
})

/** The user key, wrapped under each thing that a person may open it with. */
export const vaultWraps = pgTable(
  'vault_wraps',
  {
    userId: text('user_id')
      .notNull()
      .references(() => vaults.userId, { onDelete: 'cascade' }),
    kind: text('kind', { enum: ['password', 'recovery', 'passkey', 'device'] }).notNull(),
    /** Which passkey or device; empty for a password or a recovery code, of which there is one. */
    name: text('name').notNull().default(''),
    instanceId: instanceId(),
    /** How a key is made of the password. */
    parameters: text('parameters'),
    sealed: text('sealed').notNull(),
    createdAt: instant('created_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.userId, t.kind, t.name] })],
)

/** A document whose keys are in the vault. It belongs to an organization or to a person, as its id says. */
export const vaultDocuments = pgTable(
  'vault_documents',
  {
    instanceId: instanceId(),
    docId: text('doc_id').notNull(),
    organizationId: text('organization_id').references(() => organizations.id, { onDelete: 'cascade' }),
    userId: text('user_id').references(() => users.id, { onDelete: 'cascade' }),
    epoch: integer('epoch').notNull().default(0),
    /** Since somebody who holds a key may not read any more, and until there is another key. */
    pendingSince: instant('pending_since'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.instanceId, t.docId] }),
    index('vault_documents_organization').on(t.organizationId),
    index('vault_documents_user').on(t.userId),
    check('vault_documents_owner', sql`(organization_id is null) <> (user_id is null)`),
  ],
)

/** What is known of a key without it: since when it is written with, and how to tell it from another one. */
export const vaultEpochs = pgTable(
  'vault_epochs',
  {
    instanceId: instanceId(),
    docId: text('doc_id').notNull(),
    epoch: integer('epoch').notNull(),
    /** SHA-256 of the key, by whoever made it: somebody who is given another one notices. */
    keyHash: text('key_hash').notNull(),
    createdBy: text('created_by').notNull(),
    createdAt: instant('created_at').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.instanceId, t.docId, t.epoch] }),
    foreignKey({
      columns: [t.instanceId, t.docId],
      foreignColumns: [vaultDocuments.instanceId, vaultDocuments.docId],
    }).onDelete('cascade'),
  ],
)

/** A document's key of one epoch, sealed to one person. Not tied to `vaults`: who loses access is noticed by these rows. */
export const vaultDocumentKeys = pgTable(
  'vault_document_keys',
  {
    instanceId: instanceId(),
    docId: text('doc_id').notNull(),
    epoch: integer('epoch').notNull(),
    userId: text('user_id').notNull(),
    sealed: text('sealed').notNull(),
    /** By the person who gave it. */
    signature: text('signature').notNull(),
    createdBy: text('created_by').notNull(),
    createdAt: instant('created_at').notNull(),
    /** When its recipient first asked for it. */
    readAt: instant('read_at'),
    /** Since its recipient may not read, where nobody else holds this key: it is handed out to nobody, and not lost. */
    withheldSince: instant('withheld_since'),
    /** Givers of whom the recipient got something else than this key. Theirs counts for nothing. */
    refused: text('refused').array().notNull().default([]),
  },
  (t) => [
    primaryKey({ columns: [t.instanceId, t.docId, t.epoch, t.userId] }),
    foreignKey({
      columns: [t.instanceId, t.docId],
      foreignColumns: [vaultDocuments.instanceId, vaultDocuments.docId],
    }).onDelete('cascade'),
    index('vault_document_keys_user').on(t.instanceId, t.userId),
  ],
)

/** A new device that waits for an old one of the same person. Each field is written once; what is sealed is read once. */
export const vaultPairings = pgTable(
  'vault_pairings',
  {
    instanceId: instanceId(),
    /** Chosen by the new device: the hash of what it reveals later. */
    id: text('id').notNull(),
    userId: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    offer: text('offer'),
    reveal: text('reveal'),
    sealed: text('sealed'),
    sealedAt: instant('sealed_at'),
    takenAt: instant('taken_at'),
    expiresAt: instant('expires_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.instanceId, t.id] }), index('vault_pairings_user').on(t.userId)],
)
