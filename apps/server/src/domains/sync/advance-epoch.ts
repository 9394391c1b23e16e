import { sql } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { DocId } from './doc-id.ts'
import { envelopeKinds, readEnvelope, startChain } from './envelope.ts'
import { encodeSegment } from './segment.ts'
import { MalformedUpdate } from './walk-update.ts'

/**
 * Begins the next epoch of an encrypted document's keys, in the transaction that hands out the new key: from its commit
 * on nothing that is sealed under the old one is stored. The record of the change is part of the log, as its next entry.
 * A document that nobody has written to begins with it.
 *
 * @param input.from the epoch that ends
 * @param input.keyRecord an envelope of kind 4, sealed under the key of that epoch
 * @returns number of the record in the log
 * @throws {UsherError} `conflict` when the epoch is another one by now, or the document is not encrypted
 */
export async function advanceEpoch(
  tx: Tx,
  input: { docId: string; from: number; keyRecord: Uint8Array },
): Promise<{ epoch: number; seq: number }> {
  const { docId, from, keyRecord } = input
  checkRecord(keyRecord, from)
  const organizationId = DocId.parse(docId).match(/^(org_[^/]+)\//)?.[1] ?? null
  const { payload, crc } = encodeSegment([{ bytes: keyRecord, at: 0 }])
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
  const digest = new Bun.CryptoHasher('sha256').update(keyRecord).digest('hex')
  await tx.db.execute(sql`
    insert into sync_rooms (instance_id, key, kind, key_epoch, organization_id)
    values (${tx.instance.id}, ${docId}, 'e2ee', ${from}, ${organizationId})
    on conflict (instance_id, key) do nothing`)
  // The comparison, the number, the hash and the entry are one statement: of two rotations at once one finds no row.
  const [appended] = await tx.db.execute<{ seq: number }>(sql`
    with moved as (
      update sync_rooms set key_epoch = key_epoch + 1, head = head + 1,
        chain = sha256(coalesce(chain, decode(${hex(startChain(docId))}, 'hex')) || int8send(head + 1)
          || decode(${digest}, 'hex'))
      where instance_id = ${tx.instance.id} and key = ${docId} and kind = 'e2ee' and deleted_at is null
        and key_epoch = ${from}
      returning id, instance_id, head, chain
    )
    insert into sync_room_segments (room_id, last_seq, instance_id, n, crc, chain, payload)
    select id, head, instance_id, 1, ${crc}::int, chain, decode(${hex(payload)}, 'hex') from moved
    returning last_seq::float8 as seq`)
  if (!appended) throw new UsherError('conflict', 'The key was rotated meanwhile, or the document is not encrypted.')
  return { epoch: from + 1, seq: appended.seq }
}

function checkRecord(keyRecord: Uint8Array, from: number) {
  const invalid = (why: string) =>
    new UsherError('form_param_value_invalid', `The key record is no such envelope: ${why}.`, { param: 'key_record' })
  try {
    const { kind, epoch } = readEnvelope(keyRecord)
    if (kind !== envelopeKinds.keyRecord) throw invalid('it is of another kind')
    if (epoch !== from) throw invalid('it is sealed under another epoch')
  } catch (error) {
    if (error instanceof MalformedUpdate) throw invalid(error.message)
    throw error
  }
}
