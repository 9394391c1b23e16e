import { type Metadata, type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { newId } from '../../kernel/ids.ts'
import { emit } from '../events/index.ts'
import { addEmailAddress } from './email-addresses.ts'
import { checkMetadataSize } from './metadata.ts'
import { addPhoneNumber } from './phone-numbers.ts'
import { getUser, type UserRecord } from './queries.ts'
import { users, type VerifiedBy } from './tables.ts'
import { takenIdentifier } from './taken-identifier.ts'
import { setPrimaryEmailAddress } from './update-user.ts'

export type CreateUserInput = {
  /** The first one becomes the primary address. `verifiedBy: null`: claimed, not proven. */
  emailAddresses?: { emailAddress: string; verifiedBy: VerifiedBy | null }[]
  /** As with addresses, the first proven one becomes the primary number. E.164. */
  phoneNumbers?: { phoneNumber: string; verifiedBy: VerifiedBy | null; reserved?: boolean }[]
  externalId?: string | null
  username?: string | null
  firstName?: string | null
  lastName?: string | null
  publicMetadata?: Metadata
  privateMetadata?: Metadata
  unsafeMetadata?: Metadata
  locale?: string | null
  createOrganizationEnabled?: boolean
  createOrganizationsLimit?: number | null
  bypassClientTrust?: boolean
  deleteSelfEnabled?: boolean
  banned?: boolean
  legalAcceptedAt?: Date | null
  createdAt?: Date
}

/** @throws {UsherError} `form_identifier_exists` naming the address, number, username or external id that is taken */
export async function createUser(ctx: Ctx | Tx, input: CreateUserInput): Promise<UserRecord> {
  const { emailAddresses = [], phoneNumbers = [], createdAt, ...fields } = input
  const { publicMetadata, privateMetadata, unsafeMetadata } = fields
  checkMetadataSize({ publicMetadata, privateMetadata, unsafeMetadata })
  return transaction(ctx, async (tx) => {
    const now = tx.now()
    const id = newId('user')
    try {
      await tx.db
        .insert(users)
        .values({ id, instanceId: tx.instance.id, ...fields, createdAt: createdAt ?? now, updatedAt: now })
    } catch (error) {
      throw takenIdentifier(error)
    }
    let primary: string | undefined
    for (const address of emailAddresses) {
      const added = await addEmailAddress(tx, { userId: id, ...address })
      // What was never proven is not how the person is reached.
      if (added.verifiedAt) primary ??= added.id
    }
    if (primary) await setPrimaryEmailAddress(tx, { userId: id, emailAddressId: primary })
    for (const number of phoneNumbers) await addPhoneNumber(tx, { userId: id, ...number })
    emit(tx, { type: 'user.created', subject: id, data: { user_id: id } })
    return getUser(tx, id)
  })
}
